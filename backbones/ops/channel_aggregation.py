"""Channel aggregation (MogaNet, arXiv:2211.03295, Sec. 4.3)."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from backbones.ops._activations import gelu
from backbones.ops._autograd import GeluLinear, cast_as_autocast
from backbones.ops._strips import by_strips
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.dispatch import Layer, form, pick
from backbones.ops.pointwise import pointwise


def channel_aggregation(
    x: Tensor,
    fc1: Layer,
    dwconv: Layer,
    decompose: Layer,
    sigma: Tensor,
    fc2: Layer,
    *,
    backend: str = 'auto',
) -> Tensor:
    """Widen the channels, reallocate them around a common context, and narrow them again.

    With t = gelu(dwconv(fc1(x))) and the context d = gelu(decompose(t)), one value per position:
    out = fc2(t + sigma (t - d)).

    Args:
        x: (B, C, H, W).
        fc1, dwconv, decompose, fc2: 1x1 convolution C -> h, depthwise k x k convolution, 1x1
            convolutions h -> 1 and h -> C.
        sigma: (1, h, 1, 1).
        backend: 'folded' folds sigma into the weights of fc2, out = W (1 + sigma) t - (W sigma) d +
            b, which saves three passes over h channels and their storage for the backward pass.
            'recompute' also recomputes the result of gelu instead of storing it. 'strips' is
            'folded' a few rows at a time, useful only without gradients.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: the backend is unknown.

    Source: Sec. 4.3, in the form of github.com/Westlake-AI/MogaNet.
    """
    forms: dict[str, Callable] = {
        'folded': _folded,
        'recompute': _recompute,
        'strips': _strips,
    }
    run = pick(backend, forms, form('channel_aggregation', x))
    return run(x, fc1, dwconv, decompose, sigma, fc2)


def _folded(
    x: Tensor,
    fc1: Layer,
    dwconv: Layer,
    decompose: Layer,
    sigma: Tensor,
    fc2: Layer,
    *,
    recompute: bool = False,
) -> Tensor:
    x = depthwise_conv(pointwise(x, *fc1), *dwconv)
    weight, bias = fc2
    share = (weight * sigma).sum(1).view(1, -1, 1, 1)
    # one product for both, and in the gradient, too, so that the map of h channels is read once
    weight = torch.cat([weight * (1 + sigma), decompose[0]])
    both = weight, torch.cat([bias, decompose[1]])
    x = _gelu_pointwise(x, *both) if recompute else pointwise(gelu(x), *both)
    x, context = x.split([len(bias), 1], dim=1)
    return torch.addcmul(x, gelu(context), share, value=-1)


_recompute = partial(_folded, recompute=True)


def _gelu_pointwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    x, weight, bias = cast_as_autocast(x, weight.flatten(1), bias)
    return GeluLinear.apply(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def _strips(x: Tensor, fc1: Layer, dwconv: Layer, *rest: Layer | Tensor) -> Tensor:
    width, _, kernel_size, _ = dwconv[0].shape
    return by_strips(
        lambda strip: _folded(strip, fc1, dwconv, *rest), x, width=width, halo=kernel_size // 2
    )
