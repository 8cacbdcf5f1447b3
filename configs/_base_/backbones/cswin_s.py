# CSWin-S and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = (
    'https://github.com/microsoft/CSWin-Transformer/releases/download/v0.1.0/cswin_small_224.pth'
)
backbone = dict(type='CSWin', arch='small', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [64, 128, 256, 512]
