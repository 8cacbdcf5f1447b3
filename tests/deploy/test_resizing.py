"""Sizes at which images of ADE20K are tested, at one scale and with --tta."""

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from backbones.cli.settings import set_testing
from backbones.openmmlab.registries import import_scope

RATIOS = (0.5, 0.75, 1, 1.25, 1.5, 1.75)
# by (height, width) of the file: the size at scale 1, fitted into 2048x512 pixels with the aspect
# ratio kept, and the same rounded up to multiples of 32
SIZES = {
    (333, 500): ((512, 769), (512, 800)),
    (501, 251): ((1022, 512), (1024, 512)),
    (100, 2047): ((100, 2048), (128, 2048)),
}


@pytest.fixture(params=SIZES, ids=str)
def photograph(request, tmp_path: Path) -> dict:
    rng = np.random.default_rng(0)
    height, width = request.param
    Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(tmp_path / 'a.png')
    Image.fromarray(rng.integers(0, 151, (height, width), np.uint8)).save(tmp_path / 'l.png')
    return dict(
        img_path=str(tmp_path / 'a.png'),
        seg_map_path=str(tmp_path / 'l.png'),
        label_map=None,
        reduce_zero_label=True,
        seg_fields=[],
        size=request.param,
    )


def run(leaf: str, photograph: dict, *, tta: bool) -> dict:
    cfg = Config.fromfile(ROOT / f'configs/{leaf}.py')
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    set_testing(cfg, tta=tta)
    return Compose(cfg.test_dataloader.dataset.pipeline)(dict(photograph))


def resized(size: tuple[int, int], ratio: float, longest: int = 2048, shortest: int = 512):
    """Into (longest, shortest) pixels times `ratio`, with the aspect kept, rounded to nearest."""
    limits = int(longest * ratio), int(shortest * ratio)
    scale = min(max(limits) / max(size), min(limits) / min(size))
    return tuple(int(n * scale + 0.5) for n in size)


def up(size: tuple[int, int]) -> tuple[int, int]:
    return tuple(-(-n // 32) * 32 for n in size)


@pytest.mark.parametrize(
    'leaf, aligned',
    [
        ('upernet_moganet_xt_ade20k', True),
        ('semantic_fpn_moganet_xt_ade20k', True),
        ('upernet_cswin_t_ade20k', False),
        ('upernet_cswin_b_640_ade20k', False),
    ],
)
def test_images_of_ade20k_are_tested_at_the_published_sizes(
    leaf: str, aligned: bool, photograph: dict
) -> None:
    size, big = photograph['size'], {'longest': 2560, 'shortest': 640} if '640' in leaf else {}
    single = run(leaf, photograph, tta=False)
    if not big:
        assert single['inputs'].shape[1:] == SIZES[size][aligned]
    assert single['data_samples'].gt_sem_seg.shape == size
    assert single['data_samples'].ori_shape == size

    several = run(leaf, photograph, tta=True)
    expected = [resized(size, ratio, **big) for ratio in RATIOS]
    expected = [up(s) if aligned else s for s in expected]
    found = [(tuple(x.shape[1:]), s.flip) for x, s in zip(*several.values(), strict=True)]
    assert sorted(found) == sorted((s, flip) for s in expected for flip in (False, True))
    for picture, sample in zip(*several.values(), strict=True):
        assert sample.img_shape == tuple(picture.shape[1:])
        assert sample.gt_sem_seg.shape == sample.ori_shape == size
    unflipped, flipped = several['inputs'][:2]  # the same picture
    assert unflipped.equal(flipped.flip(-1))
