# VOLO-D4 and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = 'https://github.com/sail-sg/volo/releases/download/volo_1/d4_224_85.7.pth.tar'
backbone = dict(type='VOLO', arch='d4', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [384, 768, 768, 768]
