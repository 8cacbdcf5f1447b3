"""Operators driven by a predicted mask: CARAFE, masked convolution, point-wise attention."""

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.errors import MissingOperatorError
from backbones.openmmlab.mmcv_ops.support import gradients, operator, widen


def carafe(
    features: Tensor, masks: Tensor, *, kernel_size: int, group_size: int, scale_factor: int
) -> Tensor:
    """Upsample a map: each new cell is a weighted sum over its neighbourhood.

    Args:
        features: (B, C, H, W), zero-padded.
        masks: (B, group_size * kernel_size^2, s H, s W) weights.
        group_size: number of channel groups, each with its own weights.
        scale_factor: s.

    Returns:
        (B, C, s H, s W).

    Source: arXiv:1905.02188, Eq. 3.
    """
    B, C, H, W = features.shape
    s, groups = scale_factor, group_size
    patches = F.unfold(features, kernel_size, padding=kernel_size // 2)
    patches = patches.view(B, groups, C // groups, kernel_size**2, H, W)
    masks = masks.view(B, groups, kernel_size**2, H, s, W, s)
    with torch.autocast(features.device.type, enabled=False):
        enlarged = torch.einsum('bgckhw,bgkhywx->bgchywx', patches, masks)
    return enlarged.reshape(B, C, H * s, W * s)


@operator
def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    **sizes: int,
) -> None:
    """Write `carafe` to `output`, and the features to `rfeatures`, which mmcv keeps for backward.

    Raises:
        ImportError: training on a CPU, which mmcv does not support.
    """
    if features.device.type == 'cpu' and (features.requires_grad or masks.requires_grad):
        raise MissingOperatorError(
            'mmcv trains CARAFE on a GPU only, even with compiled operators; '
            "choose another neck, e.g. type='FPN'"
        )
    rfeatures.copy_(features)
    output.copy_(carafe(widen(features), widen(masks), **sizes))


@operator
def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of `carafe` with respect to features and masks."""
    inputs = (widen(rfeatures), widen(masks))
    grads = gradients(lambda x, m: carafe(x, m, **sizes), inputs, widen(grad_output))
    grad_input.copy_(grads[0])
    grad_masks.copy_(grads[1])


@operator
def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the neighbourhoods of selected cells to `col`.

    Args:
        im: (1, C, H, W).
        mask_h_idx, mask_w_idx: (N,) row and column of each cell.
        col: (C * kernel_h * kernel_w, N), overwritten.
    """
    patches = F.unfold(im, (kernel_h, kernel_w), padding=(pad_h, pad_w))[0]
    width = im.shape[3] + 2 * pad_w - kernel_w + 1
    col.copy_(patches[:, mask_h_idx * width + mask_w_idx])


@operator
def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write `col`, (C, N), to the cells of `im`, (1, C, H, W). See `masked_im2col_forward`."""
    im[0, :, mask_h_idx, mask_w_idx] = col


@operator
def psamask_forward(input: Tensor, output: Tensor, *, psa_type: int, **sizes: int) -> None:
    """Spread each cell's mask, centred on the cell, over the whole map.

    Args:
        input: (B, h_mask * w_mask, H, W).
        output: (B, H W, H, W), overwritten: for cells a and b of the map, the value of a's mask at
            b is in [:, b, a] to collect, in [:, a, b] to distribute.
        psa_type: 0 collects, 1 distributes.
        sizes: num_, h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask.

    Source: PSANet (ECCV 2018), Sec. 3.3.
    """
    place, inside = _mask_places(input.device, **sizes)
    spread = input.flatten(2).gather(1, place.expand(len(input), -1, -1)) * inside  # (B, HW, HW)
    output.copy_((spread if psa_type == 0 else spread.mT).view_as(output))


@operator
def psamask_backward(
    grad_output: Tensor, grad_input: Tensor, *, psa_type: int, **sizes: int
) -> None:
    """Add the gradient with respect to the input of `psamask_forward` to `grad_input`."""
    place, inside = _mask_places(grad_output.device, **sizes)
    grad = grad_output.flatten(2)  # (B, HW, HW)
    grad = (grad if psa_type == 0 else grad.mT) * inside
    added = torch.zeros_like(grad_input.flatten(2))
    added.scatter_add_(1, place.expand(len(grad), -1, -1), grad)
    grad_input += added.view_as(grad_input)


def _mask_places(
    device: torch.device,
    *,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> tuple[Tensor, Tensor]:
    """Return cell b's position in a mask centred on cell a, and if it is inside; (HW, HW) each."""
    y = torch.arange(h_feature, device=device).repeat_interleave(w_feature)
    x = torch.arange(w_feature, device=device).repeat(h_feature)
    row = y[:, None] - y + half_h_mask
    column = x[:, None] - x + half_w_mask
    inside = (row >= 0) & (row < h_mask) & (column >= 0) & (column < w_mask)
    return (row * w_mask + column) * inside, inside
