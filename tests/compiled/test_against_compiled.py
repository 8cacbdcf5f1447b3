"""The stand-ins equal a compiled mmcv's operators on CPU; nms and roi_align bit for bit.

Run by `make test-mmcv`; without compiled operators on PYTHONPATH everything here fails. What mmcv
has only for CUDA (focal loss, roi_pool, CARAFE, masked convolution, deformable attention) is
compared with its formula in test_mmcv_ops.py and test_mmcv_operators.py of tests/openmmlab instead.
"""

from backbones.openmmlab import mmcv_ops  # before mmcv, for which it looks up the operators
from backbones.openmmlab.finder import COMPILED

# isort: split
import importlib
import types

import pytest
import torch
from conftest import draw
from torch import Tensor

pytestmark = pytest.mark.compiled_mmcv


@pytest.fixture(scope='module')
def ext() -> types.ModuleType:
    module = importlib.import_module(COMPILED)
    if isinstance(module, mmcv_ops.StandIn):
        pytest.fail('this mmcv has no compiled operators: set PYTHONPATH as `make mmcv` says')
    return module


def make_boxes(count: int, *, grid: bool) -> tuple[Tensor, Tensor]:
    """Boxes in a 400 x 400 image, on a grid of 20 pixels so that overlaps and scores repeat."""
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
@pytest.mark.parametrize('offset', (0, 1))
def test_nms_is_identical(ext, offset, threshold, count, grid):
    boxes, scores = make_boxes(count, grid=grid)
    ours, theirs = (
        op(boxes, scores, iou_threshold=threshold, offset=offset)
        for op in (mmcv_ops.boxes.nms, ext.nms)
    )
    assert ours.dtype == theirs.dtype
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize('method', (0, 1, 2))
@pytest.mark.parametrize('offset', (0, 1))
@pytest.mark.parametrize('count', (0, 1, 300))
def test_soft_nms_keeps_the_same_boxes(ext, count, offset, method):
    boxes, scores = make_boxes(count, grid=False)
    found = []
    for op in (mmcv_ops.boxes.softnms, ext.softnms):
        dets = torch.zeros(count, 5)
        kept = op(boxes, scores, dets, 0.3, 0.5, 0.01, method, offset)
        found.append((kept, dets[: len(kept)]))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-5, atol=0)


@pytest.mark.parametrize('grid', (True, False))
@pytest.mark.parametrize('threshold', (0.1, 0.3, 0.5, 0.7))
def test_nms_match_makes_the_same_groups(ext, threshold, grid):
    boxes, scores = make_boxes(500, grid=grid)
    dets = torch.cat([boxes, scores[:, None]], dim=1)
    assert mmcv_ops.boxes.nms_match(dets, threshold) == ext.nms_match(dets, threshold)


@pytest.mark.parametrize('mode', (0, 1))
@pytest.mark.parametrize('aligned', (True, False))
@pytest.mark.parametrize('offset', (0, 1))
def test_overlaps_are_equal(ext, offset, aligned, mode):
    boxes, _ = make_boxes(100, grid=False)
    a, b = boxes[:50], boxes[50:]
    ious = [a.new_zeros((50,) if aligned else (50, 50)) for _ in range(2)]
    for op, out in zip((mmcv_ops.boxes.bbox_overlaps, ext.bbox_overlaps), ious):
        op(a, b, out, mode=mode, aligned=aligned, offset=offset)
    assert ious[0].sum() > 0
    torch.testing.assert_close(*ious, rtol=1e-4, atol=1e-7)


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
        (mmcv_ops.pooling.roi_align_forward, mmcv_ops.pooling.roi_align_backward),
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


