"""Feature decomposition of MogaNet's spatial blocks (arXiv:2211.03295, Sec. 4.2)."""

import torch.nn.functional as F
from torch import Tensor

from backbones.ops import Layer, pick
from backbones.ops.pointwise import pointwise


def decompose_context(x: Tensor, proj: Layer, sigma: Tensor, *, backend: str = 'auto') -> Tensor:
    """Project a map, a = proj(x), and stress what is not its mean: silu(a + sigma (a - mean(a))).

    Args:
        x: (B, C, H, W).
        proj: weight (C', C, 1, 1) and bias (C').
        sigma: (1, C', 1, 1).
        backend: 'reference' as the formula says, the mean over all positions of a sample. 'folded'
            (what 'auto' takes) moves sigma into the projection, a' = W (1 + sigma) x + b - W sigma
            mean(x), which saves three passes over the map and their storage.

    Returns:
        (B, C', H, W).

    Raises:
        ValueError: an unknown backend.

    Source: the feature decomposition of Sec. 4.2, in the form of github.com/Westlake-AI/MogaNet.
    """
    return pick(backend, {'reference': _reference, 'folded': _folded}, 'folded')(x, proj, sigma)


def _reference(x: Tensor, proj: Layer, sigma: Tensor) -> Tensor:
    x = F.conv2d(x, *proj)
    return F.silu(x + sigma * (x - x.mean((2, 3), keepdim=True)))


def _folded(x: Tensor, proj: Layer, sigma: Tensor) -> Tensor:
    weight, bias = proj
    mean = x.permute(0, 2, 3, 1).mean((1, 2))  # this way round its gradient is channels_last
    shift = bias - sigma.flatten() * F.linear(mean, weight.flatten(1))  # (B, C')
    x = pointwise(x, weight * (1 + sigma).transpose(0, 1), None)
    return F.silu(x.add_(shift[:, :, None, None]))
