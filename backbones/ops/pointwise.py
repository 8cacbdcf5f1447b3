"""1x1 convolution."""

import torch.nn.functional as F
from torch import Tensor

from backbones.ops.dispatch import PLAIN, form, pick
from backbones.ops.linear import linear


def pointwise(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False, backend: str = 'auto'
) -> Tensor:
    """Mix the channels of every position: out = weight x + bias, or gelu of it.

    Args:
        x: (B, C, H, W).
        weight: (C', C, 1, 1), as an `nn.Conv2d` stores it.
        bias: (C'), None for zeros.
        gelu: apply the exact GELU.
        backend: 'plain' is a 1x1 convolution; 'linear' is a linear layer on a (B, H, W, C) view,
            without a copy if `x` is channels_last; see `linear`.

    Returns:
        (B, C', H, W).

    Raises:
        ValueError: the backend is unknown.
    """
    run = pick(backend, {PLAIN: _plain, 'linear': _linear}, form('pointwise', x))
    return run(x, weight, bias, gelu)


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    x = F.conv2d(x, weight, bias)
    return F.gelu(x) if gelu else x


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, gelu: bool) -> Tensor:
    return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias, gelu=gelu).permute(0, 3, 1, 2)
