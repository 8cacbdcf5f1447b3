# CSWin-B and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = (
    'https://github.com/microsoft/CSWin-Transformer/releases/download/v0.1.0/cswin_base_224.pth'
)
backbone = dict(type='CSWin', arch='base', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [96, 192, 384, 768]
