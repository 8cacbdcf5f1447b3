"""The stand-in for mmcv's compiled operators: right numbers, clear errors, no interference."""

import math
import re
import sys
import types

from backbones.openmmlab import mmcv_ops  # before mmcv.ops, which cannot be imported without it

# isort: split
import pytest
import torch
from conftest import ROOT
from mmcv.ops import batched_nms, nms, roi_align, sigmoid_focal_loss
from torch import Tensor

from backbones.openmmlab.mmcv_ops import focal_loss, support
from backbones.openmmlab.mmcv_ops.boxes import nms as suppress

DEVICES = ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu',)


def make_boxes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Boxes on a coarse grid, so that scores tie and the IoU often equals a threshold."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 12, (count, 2), generator=generator)
    sizes = torch.randint(1, 11, (count, 2), generator=generator)
    scores = torch.randint(0, count, (count,), generator=generator) / count
    return torch.cat([corners, corners + sizes], dim=1).float(), scores


def brute_force_nms(boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """Greedy suppression by float32 overlaps, equal scores in the order of PyTorch's sort."""
    threshold, kept = torch.tensor(threshold, dtype=torch.float32), []
    for i in scores.sort(descending=True).indices.tolist():
        for j in kept:
            low, high = torch.maximum(boxes[i], boxes[j])[:2], torch.minimum(boxes[i], boxes[j])[2:]
            both = (high - low).clamp(min=0).prod()
            areas = [(box[2:] - box[:2]).prod() for box in (boxes[i], boxes[j])]
            if both / (areas[0] + areas[1] - both) > threshold:
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('threshold', (0.1, 0.3, 0.5, 0.6, 0.7))
def test_nms_is_greedy_suppression(threshold, device):
    boxes, scores = make_boxes(60, seed=0)
    boxes, scores = boxes.to(device), scores.to(device)
    dets, kept = nms(boxes, scores, threshold)
    expected = brute_force_nms(boxes, scores, threshold)
    assert 1 < len(expected) < 60
    assert kept.tolist() == expected
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[expected])


def test_nms_compares_with_a_float32_threshold_as_mmcv_does():
    boxes = torch.tensor([[0.0, 0, 10, 1], [0, 0, 6, 1]])  # IoU 0.6f, more than 0.6
    kept = suppress(boxes, torch.tensor([0.9, 0.8]), iou_threshold=0.6, offset=0)
    assert kept.tolist() == [0, 1]


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float64))
def test_nms_takes_scores_of_another_precision(dtype):
    boxes, scores = make_boxes(60, seed=1)
    scores = scores.to(dtype)
    kept = suppress(boxes, scores, iou_threshold=0.5, offset=0)
    assert kept.tolist() == brute_force_nms(boxes, scores, 0.5)


def test_nms_of_nothing_is_nothing():
    kept = suppress(torch.zeros(0, 4), torch.zeros(0), iou_threshold=0.5, offset=0)
    assert kept.shape == (0,) and kept.dtype == torch.long


def test_batched_nms_suppresses_within_a_class_only():
    boxes, scores = make_boxes(60, seed=2)
    scores = scores + torch.arange(60) * 1e-4  # no ties between classes
    classes = torch.arange(60) % 3
    dets, kept = batched_nms(boxes, scores, classes, dict(type='nms', iou_threshold=0.4))
    expected = []
    for c in range(3):
        rows = (classes == c).nonzero().flatten()
        expected += rows[brute_force_nms(boxes[rows], scores[rows], 0.4)].tolist()
    assert kept.tolist() == sorted(expected, key=lambda i: -scores[i])
    assert torch.equal(dets[:, 4], scores[kept])


