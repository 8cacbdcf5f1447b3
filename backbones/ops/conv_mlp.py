"""Feed-forward network with a depthwise convolution (CloFormer, arXiv:2303.17803, Sec. 3.3)."""

import torch.nn.functional as F
from torch import Tensor

from backbones.ops import pick
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.pointwise import pointwise
from backbones.ops.strips import by_strips, storing_pays

Layer = tuple[Tensor, Tensor]  # weight and bias of a convolution


def conv_mlp(
    x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, *, stride: int = 1, backend: str = 'auto'
) -> Tensor:
    """Compute fc2(dwconv(gelu(fc1(x)))).

    Args:
        x: (B, C, H, W).
        fc1, dwconv, fc2: 1x1 convolution C -> h, depthwise k x k convolution, 1x1 convolution
            h -> C'.
        stride: of the depthwise convolution, 1 or 2 cells.
        backend: 'reference' and 'whole' store maps of h channels, 'strips' a few rows of them at a
            time. 'auto' takes 'strips' for inference on CPUs, else 'whole'.

    Returns:
        (B, C', ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: an unknown backend.
    """
    run = pick(
        backend,
        {'reference': _reference, 'whole': _whole, 'strips': _strips},
        'whole' if storing_pays(x) else 'strips',
    )
    return run(x, fc1, dwconv, fc2, stride)


def _reference(x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, stride: int) -> Tensor:
    hidden, kernel_size = dwconv[0].shape[0], dwconv[0].shape[-1]
    x = F.gelu(F.conv2d(x, *fc1))
    return F.conv2d(F.conv2d(x, *dwconv, stride, kernel_size // 2, groups=hidden), *fc2)


def _whole(x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, stride: int) -> Tensor:
    return pointwise(depthwise_conv(F.gelu(pointwise(x, *fc1)), *dwconv, stride=stride), *fc2)


def _strips(x: Tensor, fc1: Layer, dwconv: Layer, fc2: Layer, stride: int) -> Tensor:
    width, _, kernel_size, _ = dwconv[0].shape
    halo = -(-(kernel_size // 2) // stride) * stride
    return by_strips(
        lambda strip: _whole(strip, fc1, dwconv, fc2, stride),
        x,
        width=width,
        halo=halo,
        stride=stride,
    )
