"""Every operator with every backend, and mmcv's stand-ins: a GPU against float64 on the CPU."""

from backbones.openmmlab import mmcv_ops  # noqa: F401, before mmcv.ops

# isort: split
import copy

import mmcv.ops
import pytest
import torch
from operators import OPERATORS, Shapes, examples, running, ways
from torch import Tensor

pytestmark = pytest.mark.gpu
ERRORS = {torch.float32: 1e-4, torch.bfloat16: 0.05}  # relative to the largest value


def draw(shapes: tuple[int, ...] | Shapes, dtype: torch.dtype) -> Tensor | list:
    """Numbers that the type holds exactly, small enough that softmaxes are not saturated."""
    if isinstance(shapes, list):
        return [draw(part, dtype) for part in shapes]
    return (torch.randn(shapes) / 4).to(dtype)


def nested(x: Tensor | list, **to: object) -> Tensor | list:
    if isinstance(x, Tensor):
        return x.to(**to).detach().requires_grad_()
    return [nested(part, **to) for part in x]


def flat(x: Tensor | list) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [t for part in x for t in flat(part)]


def near(found: Tensor, expected: Tensor, error: float) -> bool:
    difference = (found.cpu().double() - expected).abs().max()
    return bool(difference <= error * expected.abs().max().clamp(min=1e-3))


BY_WAY = [(name, way) for name in OPERATORS for way in ways(name)]


@pytest.mark.parametrize('dtype', ERRORS, ids=str)
@pytest.mark.parametrize('name, way', BY_WAY)
def test_equals_the_plain_form(name: str, way: str, dtype: torch.dtype, device: str) -> None:
    if device == 'cpu' and way == 'triton':
        pytest.skip('tests/ops/interpreted.py runs it on a CPU')
    torch.manual_seed(0)
    # at least the 8 cells that CloFormer pools, and not a multiple of a window
    build, shapes = examples(2, *((56, 75) if device == 'cuda' else (9, 10)))[name]
    inputs, module = draw(shapes, dtype), build().to(dtype)
    exact, ours = nested(inputs, dtype=torch.float64), nested(inputs, device=device)
    with running(name, 'plain'):
        expected = copy.deepcopy(module).double()(*exact)
    with running(name, way):
        found = module.to(device)(*ours)
    assert found.device.type == device and found.dtype == dtype
    weights = torch.randn(expected.shape).to(dtype)
    theirs = torch.autograd.grad(expected, flat(exact), weights.double())
    gradients = torch.autograd.grad(found, flat(ours), weights.to(device))
    pairs = zip((found, *gradients), (expected, *theirs))
    assert all(near(*pair, ERRORS[dtype]) for pair in pairs)


def test_stand_ins_equal_the_cpu(device: str) -> None:
    corners = 60 * torch.rand(200, 2)
    boxes, scores = torch.cat([corners, corners + 4 + 16 * torch.rand(200, 2)], 1), torch.rand(200)
    features, logits = torch.randn(2, 8, 40, 40), torch.randn(200, 5)
    rois = torch.cat([torch.arange(200).remainder(2)[:, None].float(), boxes], 1)
    labels = torch.arange(200).remainder(6)  # 5 is the background
    results = []
    for place in ('cpu', device):
        x, y = (t.to(place).requires_grad_() for t in (features.clone(), logits.clone()))
        kept = mmcv.ops.nms(boxes.to(place), scores.to(place), 0.5)[1]
        pooled = mmcv.ops.roi_align(x, rois.to(place), (7, 7), 0.5, 0, 'avg', True)
        loss = mmcv.ops.sigmoid_focal_loss(y, labels.to(place), 2.0, 0.25, None, 'sum')
        gradients = torch.autograd.grad(pooled.square().sum() + loss, (x, y))
        results.append([t.cpu() for t in (kept, pooled, loss, *gradients)])
    assert 10 < len(results[0][0]) < 200
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-4)
