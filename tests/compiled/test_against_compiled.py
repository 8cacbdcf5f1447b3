"""The stand-in's operators equal those of a compiled mmcv, bit for bit, on CPU.

Run by `make test-mmcv`; without compiled operators on PYTHONPATH everything here fails. mmcv has no
sigmoid focal loss for the CPU: tests/test_mmcv_ops.py compares ours with the formula instead.
"""

from backbones.openmmlab import mmcv_ops  # before mmcv, for which it looks up the operators

# isort: split
import importlib
import types

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.compiled_mmcv


@pytest.fixture(scope='module')
def ext() -> types.ModuleType:
    module = importlib.import_module(mmcv_ops.NAME)
    if isinstance(module, mmcv_ops.StandIn):
        pytest.fail('this mmcv has no compiled operators: set PYTHONPATH as `make mmcv` says')
    return module


def make_boxes(count: int, *, grid: bool) -> tuple[Tensor, Tensor]:
    """Boxes in a 400 x 400 image; on a grid of 20 pixels overlaps and scores repeat."""
    generator = torch.Generator().manual_seed(count)
    corners = 300 * torch.rand(count, 2, generator=generator)
    sizes = 1 + 99 * torch.rand(count, 2, generator=generator)
    scores = torch.rand(count, generator=generator)
    if grid:
        corners, sizes = (corners / 20).round() * 20, (sizes / 20).ceil() * 20
        scores = (scores * 50).round() / 50
    return torch.cat([corners, corners + sizes], dim=1), scores


@pytest.mark.parametrize('grid', (True, False))
@pytest.mark.parametrize('count', (0, 1, 50, 2000))
@pytest.mark.parametrize('threshold', (0.1, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.9))
def test_nms_is_identical(ext, threshold, count, grid):
    boxes, scores = make_boxes(count, grid=grid)
    ours, theirs = (
        op(boxes, scores, iou_threshold=threshold, offset=0) for op in (mmcv_ops.nms, ext.nms)
    )
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours, theirs)


def make_rois(count: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Two maps of 400 x 400 pixels at scale 1/8; a quarter of the regions crosses the border."""
    generator = torch.Generator().manual_seed(count)
    features = torch.randn(2, 8, 50, 50, dtype=dtype, generator=generator)
    boxes, _ = make_boxes(count, grid=False)
    boxes = torch.where(torch.arange(count)[:, None] % 4 == 0, boxes * 2 - 200, boxes)
    images = torch.randint(0, 2, (count, 1), generator=generator)
    return features, torch.cat([images, boxes], dim=1).to(dtype)


@pytest.mark.parametrize('dtype', (torch.float32, torch.float64))
@pytest.mark.parametrize('size', ((7, 7), (14, 3)))
@pytest.mark.parametrize('aligned', (True, False))
@pytest.mark.parametrize('sampling_ratio', (0, 1, 2))
def test_roi_align_is_identical(ext, sampling_ratio, aligned, size, dtype):
    features, rois = make_rois(200, dtype)
    options = dict(
        aligned_height=size[0],
        aligned_width=size[1],
        spatial_scale=0.125,
        sampling_ratio=sampling_ratio,
        pool_mode=1,
        aligned=aligned,
    )
    unused = features.new_zeros(0)
    pooled, grads = [], []
    for forward, backward in (
        (mmcv_ops.roi_align_forward, mmcv_ops.roi_align_backward),
        (ext.roi_align_forward, ext.roi_align_backward),
    ):
        out, grad = features.new_zeros(len(rois), 8, *size), torch.zeros_like(features)
        forward(features, rois, out, unused, unused, **options)
        backward(out.sin(), rois, unused, unused, grad, **options)
        pooled.append(out)
        grads.append(grad)
    assert pooled[0].abs().sum() > 0 and grads[0].abs().sum() > 0
    assert torch.equal(*pooled)
    assert torch.equal(*grads)


def test_mmcv_has_no_focal_loss_on_cpu_to_compare_with(ext):
    x, target, out = torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), torch.zeros(1, 2)
    with pytest.raises(RuntimeError, match='implementation for device cpu not found'):
        ext.sigmoid_focal_loss_forward(x, target, x.new_zeros(0), out, gamma=2.0, alpha=0.25)
