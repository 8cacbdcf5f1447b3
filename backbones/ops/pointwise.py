"""1x1 convolution."""

import torch.nn.functional as F
from torch import Tensor

from backbones.ops._activations import Act, activated, check_act
from backbones.ops.dispatch import PLAIN, form, pick
from backbones.ops.linear import linear


def pointwise(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, act: Act = None, backend: str = 'auto'
) -> Tensor:
    """Mix the channels of every position: out = act(weight x + bias).

    Args:
        x: (B, C, H, W).
        weight: (C', C, 1, 1), as an `nn.Conv2d` stores it.
        bias: (C'), None for zeros.
        act: 'gelu', the exact one, 'silu', or None.
        backend: 'plain' is a 1x1 convolution; 'linear' is a linear layer on a (B, H, W, C) view,
            without a copy if `x` is channels_last; see `linear`.

    Returns:
        (B, C', H, W).

    Raises:
        ValueError: the activation or the backend is unknown.
    """
    check_act(act)
    run = pick(backend, {PLAIN: _plain, 'linear': _linear}, form('pointwise', x))
    return run(x, weight, bias, act)


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, act: Act) -> Tensor:
    return activated(F.conv2d(x, weight, bias), act)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None, act: Act) -> Tensor:
    return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias, act=act).permute(0, 3, 1, 2)
