"""Deformable convolution and deformable attention."""

import importlib
from collections.abc import Callable

import torch
from torch import Tensor

from backbones.openmmlab.mmcv_ops.support import gradients, operator, torchvision, widen


@operator
def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    im2col_step: int,
    **geometry: int,
) -> None:
    """Convolve samples at shifted positions, into `output`.

    Half precision is widened to float32 for the computation.

    Args:
        input: (B, C, H, W).
        weight: (out, C / group, kH, kW).
        offset: (B, 2 * deformable_group * kH * kW, H', W') shifts of the samples in cells, y
            before x.
        output: (B, out, H', W'), overwritten.
        columns, ones, im2col_step: used by mmcv's implementation only.
        geometry: kW, kH, dW, dH (strides), padW, padH, dilationW, dilationH, group,
            deformable_group.

    Source: arXiv:1703.06211, Eq. 2.
    """
    tensors = [widen(x) for x in (input, weight, offset, *_neutral(input, weight))]
    output.copy_(torchvision().deform_conv2d(*tensors, *_geometry(**geometry), False))


@operator
def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    *,
    im2col_step: int,
    **geometry: int,
) -> None:
    """Write the gradients of `deform_conv_forward` with respect to input and offset."""
    grads = _conv_gradients(grad_output, input, weight, offset, **geometry)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


@operator
def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    im2col_step: int,
    **geometry: int,
) -> None:
    """Add `scale` times the weight gradient of `deform_conv_forward` to `grad_weight`.

    torchvision computes all gradients at once, so mmcv's two calls take twice the time.
    """
    # the weight gradient depends on the weight's shape only, not on its values
    grads = _conv_gradients(grad_output, input, grad_weight, offset, **geometry)
    grad_weight += scale * grads[1]


@operator
def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Convolve masked samples at shifted positions, into `output`. See `deform_conv_forward`.

    Args:
        bias: (out,), or empty without bias.
        mask: (B, deformable_group * kernel_h * kernel_w, H', W') factors of the samples.
        offset, mask: may belong to a larger map, see `_read_as`.
        geometry: as there, under mmcv's names for this operator.

    Source: arXiv:1811.11168, Eq. 1.
    """
    bias = bias if with_bias else weight.new_zeros(len(weight))
    offset, mask = (_read_as(x, output) for x in (offset, mask))
    tensors = [widen(x) for x in (input, weight, offset, mask, bias)]
    output.copy_(torchvision().deform_conv2d(*tensors, *_modulated(**geometry), True))


@operator
def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Write all gradients of `modulated_deform_conv_forward`."""
    bias = bias if with_bias else weight.new_zeros(len(weight))
    offset, mask = (_read_as(x, grad_output) for x in (offset, mask))
    tensors = [widen(x) for x in (grad_output, input, weight, offset, mask, bias)]
    numbers = _modulated(**geometry)
    found = [*torchvision()._deform_conv2d_backward(*tensors, *numbers, True)]
    found[2] = _inside(found[2], input, weight, offset, numbers)
    for grad, value in zip((grad_input, grad_weight, grad_offset, grad_mask), found):
        _write_as_read(grad, value)
    if with_bias:
        grad_bias.copy_(found[4])


@operator
def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sum weighted bilinear samples of several maps, with mmcv's own PyTorch function.

    mmcv itself calls that function on CPU and in bfloat16. Half precision is widened to float32.

    Args:
        value: (B, keys, heads, d), the concatenated cells of all maps.
        spatial_shapes: (levels, 2) height and width of the maps, in cells.
        level_start_index, im2col_step: not used.
        sampling_locations: (B, queries, heads, levels, points, 2), x and y from 0 to 1.
        attention_weights: (B, queries, heads, levels, points).

    Returns:
        (B, queries, heads * d).

    Source: arXiv:2010.04159, Eq. 3.
    """
    tensors = [widen(x) for x in (value, sampling_locations, attention_weights)]
    return _deformable_attention(spatial_shapes)(*tensors).to(value.dtype)


@operator
def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of `ms_deform_attn_forward`."""
    tensors = tuple(widen(x) for x in (value, sampling_locations, attention_weights))
    found = gradients(_deformable_attention(spatial_shapes), tensors, widen(grad_output))
    for grad, x in zip((grad_value, grad_sampling_loc, grad_attn_weight), found):
        grad.copy_(x)


