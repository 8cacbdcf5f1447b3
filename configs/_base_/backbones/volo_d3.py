# VOLO-D3 and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = 'https://github.com/sail-sg/volo/releases/download/volo_1/d3_224_85.4.pth.tar'
backbone = dict(type='VOLO', arch='d3', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
channels = [256, 512, 512, 512]
