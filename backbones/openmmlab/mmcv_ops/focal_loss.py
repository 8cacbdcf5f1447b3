"""The sigmoid focal loss of RetinaNet and its successors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.openmmlab.mmcv_ops.support import operator, widen


@operator
def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the loss -a (1 - q)^gamma log q of each logit x to `output`.

    q, the probability of the truth, is sigmoid(x) for the target class and sigmoid(-x) for others;
    a is alpha and 1 - alpha. Log-sigmoid keeps the loss exact for logits beyond +-16, where mmcv's
    kernel takes the logarithm of a 1 - p that is rounded to 0.

    Args:
        input: (N, C) logits.
        target: (N,) class indices; C is the background.
        weight: (C,) factor per target class, only for targets without background; or empty.
        output: (N, C), overwritten.

    Source: arXiv:1708.02002, Eq. 5.
    """
    z, _, factor = _focal_parts(input, target, weight, alpha)
    output.copy_(-factor * torch.sigmoid(-z) ** gamma * F.logsigmoid(z))


@operator
def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss by its logit. See `sigmoid_focal_loss_forward`."""
    z, sign, factor = _focal_parts(input, target, weight, alpha)
    miss = torch.sigmoid(-z)  # 1 - q
    grad_input.copy_(
        -factor * sign * miss**gamma * (miss - gamma * torch.sigmoid(z) * F.logsigmoid(z))
    )


def _focal_parts(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the truth's logit, its sign against `input`, and a times the weight; (N, C) each."""
    x = widen(input)
    hit = target[:, None] == torch.arange(x.shape[1], device=x.device)  # (N, C)
    sign = hit.to(x.dtype) * 2 - 1
    factor = 0.5 + sign * (alpha - 0.5)  # alpha or 1 - alpha
    if weight.numel():
        factor = factor * weight[target][:, None]
    return sign * x, sign, factor
