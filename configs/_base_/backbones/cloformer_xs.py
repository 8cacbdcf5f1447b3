# CloFormer-XS. No weights were published; `tools/train.py CONFIG --pretrained FILE` takes yours.
backbone = dict(type='CloFormer', arch='xs')
channels = [48, 96, 160, 352]
