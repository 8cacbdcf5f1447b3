"""The product that oneDNN has for a linear layer: bias and GELU come with it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops.dispatch import form

# what Inductor calls for it; without a public name, so a release of PyTorch may drop it
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """Compute weight x + bias, or gelu of it; without gradients where it `fuses`.

    In float32 on CPUs oneDNN applies bias and GELU to what its product has in the cache. PyTorch
    writes the bias before its product and reads it there, and lets MKL multiply, which does not use
    AVX-512 on AMD's processors.

    Args:
        x: (..., C).
        weight: (h, C), of any strides.
        bias: (h), None for zeros.

    Returns:
        (..., h).
    """
    if fuses(x, weight):
        after = 'gelu' if gelu else 'none'
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, after, [], 'none')
    x = F.linear(x, weight, bias)
    return F.gelu(x) if gelu else x


def fuses(x: Tensor, weight: Tensor) -> bool:
    """Tell whether `product` takes one pass."""
    return AVAILABLE and x.dtype is weight.dtype and form('linear', x) == 'onednn'
