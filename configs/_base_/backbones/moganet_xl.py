# MogaNet-XL and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = (
    'https://github.com/Westlake-AI/MogaNet/releases/download/moganet-in1k-weights/'
    'moganet_xlarge_sz224_8xbs64_ep300.pth.tar'
)
backbone = dict(
    type='MogaNet', arch='xlarge', init_cfg=dict(type='Pretrained', checkpoint=pretrained)
)
channels = [96, 192, 480, 960]
