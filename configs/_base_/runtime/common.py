# Shared by detection and segmentation. `custom_imports` registers backbones and hooks, so that
# MMDetection's and MMSegmentation's own tools can run these configs, too.
custom_imports = dict(
    imports=[
        'backbones',
        'backbones.training.nan_guard',
        'backbones.training.checkpoints',
    ],
    allow_failed_imports=False,
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
# BatchNorm is synchronised across GPUs; in one process, MMEngine reverts to plain BatchNorm.
sync_bn = 'torch'
custom_hooks = [dict(type='mmdet.NumClassCheckHook'), dict(type='FiniteLossHook')]

vis_backends = [dict(type='LocalVisBackend')]
log_level = 'INFO'
load_from = None
resume = False
