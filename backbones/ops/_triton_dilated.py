"""Dilated attention in Triton. See `backbones.ops.dilated_attention`.

Each program computes one head of consecutive positions. In the backward pass it recomputes the
weights, and a position is both a query and a key for its neighbours' queries: nothing is summed
across programs, so the gradients do not depend on the order in which they run.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import FunctionCtx

from backbones.ops._triton import head_sizes

POSITIONS = 32  # per program


@triton.jit
def _dilation(head, heads: tl.constexpr, dilations: tl.constexpr):
    """Look up the dilation of a head."""
    group = head // (heads // len(dilations))
    found = dilations[0] + tl.zeros_like(group)
    for i in tl.static_range(1, len(dilations)):
        found = tl.where(group == i, dilations[i], found)
    return found


@triton.jit
def _forward(
    q, k, v, out, norm, count, H, W,
    step: tl.constexpr, heads: tl.constexpr, dilations: tl.constexpr, kernel_size: tl.constexpr,
    d: tl.constexpr, D: tl.constexpr, scale: tl.constexpr, wide: tl.constexpr,
    POSITIONS: tl.constexpr,
):  # fmt: skip
    # a position's heads run one after another, because they share cache lines
    head = tl.program_id(0) % heads
    start = (tl.program_id(0) // heads).to(tl.int64) * POSITIONS
    here, channel = tl.arange(0, POSITIONS), tl.arange(0, D)[None, :]
    x, y = (start + here) % W, (start + here) // W % H
    own = start + here < count
    at = start * step + head * d + here[:, None] * step + channel
    query = tl.load(q + at, own[:, None] & (channel < d), 0.0).to(wide) * scale
    top = tl.full((POSITIONS,), float('-inf'), wide)
    total = tl.zeros((POSITIONS,), wide)
    mixed = tl.zeros((POSITIONS, D), wide)
    dilation = _dilation(head, heads, dilations)
    for tap in tl.static_range(kernel_size * kernel_size):
        dy = (tap // kernel_size - kernel_size // 2) * dilation
        dx = (tap % kernel_size - kernel_size // 2) * dilation
        inside = own & (y + dy >= 0) & (y + dy < H) & (x + dx >= 0) & (x + dx < W)
        there, mask = at + (dy * W + dx) * step, inside[:, None] & (channel < d)
        logit = tl.sum(query * tl.load(k + there, mask, 0.0).to(wide), 1)
        before = top
        top = tl.maximum(top, logit)
        shrunk, weight = tl.exp(before - top), tl.exp(logit - top)
        total = total * shrunk + weight
        mixed = mixed * shrunk[:, None]
        mixed += weight[:, None] * tl.load(v + there, mask, 0.0).to(wide)
    at = (start * heads + head) * d + here[:, None] * (heads * d) + channel
    mixed = (mixed / total[:, None]).to(out.dtype.element_ty)
    tl.store(out + at, mixed, own[:, None] & (channel < d))
    tl.store(norm + (start + here) * heads + head, top + tl.log(total), own)


@triton.jit
def _backward(
    q, k, v, out, grad, norm, grad_q, grad_k, grad_v, count, H, W,
    step: tl.constexpr, heads: tl.constexpr, dilations: tl.constexpr, kernel_size: tl.constexpr,
    d: tl.constexpr, D: tl.constexpr, scale: tl.constexpr, wide: tl.constexpr,
    POSITIONS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0) % heads
    start = (tl.program_id(0) // heads).to(tl.int64) * POSITIONS
    here, channel = tl.arange(0, POSITIONS), tl.arange(0, D)[None, :]
    x, y = (start + here) % W, (start + here) // W % H
    own = start + here < count
    mask = own[:, None] & (channel < d)
    at = start * step + head * d + here[:, None] * step + channel  # in q, k and v
    at_out = (start * heads + head) * d + here[:, None] * (heads * d) + channel
    at_norm = (start + here) * heads + head
    query = tl.load(q + at, mask, 0.0).to(wide) * scale
    key = tl.load(k + at, mask, 0.0).to(wide) * scale
    value = tl.load(v + at, mask, 0.0).to(wide)
    g = tl.load(grad + at_out, mask, 0.0).to(wide)
    mean = tl.sum(g * tl.load(out + at_out, mask, 0.0).to(wide), 1)  # mean gradient of the weights
    own_norm = tl.load(norm + at_norm, own, 0.0)
    to_query = tl.zeros((POSITIONS, D), wide)
    to_key = tl.zeros((POSITIONS, D), wide)
    to_value = tl.zeros((POSITIONS, D), wide)
    dilation = _dilation(head, heads, dilations)
    for tap in tl.static_range(kernel_size * kernel_size):
        dy = (tap // kernel_size - kernel_size // 2) * dilation
        dx = (tap % kernel_size - kernel_size // 2) * dilation
        inside = own & (y + dy >= 0) & (y + dy < H) & (x + dx >= 0) & (x + dx < W)
        there, near = (dy * W + dx) * step, inside[:, None] & (channel < d)
        there_out = at_out + (dy * W + dx) * (heads * d)
        # a query here, its key and value there
        a = tl.load(k + at + there, near, 0.0).to(wide)
        b = tl.load(v + at + there, near, 0.0).to(wide)
        weight = tl.exp(tl.sum(query * a, 1) - own_norm)
        to_query += (weight * (tl.sum(g * b, 1) - mean))[:, None] * a
        # a query there, its key and value here; outside the map, a and b are zero
        a = tl.load(q + at + there, near, 0.0).to(wide)
        b = tl.load(grad + there_out, near, 0.0).to(wide)
        c = tl.load(out + there_out, near, 0.0).to(wide)
        far_norm = tl.load(norm + at_norm + (dy * W + dx) * heads, inside, float('inf'))
        weight = tl.exp(tl.sum(key * a, 1) - far_norm)
        to_key += (weight * tl.sum(b * (value - c), 1))[:, None] * a
        to_value += weight[:, None] * b
    tl.store(grad_q + at_out, (to_query * scale).to(grad_q.dtype.element_ty), mask)
    tl.store(grad_k + at_out, (to_key * scale).to(grad_k.dtype.element_ty), mask)
    tl.store(grad_v + at_out, to_value.to(grad_v.dtype.element_ty), mask)


@torch.library.custom_op('backbones::dilated_attention', mutates_args=())
def attend(
    q: Tensor, k: Tensor, v: Tensor, heads: int, dilations: Sequence[int], kernel_size: int
) -> tuple[Tensor, Tensor]:
    """Return the operator's output and, per head, the logarithm of its softmax denominator."""
    out, norm = _empty(q, k, v, heads, dilations, kernel_size)
    q, k, v, step = _alike(q, k, v)
    _, H, W, C = q.shape
    count = norm.numel() // heads
    with torch.cuda.device_of(q):
        _forward[_grid(norm)](
            q, k, v, out, norm, count, H, W, step,
            heads, tuple(dilations), kernel_size, **head_sizes(C // heads, q), POSITIONS=POSITIONS,
        )  # fmt: skip
    return out, norm


@attend.register_fake
def _empty(
    q: Tensor, k: Tensor, v: Tensor, heads: int, dilations: Sequence[int], kernel_size: int
) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(q.dtype, torch.float32)
    return v.new_empty(v.shape), q.new_empty(*q.shape[:3], heads, dtype=wide)


@torch.library.custom_op('backbones::dilated_attention_backward', mutates_args=())
def attend_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    norm: Tensor,
    dilations: Sequence[int],
    kernel_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of q, k and v."""
    gradients = _empty_gradients(grad, q, k, v, out, norm, dilations, kernel_size)
    q, k, v, step = _alike(q, k, v)
    _, H, W, C = q.shape
    heads = norm.shape[-1]
    count = norm.numel() // heads
    with torch.cuda.device_of(q):
        _backward[_grid(norm)](
            q, k, v, out, grad.contiguous(), norm, *gradients, count, H, W, step,
            heads, tuple(dilations), kernel_size, **head_sizes(C // heads, q), POSITIONS=POSITIONS,
        )  # fmt: skip
    return gradients


@attend_backward.register_fake
def _empty_gradients(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    norm: Tensor,
    dilations: Sequence[int],
    kernel_size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    return q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)


def _alike(*maps: Tensor) -> tuple[Tensor | int, ...]:
    """Copy (B, H, W, C) maps unless their positions are evenly spaced; also return the spacing."""
    _, H, W, C = maps[0].shape
    step = maps[0].stride(2)
    if all(x.stride() == (H * W * step, W * step, step, 1) for x in maps):
        return *maps, step
    return *(x.contiguous() for x in maps), C


def _grid(norm: Tensor) -> tuple[int]:
    heads = norm.shape[-1]
    return (triton.cdiv(norm.numel() // heads, POSITIONS) * heads,)


def _keep(ctx: FunctionCtx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    q, k, v, _, ctx.dilations, ctx.kernel_size = inputs
    ctx.save_for_backward(q, k, v, *output)
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: FunctionCtx, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    found = attend_backward(grad, *ctx.saved_tensors, ctx.dilations, ctx.kernel_size)
    return *found, None, None, None


attend.register_autograd(_differentiate, setup_context=_keep)
