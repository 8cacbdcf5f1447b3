"""Checks that a config normalises images once, and changes none at random in validation."""

from collections.abc import Sequence

from mmengine.config import Config

from backbones.data.faults import Faults
from backbones.data.pipelines import LOADERS
from backbones.openmmlab.config_tree import innermost, type_name
from backbones.variants import Variant

RGB = Variant.mean  # ImageNet's mean
# transforms that change or move pixels, besides those whose names begin with Random
DRAWING = ('Albu', 'AutoAugment', 'CachedMixUp', 'CachedMosaic', 'CopyPaste', 'CutOut', 'Expand',
           'MinIoURandomCrop', 'MixUp', 'Mosaic', 'PhotoMetricDistortion', 'RandAugment',
           'YOLOXHSVRandomAug')  # fmt: skip


def check_pixels(cfg: Config, splits: Sequence[str], faults: Faults) -> None:
    """Check the pipelines for random changes in validation, and against the preprocessor."""
    preprocessor = cfg.model.get('data_preprocessor') or {}
    mean = preprocessor.get('mean')
    for name in splits:
        for part in innermost(cfg[LOADERS[name]].dataset) if cfg.get(LOADERS[name]) else ():
            for step in part.get('pipeline') or ():
                kind = type_name(step)
                if name != 'train' and _draws(step, kind):
                    faults.add('drawn-validation', LOADERS[name], kind)
                if kind == 'Normalize' and mean:
                    faults.add('wrong-config', LOADERS[name], 'the pipeline has Normalize, and '
                               'model.data_preprocessor a mean: images would be normalised twice; '
                               'remove one')  # fmt: skip
    if mean and len(mean) == 3:
        to_rgb = bool(preprocessor.get('bgr_to_rgb'))
        if tuple(mean) == (RGB if not to_rgb else RGB[::-1]):
            order = 'RGB, and images stay BGR' if not to_rgb else 'BGR, and images become RGB'
            faults.add('channel-order', 'model.data_preprocessor', f'mean is {list(mean)}, that of '
                       f'ImageNet in {order}')  # fmt: skip


def _draws(step: dict, kind: str) -> bool:
    never = step.get('test_mode') or step.get('prob') == 0
    return not never and (kind.startswith('Random') or kind in DRAWING)
