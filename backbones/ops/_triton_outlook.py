"""Outlook attention in Triton. See `backbones.ops.outlook_attention`.

Each program computes one head of consecutive windows (a, b): in the forward pass, the four
positions (2a, 2b) to (2a + 1, 2b + 1), which together cover each cell of each window once; in the
backward pass, the gradients of these four values and of the window's own logits. Nothing is summed
across programs, so the results do not depend on the order in which they run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import FunctionCtx

from backbones.ops._triton import head_sizes

WINDOWS = 32  # per program


@triton.jit
def _forward(
    logits, v, out, norm, count, h, w, H, W,
    heads: tl.constexpr, d: tl.constexpr, D: tl.constexpr, scale: tl.constexpr, wide: tl.constexpr,
    WINDOWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0) % heads  # the heads of a window share cache lines
    window = (tl.program_id(0) // heads).to(tl.int64) * WINDOWS + tl.arange(0, WINDOWS)
    own, b, a = window < count, window % w, window // w % h
    channel, cell = tl.arange(0, D)[None, :], tl.arange(0, 16)[None, :]
    at = ((window // (h * w) * H + 2 * a) * W + 2 * b)[:, None] * (heads * d) + head * d + channel
    for y in tl.static_range(2):
        for x in tl.static_range(2):  # the position (2a + y, 2b + x)
            mixed = tl.zeros((WINDOWS, D), wide)
            for s in tl.static_range(y + 1):
                for t in tl.static_range(x + 1):  # the windows (a + s, b + t) that hold it
                    i = (y - 2 * s + 1) * 3 + x - 2 * t + 1  # its number there
                    there = (window + s * w + t) * heads + head
                    near = own & (a + s < h) & (b + t < w)
                    row = logits + there * 81 + i * 9
                    row_mask = near[:, None] & (cell < 9)
                    terms = tl.load(row[:, None] + cell, row_mask, 0.0).to(wide) * scale
                    terms = tl.where(cell < 9, terms, float('-inf'))
                    top = tl.max(terms, 1)
                    total = top + tl.log(tl.sum(tl.exp(terms - top[:, None]), 1))
                    tl.store(norm + there * 9 + i, total, near)
                    for j in range(9):
                        dy = 2 * s + j // 3 - 1
                        dx = 2 * t + j % 3 - 1
                        inside = near & (2 * a + dy >= 0) & (2 * a + dy < H)
                        inside = inside & (2 * b + dx >= 0) & (2 * b + dx < W)
                        mask = inside[:, None] & (channel < d)
                        value = tl.load(v + at + (dy * W + dx) * (heads * d), mask, 0.0).to(wide)
                        weight = tl.exp(tl.load(row + j, near, 0.0).to(wide) * scale - total)
                        mixed += weight[:, None] * value
            mask = (own & (2 * a + y < H) & (2 * b + x < W))[:, None] & (channel < d)
            mixed = mixed.to(out.dtype.element_ty)
            tl.store(out + at + (y * W + x) * (heads * d), mixed, mask)


@triton.jit
def _backward(
    logits, v, grad, norm, grad_logits, grad_v, count, h, w, H, W,
    heads: tl.constexpr, d: tl.constexpr, D: tl.constexpr, scale: tl.constexpr, wide: tl.constexpr,
    WINDOWS: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(0) % heads
    window = (tl.program_id(0) // heads).to(tl.int64) * WINDOWS + tl.arange(0, WINDOWS)
    own, b, a = window < count, window % w, window // w % h
    channel, cell = tl.arange(0, D)[None, :], tl.arange(0, 16)[None, :]
    at = ((window // (h * w) * H + 2 * a) * W + 2 * b)[:, None] * (heads * d) + head * d + channel

    for i in range(9):  # the rows of this window's logits
        dy = i // 3 - 1
        dx = i % 3 - 1
        inside = own & (2 * a + dy >= 0) & (2 * a + dy < H)
        inside = inside & (2 * b + dx >= 0) & (2 * b + dx < W)
        mask = inside[:, None] & (channel < d)
        g = tl.load(grad + at + (dy * W + dx) * (heads * d), mask, 0.0).to(wide)
        to_weight = tl.zeros((WINDOWS, 16), wide)
        for j in range(9):
            dy = j // 3 - 1
            dx = j % 3 - 1
            near = own & (2 * a + dy >= 0) & (2 * a + dy < H)
            near = near & (2 * b + dx >= 0) & (2 * b + dx < W)
            mask = near[:, None] & (channel < d)
            value = tl.load(v + at + (dy * W + dx) * (heads * d), mask, 0.0).to(wide)
            to_weight += tl.where(cell == j, tl.sum(g * value, 1)[:, None], 0.0)
        row = (window * heads + head) * 9 + i
        row_mask = inside[:, None] & (cell < 9)
        total = tl.load(norm + row, inside, 0.0)[:, None]
        terms = tl.load(logits + row[:, None] * 9 + cell, row_mask, 0.0).to(wide) * scale
        weight = tl.where(row_mask, tl.exp(terms - total), 0.0)
        change = weight * (to_weight - tl.sum(weight * to_weight, 1)[:, None]) * scale
        change = change.to(grad_logits.dtype.element_ty)
        tl.store(grad_logits + row[:, None] * 9 + cell, change, own[:, None] & (cell < 9))

    for y in tl.static_range(2):
        for x in tl.static_range(2):  # the value at (2a + y, 2b + x)
            found = tl.zeros((WINDOWS, D), wide)
            for s in tl.static_range(y + 1):
                for t in tl.static_range(x + 1):  # the windows (a + s, b + t) that hold it
                    j = (y - 2 * s + 1) * 3 + x - 2 * t + 1  # its number there
                    there = (window + s * w + t) * heads + head
                    near = own & (a + s < h) & (b + t < w)
                    for i in range(9):
                        dy = 2 * s + i // 3 - 1
                        dx = 2 * t + i % 3 - 1
                        inside = near & (2 * a + dy >= 0) & (2 * a + dy < H)
                        inside = inside & (2 * b + dx >= 0) & (2 * b + dx < W)
                        mask = inside[:, None] & (channel < d)
                        g = tl.load(grad + at + (dy * W + dx) * (heads * d), mask, 0.0).to(wide)
                        term = tl.load(logits + there * 81 + i * 9 + j, inside, 0.0).to(wide)
                        total = tl.load(norm + there * 9 + i, inside, float('inf'))
                        found += tl.exp(term * scale - total)[:, None] * g
            mask = (own & (2 * a + y < H) & (2 * b + x < W))[:, None] & (channel < d)
            found = found.to(grad_v.dtype.element_ty)
            tl.store(grad_v + at + (y * W + x) * (heads * d), found, mask)


@torch.library.custom_op('backbones::outlook_attention', mutates_args=())
def attend(logits: Tensor, v: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Return the operator's output and the logarithms of its softmax denominators.

    For cells outside the map they are 0; no position uses them.
    """
    out, norm = _empty(logits, v, heads)
    _run(_forward, v, heads, logits.contiguous(), v.contiguous(), out, norm.zero_())
    return out, norm


