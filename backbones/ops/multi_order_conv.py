"""Multi-order depthwise convolution (MogaNet, arXiv:2211.03295, Sec. 4.2)."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from backbones.ops import exported, pick
from backbones.ops.depthwise_conv import depthwise_conv

SPLIT = (1, 3, 4)  # eighths of the channels for the three orders


def multi_order_conv(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    *,
    dilations: tuple[int, int, int] = (1, 2, 3),
    backend: str = 'auto',
) -> Tensor:
    """Convolve all channels depthwise, then a part of the result at two larger dilations.

    With b = conv0(x): out = concat(b[: C/8], conv1(b[C/8 : C/2]), conv2(b[C/2 :])), in this order
    of the channels. Zero padding, size kept; nothing between the convolutions.

    Args:
        x: (B, C, H, W), C a multiple of 8.
        weights: (C, 1, k0, k0), (3C/8, 1, k1, k1) and (C/2, 1, k2, k2), odd sizes.
        biases: (C), (3C/8), (C/2).
        dilations: of the three convolutions, in cells.
        backend: 'reference' or 'split', of the three convolutions: see `depthwise_conv`. 'auto'
            takes 'split' on CPUs unless `exported`.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: C is no multiple of 8, or an unknown backend.

    Source: Sec. 4.2; github.com/Westlake-AI/MogaNet.
    """
    if x.shape[1] % sum(SPLIT):
        raise ValueError(f'{x.shape[1]} channels; allowed: multiples of {sum(SPLIT)}')
    auto = 'split' if x.device.type == 'cpu' and not exported() else 'reference'
    convolve = pick(backend, {'reference': _reference, 'split': _split}, auto)
    return convolve(x, weights, biases, dilations)


def _reference(
    x: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    dilations: tuple[int, int, int],
    backend: str = 'reference',
) -> Tensor:
    x = depthwise_conv(x, weights[0], biases[0], dilation=dilations[0], backend=backend)
    low, *high = x.split([x.shape[1] * eighths // sum(SPLIT) for eighths in SPLIT], dim=1)
    high = [
        depthwise_conv(part, weight, bias, dilation=dilation, backend=backend)
        for part, weight, bias, dilation in zip(high, weights[1:], biases[1:], dilations[1:])
    ]
    return torch.cat([low, *high], dim=1)


_split = partial(_reference, backend='split')
