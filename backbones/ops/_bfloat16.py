"""Convolutions that oneDNN computes wrongly in bfloat16 on CPUs, and their remedy: float32."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from backbones.ops.dispatch import computed_in

TILE = 32  # numbers in a row of the matrices that AMX multiplies


def exact(conv: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return a convolution that runs in float32 where bfloat16 would be wrong. See `is_wrong`."""
    return functools.partial(_exact, conv)


def _exact(conv: nn.Module, x: Tensor) -> Tensor:
    # `x` is not a tensor while torch.fx traces
    return in_float32(conv, x) if isinstance(x, Tensor) and is_wrong(conv, x) else conv(x)


def in_float32(layer: nn.Module, x: Tensor, **options: Any) -> Tensor:
    """Run a layer in float32; its output is in bfloat16."""
    wide = {n: p.float() for n, p in layer.named_parameters() if p.dtype is torch.bfloat16}
    with torch.autocast('cpu', enabled=False):
        return functional_call(layer, wide, x.float(), options).bfloat16()


def is_wrong(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """Return whether a convolution or its gradients would be wrong in bfloat16 on this CPU.

    oneDNN 3.10 (PyTorch 2.11) then returns noise, or reads memory that is not its own:

    - with AMX, if a stride leaves an output that is one cell wide
      (github.com/pytorch/pytorch/issues/169688);
    - with AMX, if a kernel's row has several tiles of numbers, but few channels;
    - with AVX-512, in the weight gradient of a dilated depthwise convolution, if the map or the
      kernel is channels_last, as it always is once compiled.

    The gradient of a transposed convolution is a convolution, to which the same applies.
    """
    if x.device.type != 'cpu' or computed_in(x) is not torch.bfloat16:
        return False
    channels, kernel = conv.weight.shape[1], conv.kernel_size[-1]
    stride, dilation = conv.stride[-1], conv.dilation[-1]
    if channels < TILE < channels * kernel and channels * kernel % TILE == 0:
        return True
    if dilation > 1 and channels == 1 < conv.groups:
        return torch.is_grad_enabled()
    return min(stride, kernel) > 1 and _strided_width(conv, x) == 1


def _strided_width(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> int:
    """Return the width of the output, or of the input of a transposed convolution."""
    width = x.shape[-1]
    if isinstance(conv, nn.ConvTranspose2d):
        return width
    reach = conv.dilation[-1] * (conv.kernel_size[-1] - 1)
    return (width + 2 * int(conv.padding[-1]) - reach - 1) // conv.stride[-1] + 1
