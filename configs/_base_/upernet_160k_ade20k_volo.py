# Recipe: UperNet, ADE20K, 160k, tested in sliding windows, which is all that VOLO's authors tell
# (window and stride are LV-ViT's, of the same group).
_base_ = ['upernet_160k_ade20k.py']

model = dict(test_cfg=dict(_delete_=True, mode='slide', crop_size=(512, 512), stride=(341, 341)))
