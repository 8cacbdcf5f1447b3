"""The local branch of CloFormer's attention (arXiv:2303.17803, Sec. 3.2)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from backbones.ops._strips import by_strips
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.dispatch import Layer, form, pick
from backbones.ops.pointwise import pointwise


def context_gate(
    x: Tensor,
    conv: Layer,
    first: Layer,
    second: Layer,
    *,
    scale: float,
    backend: str = 'auto',
) -> Tensor:
    """Weight local features by context: tanh(scale * (W2 swish(W1 (q o k) + b1) + b2)) o v.

    q, k, v = chunk(dwconv(x)) are gathered from each position's neighbourhood; o is the
    element-wise product.

    Args:
        x: (B, 3C, H, W).
        conv: depthwise k x k convolution of 3C channels.
        first, second: (W1, b1) and (W2, b2), the weights (C, C, 1, 1).
        scale: applied after the second convolution, before tanh.
        backend: 'folded' folds the scale into W2 and b2, which saves a pass over the map;
            'recompute' does so too, and stores only x for the backward pass, not seven more maps of
            C channels; 'strips' is 'folded' a few rows at a time, useful only without gradients.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: the backend is unknown.

    Source: AttnConv; github.com/qhfan/CloFormer.
    """
    forms: dict[str, Callable] = {
        'folded': _folded,
        'recompute': _recompute,
        'strips': _strips,
    }
    return pick(backend, forms, form('context_gate', x))(x, conv, first, second, scale)


def _folded(x: Tensor, conv: Layer, first: Layer, second: Layer, scale: float) -> Tensor:
    q, k, v = depthwise_conv(x, *conv).chunk(3, dim=1)
    x = pointwise(q * k, *first, act='silu')
    return torch.tanh(pointwise(x, second[0] * scale, second[1] * scale)) * v


def _recompute(x: Tensor, *rest: Any) -> Tensor:
    if x.is_meta and torch.__version__ < '2.5':  # stores nothing, and 2.4 fails
        return _folded(x, *rest)
    return checkpoint(_folded, x, *rest, use_reentrant=False, preserve_rng_state=False)


def _strips(x: Tensor, conv: Layer, first: Layer, second: Layer, scale: float) -> Tensor:
    width, _, kernel_size, _ = conv[0].shape
    return by_strips(
        lambda strip: _folded(strip, conv, first, second, scale),
        x,
        width=width,
        halo=kernel_size // 2,
    )