def make_rois(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A map of scale 1/4; regions inside, across the border, smaller than a cell, and outside."""
    features = torch.randn(2, 3, 8, 10, dtype=dtype, generator=torch.Generator().manual_seed(0))
    rois = [[0, 5, 3, 30, 22], [1, -9, 10, 17, 41], [1, 12, 12, 13, 14], [0, 60, 60, 70, 70]]
    return features, torch.tensor(rois, dtype=dtype)


def slow_roi_align(
    features: Tensor, rois: Tensor, size: int, scale: float, samples: int, aligned: bool
) -> Tensor:
    """The definition, one bilinear sample after the other. See `pooling.roi_align_forward`."""
    out = features.new_zeros(len(rois), features.shape[1], size, size)
    for n, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (c * scale - 0.5 * aligned for c in corners)
        w, h = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        rows, columns = (samples or math.ceil(length / size) for length in (h, w))
        for i in range(size * rows):
            for j in range(size * columns):
                y, x = y1 + (i + 0.5) * h / size / rows, x1 + (j + 0.5) * w / size / columns
                value = sample(features[int(image)], y, x) / (rows * columns)
                out[n, :, i // rows, j // columns] += value
    return out


def sample(features: Tensor, y: float, x: float) -> Tensor:
    """Interpolate a (C, H, W) map; the border holds for one more cell, then all is zero."""
    H, W = features.shape[1:]
    if not (-1 <= y <= H and -1 <= x <= W):
        return torch.zeros_like(features[:, 0, 0])
    y, x = min(max(y, 0), H - 1), min(max(x, 0), W - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, H - 1), min(left + 1, W - 1)
    upper = features[:, top, left].lerp(features[:, top, right], x - left)
    lower = features[:, bottom, left].lerp(features[:, bottom, right], x - left)
    return upper.lerp(lower, y - top)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('aligned', (True, False))
@pytest.mark.parametrize('samples', (0, 1, 2))
def test_roi_align_averages_bilinear_samples(samples, aligned, device):
    features, rois = make_rois(torch.float64)
    out = roi_align(
        features.to(device), rois.to(device), (3, 3), 0.25, samples, 'avg', aligned
    ).cpu()
    expected = slow_roi_align(features, rois, 3, 0.25, samples, aligned)
    assert expected[:3].abs().amax((1, 2, 3)).min() > 0.1
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('aligned', (True, False))
@pytest.mark.parametrize('samples', (0, 2))
def test_roi_align_has_exact_gradients(samples, aligned, device):
    features, rois = make_rois(torch.float64)
    features, rois = features.to(device).requires_grad_(), rois.to(device)
    assert torch.autograd.gradcheck(
        lambda x: roi_align(x, rois, (2, 3), 0.25, samples, 'avg', aligned),
        features,
        nondet_tol=1e-12,  # CUDA adds in any order
    )


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('autocast', (True, False))
@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16))
def test_roi_align_computes_half_precision_in_float32(dtype, autocast, device):
    features, rois = (t.to(device, dtype) for t in make_rois(torch.float32))
    results = []
    for x, r in ((features, rois), (features.float(), rois.float())):
        x = x.clone().requires_grad_()
        with torch.autocast(device, dtype, enabled=autocast):
            out = roi_align(x, r, (3, 3), 0.25, 2, 'avg', True)
        out.backward(torch.ones_like(out))
        results.append((out.detach(), x.grad))
    for half, single in zip(*results):
        assert half.dtype == dtype
        torch.testing.assert_close(half, single.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-6)


def plain_focal_loss(
    x: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """The published formula, to be differentiated by autograd."""
    hit = torch.nn.functional.one_hot(target, x.shape[1] + 1)[:, :-1].to(x)
    p = x.sigmoid()
    loss = -alpha * hit * (1 - p) ** gamma * p.log()
    loss = loss - (1 - alpha) * (1 - hit) * p**gamma * (1 - p).log()
    return loss * weight[target][:, None] if weight.numel() else loss


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('weighted', (True, False))
@pytest.mark.parametrize('gamma, alpha', ((2.0, 0.25), (1.5, 0.7), (0.0, 0.5)))
def test_focal_loss_and_its_gradient_are_those_of_the_formula(gamma, alpha, weighted, device):
    generator = torch.Generator().manual_seed(0)
    x = 4 * torch.randn(20, 5, dtype=torch.float64, generator=generator)
    target = torch.arange(20) % (5 if weighted else 6)  # 5 is the background, which has no weight
    weight = torch.rand(5 if weighted else 0, dtype=torch.float64, generator=generator)
    x, target, weight = (t.to(device) for t in (x, target, weight))
    loss, grad = torch.empty_like(x), torch.empty_like(x)
    focal_loss.sigmoid_focal_loss_forward(x, target, weight, loss, gamma=gamma, alpha=alpha)
    focal_loss.sigmoid_focal_loss_backward(x, target, weight, grad, gamma=gamma, alpha=alpha)
    expected = plain_focal_loss(x.requires_grad_(), target, weight, gamma, alpha)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-10, atol=1e-14)
    (expected,) = torch.autograd.grad(expected.sum(), x)
    torch.testing.assert_close(grad, expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize('reduction', ('none', 'mean', 'sum'))
def test_focal_loss_works_through_mmcv(reduction):
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.arange(6) % 5
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, target, 2.0, 0.25, None, reduction), x.requires_grad_()
    )


@pytest.mark.parametrize('dtype', (torch.float16, torch.bfloat16, torch.float32))
def test_focal_loss_stays_right_for_extreme_logits(dtype):
    x = torch.tensor([[-60.0, -17.5, 17.5, 60.0]], dtype=dtype)
    loss, grad = torch.empty_like(x), torch.empty_like(x)
    arguments = dict(target=torch.tensor([4]), weight=x.new_empty(0), gamma=2.0, alpha=0.25)
    focal_loss.sigmoid_focal_loss_forward(x, output=loss, **arguments)
    focal_loss.sigmoid_focal_loss_backward(x, grad_input=grad, **arguments)
    expected = torch.tensor([[0, 0, 0.75 * 17.5, 0.75 * 60]], dtype=dtype)
    torch.testing.assert_close(loss, expected, rtol=1e-3, atol=1e-12)
    torch.testing.assert_close(
        grad, torch.tensor([[0, 0, 0.75, 0.75]], dtype=dtype), rtol=1e-3, atol=1e-12
    )


def test_an_operator_without_stand_in_says_what_it_needs():
    operator = mmcv_ops.StandIn('mmcv._ext').border_align_forward
    with pytest.raises(ImportError, match=r'^border_align_forward needs .* README.md') as error:
        operator(1, offset=2)
    section = re.search(r'section "(.*)"', str(error.value))[1]
    assert f'## {section}\n' in (ROOT / 'README.md').read_text()


def test_max_pooling_is_refused():
    features, rois = make_rois(torch.float32)
    with pytest.raises(
        ImportError, match=r"^roi_align with pool_mode='max' needs mmcv with compiled .*README"
    ):
        roi_align(features, rois, (3, 3), 0.25, 2, 'max', True)


@pytest.mark.parametrize(
    'content, reason',
    (
        ("raise RuntimeError('operator torchvision::nms does not exist')", 'torchvision::nms'),
        ("raise ImportError('no such file')", 'no such file'),
    ),
)
def test_a_torchvision_that_does_not_fit_is_named_with_its_remedy(
    content, reason, tmp_path, monkeypatch
):
    (tmp_path / 'torchvision.py').write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    monkeypatch.setattr(support, '_version', lambda distribution: '0.99.0')
    monkeypatch.setattr(torch, '__version__', '2.98.1+cpu')
    support._torchvision_problem.cache_clear()
    try:
        with pytest.raises(ImportError) as error:
            hasattr(mmcv_ops.StandIn('mmcv._ext'), 'nms')  # as mmcv.ops does on import
    finally:
        support._torchvision_problem.cache_clear()
    for text in ('torchvision 0.99.0', 'torch 2.98.1+cpu', reason, 'pip install torch==2.98.1 '):
        assert text in str(error.value)


def test_mmdet_modules_that_came_first_get_the_real_functions(monkeypatch):
    module = types.ModuleType('mmdet.imported_before')
    exec('def roi_align(*args):\n    raise RuntimeError\ndef other(): ...', vars(module))
    module.nms = nms
    other = module.other
    monkeypatch.setitem(sys.modules, module.__name__, module)
    mmcv_ops.replace_fallbacks()
    assert module.roi_align is roi_align
    assert module.nms is nms and module.other is other


def test_the_first_call_logs_once_which_implementation_is_in_use(caplog):
    support.announce.cache_clear()
    operator = mmcv_ops.StandIn('mmcv._ext').nms
    assert not caplog.messages
    for _ in range(2):
        operator(torch.zeros(1, 4), torch.zeros(1), iou_threshold=0.5, offset=0)
    assert caplog.messages == [support.STANDING_IN]
