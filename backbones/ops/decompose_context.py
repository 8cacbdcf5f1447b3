"""Feature decomposition of MogaNet's spatial blocks (arXiv:2211.03295, Sec. 4.2)."""

import torch.nn.functional as F
from torch import Tensor

from backbones.ops.dispatch import Layer
from backbones.ops.pointwise import pointwise


def decompose_context(x: Tensor, proj: Layer, sigma: Tensor) -> Tensor:
    """Project a map, a = proj(x), and amplify it around its mean: silu(a + sigma (a - mean(a))).

    The mean runs over all positions of a sample. Sigma is folded into the projection, a' =
    W (1 + sigma) x + b - W sigma mean(x), which saves three passes over the map and their storage.

    Args:
        x: (B, C, H, W).
        proj: weight (C', C, 1, 1) and bias (C').
        sigma: (1, C', 1, 1).

    Returns:
        (B, C', H, W).

    Source: the feature decomposition of Sec. 4.2, in the form of github.com/Westlake-AI/MogaNet.
    """
    weight, bias = proj
    mean = x.permute(0, 2, 3, 1).mean((1, 2))  # so its gradient is channels_last
    shift = bias - sigma.flatten() * F.linear(mean, weight.flatten(1))  # (B, C')
    weight = weight * (1 + sigma).transpose(0, 1)
    if len(x) == 1:  # the shift is a bias
        return pointwise(x, weight, shift[0], act='silu')
    return F.silu(pointwise(x, weight, None).add_(shift[:, :, None, None]))
