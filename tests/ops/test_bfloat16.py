"""Convolutions run by `exact` in bfloat16 on this CPU, compared with float32."""

import random

import pytest
import torch
from torch import Tensor, nn

from backbones.ops._bfloat16 import exact, is_wrong

ERROR = 0.01  # relative to the norm; bfloat16 numbers are rounded to 0.002 of their size
Conv = nn.Conv2d | nn.ConvTranspose2d


def errors(conv: Conv, x: Tensor, *, autocast: bool) -> list[float]:
    """Return the errors of the output and of all gradients; the numbers are rounded before."""
    conv.to(torch.bfloat16)
    direction = None
    results = []
    for half in (False, True):
        conv.to(torch.float32 if autocast or not half else torch.bfloat16)
        values = x.bfloat16().float() if autocast or not half else x.bfloat16()
        inputs = [values.detach().requires_grad_(), *conv.parameters()]
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast and half):
            out = exact(conv)(inputs[0])
        assert out.dtype is (torch.bfloat16 if half else torch.float32)
        direction = torch.randn(out.shape).bfloat16() if direction is None else direction
        gradients = torch.autograd.grad(out, inputs, direction.to(out.dtype))
        results.append([out, *gradients])
    return [((a.float() - b).norm() / b.norm()).item() for b, a in zip(*results)]


WRONG = {  # layer, shape of its input
    'one cell wide': (nn.Conv2d(64, 64, 3, 2, 1), (2, 64, 24, 2)),
    'one cell': (nn.Conv2d(64, 32, 3, 2, 1), (2, 64, 1, 1)),
    'one cell wide, transposed': (nn.ConvTranspose2d(32, 64, 4, 2, 1), (2, 32, 24, 1)),
    'one cell wide, by groups': (nn.Conv2d(64, 64, 5, 2, 2, groups=4), (1, 64, 40, 1)),
    'few channels, side by side': (nn.Conv2d(16, 48, 4, 4), (1, 16, 32, 40)),
    'few channels, wide kernel': (nn.Conv2d(4, 48, 16, 16), (1, 4, 64, 80)),
    'dilated, depthwise': (nn.Conv2d(24, 24, 5, 1, 4, dilation=2, groups=24), (2, 24, 20, 31)),
}


@pytest.mark.parametrize('last', [False, True], ids=['', 'channels_last'])
@pytest.mark.parametrize('autocast', [True, False], ids=['autocast', 'bfloat16'])
@pytest.mark.parametrize('name', WRONG)
def test_what_onednn_gets_wrong_is_right(name: str, autocast: bool, last: bool) -> None:
    conv, shape = WRONG[name]
    x = torch.randn(shape)
    if last:
        x = x.contiguous(memory_format=torch.channels_last)
    assert is_wrong(conv, x.bfloat16())
    assert max(errors(conv, x, autocast=autocast)) <= ERROR


@pytest.mark.parametrize(
    'conv, shape',
    [
        (nn.Conv2d(64, 64, 3, 2, 1), (1, 64, 1, 24)),
        (nn.Conv2d(64, 64, 3, 1, 1), (1, 64, 24, 1)),
        (nn.Conv2d(64, 64, 1, 2), (1, 64, 24, 1)),
        (nn.Conv2d(3, 64, 7, 2, 3), (1, 3, 32, 32)),
        (nn.Conv2d(3, 64, 16, 16), (1, 3, 64, 64)),
        (nn.Conv2d(64, 48, 4, 4), (1, 64, 32, 32)),
        (nn.Conv2d(64, 64, 3, padding='same'), (1, 64, 1, 1)),
    ],
    ids=str,
)
def test_other_convolutions_stay_in_bfloat16(conv: Conv, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    assert not is_wrong(conv, x.bfloat16())
    assert max(errors(conv, x, autocast=True)) <= ERROR


def test_float32_and_inference_of_dilated_kernels_are_right_anyway() -> None:
    conv, shape = WRONG['dilated, depthwise']
    x = torch.randn(shape)
    assert not is_wrong(conv, x)
    with torch.no_grad():
        assert not is_wrong(conv, x.bfloat16())


def drawn(rng: random.Random) -> tuple[Conv, tuple[int, ...]]:
    """Draw a convolution and the shape of its input."""
    kernel, stride = rng.choice((1, 2, 3, 3, 4, 5, 7, 8, 16)), rng.choice((1, 1, 2, 2, 3, 4))
    dilation, channels = rng.choice((1, 1, 1, 2, 3)), rng.choice((3, 4, 8, 16, 24, 32, 48, 64))
    stride = rng.choice((stride, kernel))
    groups = rng.choice((1, 1, 1, 2, channels)) if channels > 3 else 1
    common = dict(kernel_size=kernel, stride=stride, groups=groups)
    height, width = (rng.choice((1, 1, 2, 3, 5, 8, 14, 20)) for _ in range(2))
    if rng.random() < 0.25:
        conv: Conv = nn.ConvTranspose2d(channels, groups * rng.choice((1, 8, 24)), **common)
    else:
        padding = rng.choice((0, kernel // 2 * dilation))
        common.update(padding=padding, dilation=dilation)
        conv = nn.Conv2d(channels, groups * rng.choice((1, 8, 24)), **common)
        reach = dilation * (kernel - 1) + 1 - 2 * padding
        height, width = (reach + (cells - 1) * stride for cells in (height, width))
    return conv, (rng.choice((1, 2, 3)), channels, max(height, 1), max(width, 1))


@pytest.mark.parametrize('seed', range(2))
def test_any_convolution_is_right(seed: int) -> None:
    rng, wrong = random.Random(seed), []
    for _ in range(200):
        conv, shape = drawn(rng)
        x = torch.randn(shape)
        if rng.random() < 0.5:
            x = x.contiguous(memory_format=torch.channels_last)
        found = errors(conv, x, autocast=rng.random() < 0.5)
        if not max(found) <= ERROR:
            wrong.append(f'{conv} of {shape}: {[round(e, 3) for e in found]}')
    assert wrong == []
