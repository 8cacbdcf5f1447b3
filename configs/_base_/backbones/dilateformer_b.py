# DilateFormer-Base. ImageNet files exist on Google Drive and Baidu only (links in the authors'
# repository): download one and pass it as `tools/train.py CONFIG --pretrained FILE`.
backbone = dict(type='DilateFormer', arch='base')
channels = [96, 192, 384, 768]
