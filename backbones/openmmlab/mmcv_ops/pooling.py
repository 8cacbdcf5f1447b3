"""Pooling of region features."""

import math

import torch
from torch import Tensor

from backbones.openmmlab.mmcv_ops.support import needs_compiled, operator, torchvision, widen


@operator
def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples in each cell of each region, into `output`.

    Half precision is widened to float32 for the computation, as torchvision does under autocast.

    Args:
        input: (B, C, H, W).
        rois: (N, 5) image index and corners x1, y1, x2, y2, in pixels.
        output: (N, C, aligned_height, aligned_width), overwritten.
        argmax_y, argmax_x: for 'max' pooling; not used.
        spatial_scale: cells of `input` per pixel.
        sampling_ratio: samples per cell and axis; 0 takes one per cell of `input`, rounded up.
        pool_mode: 1, 'avg'.
        aligned: shift by half a cell, which puts cell centres in the right place.

    Raises:
        ImportError: pool_mode is 0, 'max'.

    Source: arXiv:1703.06870, Sec. 3.
    """
    _check_pool_mode(pool_mode)
    size = (aligned_height, aligned_width)
    pooled = torchvision().roi_align(
        widen(input), widen(rois, input.dtype), spatial_scale, *size, sampling_ratio, aligned
    )
    output.copy_(pooled)


@operator
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient with respect to the input of `roi_align_forward` to `grad_input`.

    See `roi_align_forward`. On CUDA, `torch.use_deterministic_algorithms(True)` makes it an error.
    """
    _check_pool_mode(pool_mode)
    grad = torchvision()._roi_align_backward(
        widen(grad_output),
        widen(rois, grad_output.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )
    grad_input += grad


def _check_pool_mode(pool_mode: int) -> None:
    if pool_mode != 1:
        needs_compiled("roi_align with pool_mode='max'")


@operator
def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Take the maximum in each cell of each region, into `output`.

    torchvision's `roi_pool` rounds corners to cells; mmcv's extends each cell outwards.

    Args:
        input: (B, C, H, W).
        rois: (N, 5) image index and corners x1, y1, x2, y2 in pixels, both inclusive.
        output: (N, C, pooled_height, pooled_width), zeros, overwritten.
        argmax: as `output`, overwritten: index of the maximum in the map of H x W, -1 for none.
        spatial_scale: cells of `input` per pixel.

    Source: arXiv:1504.08083, Sec. 2.1.
    """
    H, W = input.shape[2:]
    argmax.fill_(-1)
    for n, (image, *corners) in enumerate(rois.tolist()):
        x1, y1 = (c * spatial_scale for c in corners[:2])
        x2, y2 = ((c + 1) * spatial_scale for c in corners[2:])
        if x2 <= x1 or y2 <= y1:
            continue
        for i, (top, bottom) in enumerate(_cells(y1, y2, pooled_height, H)):
            for j, (left, right) in enumerate(_cells(x1, x2, pooled_width, W)):
                if top < bottom and left < right:
                    window = input[int(image), :, top:bottom, left:right].flatten(1)  # (C, cells)
                    output[n, :, i, j], place = window.max(1)
                    row, column = place // (right - left), place % (right - left)
                    argmax[n, :, i, j] = (top + row) * W + left + column


@operator
def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient with respect to the input of `roi_pool_forward` to `grad_input`."""
    C, H, W = grad_input.shape[1:]
    image = rois[:, 0].long()[:, None, None, None]
    channel = torch.arange(C, device=rois.device)[:, None, None]
    flat = (image * C + channel) * H * W + argmax  # (N, C, pooled_height, pooled_width)
    found = argmax >= 0
    grad_input.view(-1).index_add_(0, flat[found], grad_output[found])


def _cells(start: float, stop: float, count: int, size: int) -> list[tuple[int, int]]:
    """Return each part's first and past-the-end index, clipped to a map of `size` cells."""
    step = (stop - start) / count
    ends = ((math.floor(i * step + start), math.ceil((i + 1) * step + start)) for i in range(count))
    return [(min(max(low, 0), size), min(max(high, 0), size)) for low, high in ends]
