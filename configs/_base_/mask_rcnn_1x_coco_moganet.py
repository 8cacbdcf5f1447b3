# Recipe: Mask R-CNN, COCO, 1x, as published for MogaNet-B and L (XT, T and S: lr 2e-4).
_base_ = ['mask_rcnn_1x_coco.py']

# published rule: norms, layer scales and sigmas are not decayed; biases and the stem's norms,
# whose names there lack "norm", are
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={'scale': dict(decay_mult=0.0), 'norm': dict(decay_mult=0.0)},
    ),
)
