"""Multi-order depthwise convolution (MogaNet, arXiv:2211.03295, Sec. 4.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick

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
        backend: 'reference' dilates kernels; 'subgrid' computes a kernel of dilation d >= 3 as a
            dense one on each of the d^2 interleaved sub-grids of the map, which is 2 to 6 times
            faster on CPUs, where 'auto' takes it.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: C is no multiple of 8, or an unknown backend.

    Source: Eq. 4 and Fig. 4; github.com/Westlake-AI/MogaNet.
    """
    if x.shape[1] % sum(SPLIT):
        raise ValueError(f'{x.shape[1]} channels; allowed: multiples of {sum(SPLIT)}')
    auto = 'subgrid' if x.device.type == 'cpu' else 'reference'
    convolve = pick(backend, {'reference': _reference, 'subgrid': _subgrid}, auto)
    x = convolve(x, weights[0], biases[0], dilations[0])
    low, *high = x.split([x.shape[1] * eighths // sum(SPLIT) for eighths in SPLIT], dim=1)
    high = [convolve(*args) for args in zip(high, weights[1:], biases[1:], dilations[1:])]
    return torch.cat([low, *high], dim=1)


def _reference(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    padding = dilation * (weight.shape[-1] // 2)
    return F.conv2d(x, weight, bias, padding=padding, dilation=dilation, groups=x.shape[1])


def _subgrid(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    if dilation < 3:  # oneDNN runs these as fast, and there is nothing to copy
        return _reference(x, weight, bias, dilation)
    B, C, H, W = x.shape
    d, rows, columns = dilation, -(-H // dilation), -(-W // dilation)
    x = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, columns * d - W, 0, rows * d - H))
    x = x.view(B, rows, d, columns, d, C).permute(2, 4, 0, 1, 3, 5)  # (d, d, B, rows, columns, C)
    x = _reference(x.reshape(-1, rows, columns, C).permute(0, 3, 1, 2), weight, bias, 1)
    x = x.permute(0, 2, 3, 1).reshape(d, d, B, rows, columns, C).permute(2, 3, 0, 4, 1, 5)
    return x.reshape(B, rows * d, columns * d, C)[:, :H, :W].permute(0, 3, 1, 2)
