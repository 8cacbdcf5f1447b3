# DilateFormer-Small. ImageNet files exist on Google Drive and Baidu only (links in the authors'
# repository): download one and pass it as `tools/train.py CONFIG --pretrained FILE`.
backbone = dict(type='DilateFormer', arch='small')
channels = [72, 144, 288, 576]
