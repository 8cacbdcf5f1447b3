# CSWin-L and the file that its authors trained on ImageNet-22k at 224 pixels.
pretrained = (
    'https://github.com/microsoft/CSWin-Transformer/releases/download/v0.1.0/'
    'cswin_large_22k_224.pth'
)
backbone = dict(type='CSWin', arch='large', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [144, 288, 576, 1152]