def _deformable_attention(spatial_shapes: Tensor) -> Callable[..., Tensor]:
    """Return the attention over maps of these shapes as a function of values, places, weights."""
    attend = importlib.import_module(
        'mmcv.ops.multi_scale_deform_attn'
    ).multi_scale_deformable_attn_pytorch
    shapes = spatial_shapes.tolist()  # once: the function would sync with the GPU for each number
    return lambda value, locations, weights: attend(value, shapes, locations, weights)


def _conv_gradients(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, **geometry: int
) -> tuple[Tensor, ...]:
    """Return the gradients of input, weight, offset, mask, bias; the last two are meaningless."""
    neutral = _neutral(input, weight)
    tensors = [widen(x) for x in (grad_output, input, weight, offset, *neutral)]
    numbers = _geometry(**geometry)
    found = [*torchvision()._deform_conv2d_backward(*tensors, *numbers, False)]
    found[2] = _inside(found[2], input, weight, offset, numbers)
    return tuple(found)


def _inside(
    grad_offset: Tensor, input: Tensor, weight: Tensor, offset: Tensor, geometry: tuple[int, ...]
) -> Tensor:
    """Zero the offset gradients of samples outside the map, as mmcv does.

    Only at exactly one cell before the map, where integer offsets of a padded map put samples at
    the start of training, does torchvision differ: it takes the slope towards the map.
    """
    dH, dW, padH, padW, dilationH, dilationW = geometry[:6]
    (H, W), (kH, kW), (rows, columns) = input.shape[2:], weight.shape[2:], offset.shape[2:]

    def start(count: int, stride: int, pad: int, taps: int, dilation: int) -> Tensor:
        centres = torch.arange(count, device=offset.device) * stride - pad
        return torch.arange(taps, device=offset.device)[:, None] * dilation + centres

    y = start(rows, dH, padH, kH, dilationH)[:, None, :, None]  # (kH, 1, H', 1)
    x = start(columns, dW, padW, kW, dilationW)[None, :, None]  # (1, kW, 1, W')
    shift = widen(offset).unflatten(1, (-1, kH, kW, 2))  # (B, groups, kH, kW, 2, H', W')
    y, x = y + shift[..., 0, :, :], x + shift[..., 1, :, :]
    inside = (y > -1) & (y < H) & (x > -1) & (x < W)
    return (grad_offset.unflatten(1, (-1, kH, kW, 2)) * inside.unsqueeze(-3)).flatten(1, 4)


def _read_as(x: Tensor, like: Tensor) -> Tensor:
    """Read each image's first values, channel by channel, as a map of the size of `like`.

    DyHead passes one level's offsets and masks to the convolution of the next, smaller one. mmcv's
    kernels read them this way, and published weights rely on it. For equal sizes, return `x`.
    """
    channels, (H, W) = x.shape[1], like.shape[2:]
    if x.shape[2:] == like.shape[2:]:
        return x
    return x.flatten(1)[:, : channels * H * W].unflatten(1, (channels, H, W))


def _write_as_read(grad: Tensor, value: Tensor) -> None:
    """Copy `value` to the positions in `grad` that `_read_as` reads, and zeros elsewhere."""
    flat = value.new_zeros(len(grad), grad[0].numel())
    flat[:, : value[0].numel()] = value.flatten(1)
    grad.copy_(flat.view(grad.shape))


def _neutral(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mask and bias that torchvision expects where there are none."""
    return input.new_zeros(len(input), 1), weight.new_zeros(len(weight))


def _geometry(
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
) -> tuple[int, ...]:
    """Return the numbers in torchvision's order; it gets the kernel size from the weight."""
    return dH, dW, padH, padW, dilationH, dilationW, group, deformable_group


def _modulated(
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
) -> tuple[int, ...]:
    """Return the numbers in torchvision's order."""
    return stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group
