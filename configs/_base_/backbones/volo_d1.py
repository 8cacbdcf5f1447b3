# VOLO-D1 and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = 'https://github.com/sail-sg/volo/releases/download/volo_1/d1_224_84.2.pth.tar'
backbone = dict(type='VOLO', arch='d1', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [192, 384, 384, 384]
