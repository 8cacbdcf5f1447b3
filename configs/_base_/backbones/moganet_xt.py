# MogaNet-XT and the file that its authors trained on ImageNet-1K at 224 pixels.
pretrained = (
    'https://github.com/Westlake-AI/MogaNet/releases/download/moganet-in1k-weights/'
    'moganet_xtiny_sz224_8xbs128_ep300.pth.tar'
)
backbone = dict(
    type='MogaNet', arch='xtiny', init_cfg=dict(type='Pretrained', checkpoint=pretrained)
)
channels = [32, 64, 96, 192]