@pytest.mark.parametrize('whole', (False, True))  # offsets, as at the start of a training run
@pytest.mark.parametrize('groups, parts', ((1, 1), (2, 2), (1, 2)))
def test_deformable_convolutions_are_equal(ext, groups, parts, whole):
    x, weight, bias = draw(2, 4, 9, 7), draw(6, 4 // groups, 3, 3), draw(6)
    offset, mask = 2 * draw(2, parts * 18, 5, 7), draw(2, parts * 9, 5, 7).sigmoid()
    offset = offset.round() if whole else offset
    grad, bufs = draw(2, 6, 5, 7), [draw(0), draw(0)]
    names = ('W', 'H', '_w', '_h')
    plain, modulated = ({} for _ in range(2))
    for short, long, (w, h) in (
        ('k', 'kernel', (3, 3)),
        ('d', 'stride', (1, 2)),
        ('pad', 'pad', (2, 1)),
        ('dilation', 'dilation', (2, 1)),
    ):
        plain |= {short + names[0]: w, short + names[1]: h}
        modulated |= {long + names[2]: w, long + names[3]: h}
    shared = dict(group=groups, deformable_group=parts)
    results = []
    for op in (mmcv_ops.deformable, ext):
        out, grads = draw(2, 6, 5, 7) * 0, [torch.zeros_like(t) for t in (x, offset, weight)]
        options = {**plain, **shared, 'im2col_step': 2}
        op.deform_conv_forward(x, weight, offset, out, *bufs, **options)
        op.deform_conv_backward_input(x, offset, grad, *grads[:2], weight, bufs[0], **options)
        op.deform_conv_backward_parameters(x, offset, grad, grads[2], *bufs, scale=1, **options)
        results.append([out, *grads])
        out, options = torch.zeros_like(out), {**modulated, **shared, 'with_bias': True}
        op.modulated_deform_conv_forward(
            x, weight, bias, bufs[0], offset, mask, out, bufs[1], **options
        )
        grads = [torch.zeros_like(t) for t in (x, weight, bias, offset, mask)]
        op.modulated_deform_conv_backward(
            x, weight, bias, bufs[0], offset, mask, bufs[1], *grads, grad, **options
        )
        results[-1] += [out, *grads]
    for ours, theirs in zip(*results):
        assert theirs.abs().sum() > 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_offsets_of_a_larger_map_are_read_alike(ext):
    x, weight, bias = draw(2, 4, 5, 6), draw(6, 4, 3, 3), draw(6)
    offset, mask, grad = draw(2, 18, 9, 8), draw(2, 9, 9, 8), draw(2, 6, 5, 6)
    shared = dict(group=1, deformable_group=1, with_bias=True, kernel_h=3, kernel_w=3)
    shared |= dict(stride_h=1, stride_w=1, pad_h=1, pad_w=1, dilation_h=1, dilation_w=1)
    results = []
    for op in (mmcv_ops.deformable, ext):
        out, grads = (
            torch.zeros_like(grad),
            [torch.zeros_like(t) for t in (x, weight, bias, offset, mask)],
        )
        op.modulated_deform_conv_forward(
            x, weight, bias, draw(0), offset, mask, out, draw(0), **shared
        )
        op.modulated_deform_conv_backward(
            x, weight, bias, draw(0), offset, mask, draw(0), *grads, grad, **shared
        )
        results.append([out, *grads])
    for ours, theirs in zip(*results):
        assert theirs.abs().sum() > 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize('kind', (0, 1))
def test_psa_masks_are_identical(ext, kind):
    x = draw(2, 15, 4, 6)
    sizes = dict(num_=2, h_feature=4, w_feature=6, h_mask=5, w_mask=3, half_h_mask=2, half_w_mask=1)
    results = []
    for op in (mmcv_ops.mask_driven, ext):
        out, grad = draw(2, 24, 4, 6) * 0, torch.zeros_like(x)
        op.psamask_forward(x, out, psa_type=kind, **sizes)
        op.psamask_backward(out.sin(), grad, psa_type=kind, **sizes)
        results += [(out, grad)]
    assert results[0][0].abs().sum() > 0
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])


def test_mmcv_has_no_focal_loss_on_cpu_to_compare_with(ext):
    x, target, out = torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), torch.zeros(1, 2)
    with pytest.raises(RuntimeError, match='implementation for device cpu not found'):
        ext.sigmoid_focal_loss_forward(x, target, x.new_zeros(0), out, gamma=2.0, alpha=0.25)
