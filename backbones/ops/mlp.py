"""Feed-forward network of transformers (arXiv:1706.03762, Sec. 3.3, with GELU)."""

import torch
from torch import Tensor

from backbones.ops._autograd import GeluLinear, cast_as_autocast
from backbones.ops._strips import WHOLE
from backbones.ops.dispatch import Layer, form, pick
from backbones.ops.linear import linear

STRIP = 2**19  # values of the hidden features in a strip: a core's L2 cache


def mlp(x: Tensor, fc1: Layer, fc2: Layer, *, backend: str = 'auto') -> Tensor:
    """Compute fc2(gelu(fc1(x))).

    Args:
        x: (..., C).
        fc1, fc2: linear layers C -> h and h -> C'.
        backend: 'recompute' stores one hidden feature for the backward pass, instead of the two of
            a layer-by-layer form, and recomputes gelu; 'strips' stores those of a few positions at
            a time, useful only without gradients.

    Returns:
        (..., C').

    Raises:
        ValueError: the backend is unknown.
    """
    run = pick(backend, {'recompute': _recompute, 'strips': _strips}, form('mlp', x))
    return run(x, fc1, fc2)


def _recompute(x: Tensor, fc1: Layer, fc2: Layer) -> Tensor:
    return GeluLinear.apply(*cast_as_autocast(linear(x, *fc1), *fc2))


def _strips(x: Tensor, fc1: Layer, fc2: Layer) -> Tensor:
    hidden = fc1[0].shape[0]
    positions = x.reshape(-1, x.shape[-1])
    whole = len(positions) * hidden <= WHOLE
    strips = [positions] if whole else positions.split(max(STRIP // hidden, 1))
    out = [linear(linear(s, *fc1, act='gelu'), *fc2) for s in strips]
    return (out[0] if whole else torch.cat(out)).view(*x.shape[:-1], len(fc2[0]))
