# Recipe: UperNet, ADE20K, 160k, tested in sliding windows, the only detail that VOLO's authors
# give (window and stride are LV-ViT's, by the same group).
_base_ = ['upernet_160k_ade20k.py']

model = dict(test_cfg=dict(_delete_=True, mode='slide', crop_size=(512, 512), stride=(341, 341)))
