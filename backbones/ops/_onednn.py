"""oneDNN's product for a linear layer, which includes bias and GELU."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops.dispatch import form

# Inductor calls this private function; a release of PyTorch may drop it
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """Compute weight x + bias, or gelu of it, without gradients, if it `fuses`.

    In float32 on CPUs, oneDNN applies bias and GELU while the product is in the cache. PyTorch
    writes the bias to the output first and reads it again, and multiplies with MKL, which does not
    use AVX-512 on AMD processors.

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
    """Return whether `product` takes one pass."""
    return AVAILABLE and x.dtype is weight.dtype and form('linear', x) == 'onednn'
