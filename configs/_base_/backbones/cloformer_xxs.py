# CloFormer-XXS. No weights were published; `tools/train.py CONFIG --pretrained FILE` takes yours.
backbone = dict(type='CloFormer', arch='xxs')
channels = [32, 64, 128, 256]
