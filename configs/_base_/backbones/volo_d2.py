# VOLO-D2 and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = 'https://github.com/sail-sg/volo/releases/download/volo_1/d2_224_85.2.pth.tar'
backbone = dict(type='VOLO', arch='d2', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [256, 512, 512, 512]
