# Recipe: Cascade Mask R-CNN with Swin's box heads, COCO, 3x, as published for MogaNet-B and L:
# learning rates decay with depth by 0.8 per layer; one-dimensional parameters are not decayed.
_base_ = ['cascade_mask_rcnn_3x_coco_moganet.py']

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'backbones.training.layer_decay'])
optim_wrapper = dict(
    constructor='LayerDecay',
    optimizer=dict(lr=1e-4),
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8),
)