@attend.register_fake
def _empty(logits: Tensor, v: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(v.dtype, torch.float32)
    return v.new_empty(v.shape), v.new_empty(*logits.shape[:3], heads, 9, dtype=wide)


@torch.library.custom_op('backbones::outlook_attention_backward', mutates_args=())
def attend_backward(grad: Tensor, logits: Tensor, v: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of logits and v."""
    gradients = _empty_gradients(grad, logits, v, norm)
    maps = (x.contiguous() for x in (logits, v, grad, norm))
    _run(_backward, v, norm.shape[3], *maps, *gradients)
    return gradients


@attend_backward.register_fake
def _empty_gradients(
    grad: Tensor, logits: Tensor, v: Tensor, norm: Tensor
) -> tuple[Tensor, Tensor]:
    return logits.new_empty(logits.shape), v.new_empty(v.shape)


def _run(kernel: triton.JITFunction, v: Tensor, heads: int, *tensors: Tensor) -> None:
    B, H, W, C = v.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    count = B * h * w
    with torch.cuda.device_of(v):
        kernel[(triton.cdiv(count, WINDOWS) * heads,)](
            *tensors, count, h, w, H, W, heads, **head_sizes(C // heads, v), WINDOWS=WINDOWS
        )


def _keep(ctx: FunctionCtx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    logits, v, _ = inputs
    ctx.save_for_backward(logits, v, output[1])
    ctx.mark_non_differentiable(output[1])


def _differentiate(ctx: FunctionCtx, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    return *attend_backward(grad, *ctx.saved_tensors), None


attend.register_autograd(_differentiate, setup_context=_keep)
