# AdamW at batch 16, as in Swin's UperNet (arXiv:2103.14030, A2.3).
_base_ = ['adamw.py']

optim_wrapper = dict(optimizer=dict(lr=6e-5, weight_decay=0.01))
