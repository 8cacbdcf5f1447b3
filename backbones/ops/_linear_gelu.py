"""A linear layer followed by GELU, in one pass where oneDNN has it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops import traced

# what Inductor calls for it; without a public name, so a release of PyTorch may drop it
FUSED = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, '_linear_pointwise')


def linear_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute gelu(weight x + bias).

    For inference in float32 on CPUs oneDNN applies GELU to what its product has in the cache.

    Args:
        x: (..., C).
        weight, bias: of a linear layer, (h, C) and (h).

    Returns:
        (..., h).
    """
    if fuses(x, weight):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, 'gelu', [], 'none')
    return F.gelu(F.linear(x, weight, bias))


def fuses(x: Tensor, weight: Tensor) -> bool:
    """Tell whether `linear_gelu` takes one pass."""
    return (
        FUSED
        and x.device.type == 'cpu'
        and x.dtype == weight.dtype == torch.float32
        and not (torch.is_grad_enabled() or torch.is_autocast_enabled('cpu') or traced())
    )
