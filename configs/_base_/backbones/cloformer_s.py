# CloFormer-S. No weights were published; `tools/train.py CONFIG --pretrained FILE` takes yours.
backbone = dict(type='CloFormer', arch='s')
channels = [64, 128, 224, 448]
