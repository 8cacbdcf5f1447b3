"""Faults, as a user meets them: tools/train.py is interrupted, killed, starved, and goes on."""

import re
from pathlib import Path

import pytest
from conftest import ROOT, tool

LEAVES = {
    'detection': 'mask_rcnn_cloformer_nano_digits',
    'segmentation': 'upernet_cloformer_nano_digits',
}
# the digits' pipelines draw nothing: draw sizes, crops and flips, and let the model drop paths
CONFIG = """
_base_ = {leaf!r}
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(
    batch_size=2,
    num_workers={workers},
    persistent_workers={workers} > 0,
    sampler=dict(type={sampler!r}, shuffle=True),
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            {load},
            dict(type='RandomResize', scale=(96, 96), ratio_range=(1.0, 1.5), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(96, 96)),
            dict(type='RandomFlip', prob=0.5),
            dict(type={pack!r}),
        ]
    ),
)
train_cfg = dict(_delete_=True, **{train_cfg})
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=6)]
custom_hooks = [dict(type='EMAHook')]
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(by_epoch={by_epoch}, interval=1, max_keep_ckpts=-1)
)
log_processor = dict(by_epoch={by_epoch})
"""
LOADS = {
    'detection': "dict(type='LoadAnnotations', with_bbox=True, with_mask=True)",
    'segmentation': "dict(type='LoadAnnotations')",
}
LOOPS = {
    'iterations': dict(type='IterBasedTrainLoop', max_iters=6, val_interval=6),
    'epochs': dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2),
}


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'digits'
    tool('make_digits', '--out', folder, '--train', 6, '--val', 2)
    return folder


def write_config(path: Path, task: str, loop: str, workers: int) -> Path:
    by_epoch = loop == 'epochs'
    path.write_text(
        CONFIG.format(
            leaf=str(ROOT / f'configs/{LEAVES[task]}.py'),
            workers=workers,
            sampler='DefaultSampler' if by_epoch else 'InfiniteSampler',
            load=LOADS[task],
            pack='PackDetInputs' if task == 'detection' else 'PackSegInputs',
            train_cfg=LOOPS[loop],
            by_epoch=by_epoch,
        )
    )
    return path


def losses(log: str) -> list[str]:
    """What the log says of each iteration, but for times."""
    lines = re.findall(r'(?:Iter|Epoch)\(train\) .*', log)
    return [re.sub(r' (eta|time|data_time|memory): \S+', '', line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize('task', LEAVES)
def test_the_log_of_a_resumed_training_is_the_uninterrupted_one(
    task: str, loop: str, workers: int, digits: Path, tmp_path: Path
) -> None:
    """Augmentations, drop path, sampled proposals, schedule and averaged weights, to each digit."""
    config = write_config(tmp_path / 'config.py', task, loop, workers)
    common = ('train', config, '--data-root', digits, '--work-dir')
    whole = losses(tool(*common, tmp_path / 'whole'))
    middle = 'epoch_1.pth' if loop == 'epochs' else 'iter_3.pth'
    rest = losses(tool(*common, tmp_path / 'again', '--resume', tmp_path / 'whole' / middle))
    assert len(whole) == 6 and len(set(whole)) == 6
    assert rest == whole[3:]
