"""The product that oneDNN has for a linear layer: bias and GELU come with it."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from backbones.ops import traced

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
    return (
        AVAILABLE
        and x.device.type == 'cpu'
        and x.dtype == weight.dtype == torch.float32
        and not (torch.is_autocast_enabled('cpu') or traced())
    )


if AVAILABLE:

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def _operations(x: torch.Size, weight: torch.Size, *rest: object, **options: object) -> int:
        """For those who count a model's operations with PyTorch's `FlopCounterMode`."""
        return 2 * x.numel() * weight[0]
