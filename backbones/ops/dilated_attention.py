"""Multi-scale dilated attention (DilateFormer, arXiv:2302.01791, Sec. 3.1 and 3.2)."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.ops._triton import require_triton
from backbones.ops.dispatch import PLAIN, choose, once_differentiable, pick

STRIP = 2**16  # values of a group's queries in a strip; with keys and values, a core's L2 cache


def dilated_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    heads: int,
    dilations: tuple[int, ...] = (1, 2, 3),
    kernel_size: int = 3,
    backend: str = 'auto',
) -> Tensor:
    """Attend from every position to its kernel_size x kernel_size dilated neighbours.

    With d = C / heads and neighbours n of position p at distance dilation * {-1, 0, 1}:
    out_p = sum_n softmax_n(q_p . k_n / sqrt(d)) v_n. A neighbour outside the map has a zero key and
    a zero value and is not masked: its logit 0 takes part in the softmax.

    Args:
        q, k, v: (B, H, W, C); a head has C / heads consecutive channels.
        heads: number of heads, a multiple of `len(dilations)`.
        dilations: one per consecutive group of heads / len(dilations) heads, in cells.
        kernel_size: odd side of the neighbourhood, in cells.
        backend: 'plain' unfolds keys and values, kernel_size^2 copies of each. 'shift' reads
            shifted views instead. 'strips' does so with channel planes, a few rows at a time (all
            on GPUs), and stores only q, k, v and the attention weights for the backward pass.
            'triton' is a GPU kernel that copies nothing and stores q, k, v and the output. It has
            never been timed on a GPU, so 'auto' uses it on CUDA devices only if the environment
            variable DENSE_BACKBONES_TRITON was 1 when this package was imported.

    Returns:
        (B, H, W, C).

    Raises:
        ValueError: channels, heads and dilations do not match, or the backend is unknown.
        UserError: 'triton' cannot run here.

    Source: Eq. 1 to 4; github.com/JIAOJIAYUASD/dilateformer.
    """
    if q.shape[-1] % heads or heads % len(dilations):
        raise ValueError(
            f'{q.shape[-1]} channels, {heads} heads, {len(dilations)} dilations: each number must '
            'be a multiple of the next'
        )
    forms = {PLAIN: _plain, 'shift': _shift, 'strips': _Strips.apply, 'triton': _triton}
    attend = pick(backend, forms, choose('dilated_attention', q, k, v))
    return attend(q, k, v, heads, dilations, kernel_size)


def _by_group(attend: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Extend attention with one dilation to several, one per group of heads."""

    def run(
        q: Tensor, k: Tensor, v: Tensor, heads: int, dilations: tuple[int, ...], kernel_size: int
    ) -> Tensor:
        groups = zip(dilations, *(t.chunk(len(dilations), dim=-1) for t in (q, k, v)))
        return torch.cat(
            [attend(*qkv, heads // len(dilations), r, kernel_size) for r, *qkv in groups], dim=-1
        )

    return run


@_by_group
def _plain(q: Tensor, k: Tensor, v: Tensor, heads: int, dilation: int, kernel_size: int) -> Tensor:
    B, H, W, C = q.shape
    padding = dilation * (kernel_size - 1) // 2

    def neighbours(x: Tensor) -> Tensor:
        x = F.unfold(x.permute(0, 3, 1, 2), kernel_size, dilation, padding)
        return x.view(B, heads, C // heads, kernel_size**2, H, W).permute(
            0, 4, 5, 1, 3, 2
        )  # (B, H, W, h, n, d)

    q = q.view(B, H, W, heads, 1, C // heads)
    logits = q @ neighbours(k).transpose(-1, -2) * (C // heads) ** -0.5  # (B, H, W, h, 1, n)
    return (_softmax(logits) @ neighbours(v)).view(B, H, W, C)


@_by_group
def _shift(q: Tensor, k: Tensor, v: Tensor, heads: int, dilation: int, kernel_size: int) -> Tensor:
    B, H, W, C = q.shape
    radius = dilation * (kernel_size // 2)

    def neighbours(x: Tensor) -> list[Tensor]:
        x = F.pad(x, (0, 0, radius, radius, radius, radius)).unflatten(-1, (heads, -1))
        offsets = range(0, 2 * radius + 1, dilation)
        rows = [x[:, a : a + H] for a in offsets]
        return [r[:, :, b : b + W] for r in rows for b in offsets]  # (B, H, W, h, d) each

    q = q.unflatten(-1, (heads, -1)) * (C // heads) ** -0.5
    weights = _softmax(
        torch.stack([(q * key).sum(-1) for key in neighbours(k)], dim=-1)
    )  # (B, H, W, h, n)
    out = sum(
        weight.unsqueeze(-1) * value for weight, value in zip(weights.unbind(-1), neighbours(v))
    )
    return out.flatten(-2)


def _triton(
    q: Tensor, k: Tensor, v: Tensor, heads: int, dilations: tuple[int, ...], kernel_size: int
) -> Tensor:
    require_triton(q)
    from backbones.ops._triton_dilated import attend  # only on request

    return attend(q, k, v, heads, dilations, kernel_size)[0]


def _softmax(logits: Tensor) -> Tensor:
    """Compute softmax over the neighbours in float32 or wider: bf16 would cost three digits."""
    dtype = torch.promote_types(logits.dtype, torch.float32)
    return torch.softmax(logits, -1, dtype=dtype).to(logits.dtype)


class _Strips(torch.autograd.Function):
    """Products of channel planes, a tap and a few rows at a time.

    Planes are flat, with rows as wide as those of the framed keys and values, so that the
    neighbours of consecutive queries are one slice, at an offset that depends only on the tap.
    Cells to the right of the map in the planes of queries are zero and are discarded.
    """

    @staticmethod
    def forward(
        ctx,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        heads: int,
        dilations: tuple[int, ...],
        kernel_size: int,
    ) -> Tensor:
        out, kept = torch.empty_like(v, memory_format=torch.contiguous_format), []
        heads //= len(dilations)
        scale = (q.shape[-1] // len(dilations) // heads) ** -0.5
        parts = zip(dilations, *(x.chunk(len(dilations), dim=-1) for x in (q, k, v, out)))
        for dilation, queries, keys, values, result in parts:
            radius = dilation * (kernel_size // 2)
            keys, values = _frame(keys, heads, radius), _frame(values, heads, radius)
            B, H, W, _ = queries.shape
            weights = keys.new_empty(kernel_size**2, B, heads, H * (W + 2 * radius))
            for rows, cells, taps in _strips(queries, radius, dilation):
                x = _planes(queries[:, rows], heads, W + 2 * radius).mul_(scale)
                _dots(x, keys, taps, weights[..., cells])
                _softmax_(weights[..., cells])
                x = _mix(weights[..., cells], values, taps)
                result[:, rows] = _map(x, W + 2 * radius)[:, :, :W]
            kept.append(weights)
        ctx.save_for_backward(q, k, v, *kept)
        ctx.heads, ctx.dilations, ctx.kernel_size, ctx.scale = heads, dilations, kernel_size, scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *weights = ctx.saved_tensors  # read once: a checkpointed block unpacks them once
        qkv = (q, k, v)
        gradients = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in qkv]
        groups = len(ctx.dilations)
        parts = zip(*(x.chunk(groups, dim=-1) for x in (*qkv, grad, *gradients)))
        for dilation, weight, part in zip(ctx.dilations, weights, parts):
            _backward(*part, weight, ctx.heads, ctx.kernel_size, dilation, ctx.scale)
        return *gradients, None, None, None


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad: Tensor,
    grad_q: Tensor,
    grad_k: Tensor,
    grad_v: Tensor,
    weights: Tensor,
    heads: int,
    kernel_size: int,
    dilation: int,
    scale: float,
) -> None:
    """Fill in the gradients of one group, (B, H, W, c) maps like its q, k and v."""
    radius = dilation * (kernel_size // 2)
    H, W = q.shape[1:3]
    width = W + 2 * radius
    k, v = _frame(k, heads, radius), _frame(v, heads, radius)
    to_k, to_v = torch.zeros_like(k), torch.zeros_like(v)
    for rows, cells, taps in _strips(q, radius, dilation):
        a, g = weights[..., cells], _planes(grad[:, rows], heads, width)
        _spread(a, g, taps, to_v)
        logits = _dots(g, v, taps, torch.empty_like(a))
        logits.sub_((logits * a).sum(0)).mul_(a)
        _spread(logits, _planes(q[:, rows], heads, width).mul_(scale), taps, to_k)
        g = _mix(logits, k, taps).mul_(scale)
        grad_q[:, rows] = _map(g, width)[:, :, :W]
    for target, framed in ((grad_k, to_k), (grad_v, to_v)):
        target.copy_(_map(framed, width)[:, radius : radius + H, radius : radius + W])


def _strips(x: Tensor, radius: int, dilation: int) -> Iterator[tuple[slice, slice, list[slice]]]:
    """Cut a map into strips: rows, their cells in query planes, and in framed planes by tap."""
    B, H, W, c = x.shape
    width = W + 2 * radius
    rows = max(STRIP // max(B * c * width, 1), 1) if x.device.type == 'cpu' else H
    offsets = range(0, 2 * radius + 1, dilation)
    for i in range(0, H, rows):
        end = min(i + rows, H)
        corners = [a * width + b for a in offsets for b in offsets]
        taps = [slice(i * width + at, end * width + at) for at in corners]
        yield slice(i, end), slice(i * width, end * width), taps


def _planes(x: Tensor, heads: int, width: int) -> Tensor:
    """Copy (B, H, W, c), as float32 or wider, to flat planes (B, h, d, H * width)."""
    B, H, W, c = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    planes = x.new_zeros(B, c, H, width, dtype=dtype)
    planes[..., :W] = x.permute(0, 3, 1, 2)
    return planes.flatten(2).unflatten(1, (heads, -1))


def _frame(x: Tensor, heads: int, radius: int) -> Tensor:
    """Do what `_planes` does, with `radius` zeros around the map and a row for the last tap.

    (B, h, d, (H + 2 radius + 1) * (W + 2 radius)).
    """
    B, H, W, c = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    planes = x.new_zeros(B, c, H + 2 * radius + 1, W + 2 * radius, dtype=dtype)
    inner = planes[:, :, radius : radius + H, radius : radius + W]
    for rows, _, _ in _strips(x, radius, 1):  # at once, cache lines would be fetched 16 times
        inner[:, :, rows] = x[:, rows].permute(0, 3, 1, 2)
    return planes.flatten(2).unflatten(1, (heads, -1))


def _map(x: Tensor, width: int) -> Tensor:
    """View planes (B, h, d, H * width) as (B, H, width, c)."""
    return x.unflatten(-1, (-1, width)).flatten(1, 2).permute(0, 2, 3, 1)


def _dots(x: Tensor, framed: Tensor, taps: list[slice], out: Tensor) -> Tensor:
    """Write the products over d of x and its neighbours to `out`, (n, B, h, cells)."""
    product = torch.empty_like(x)
    for tap, dots in zip(taps, out):
        torch.mul(x, framed[..., tap], out=product)
        torch.sum(product, 2, out=dots)
    return out


def _mix(weights: Tensor, framed: Tensor, taps: list[slice]) -> Tensor:
    """Add up neighbours by their weights, (B, h, d, cells)."""
    out = weights[0].unsqueeze(2) * framed[..., taps[0]]
    for tap, weight in zip(taps[1:], weights[1:]):
        out.addcmul_(framed[..., tap], weight.unsqueeze(2))
    return out


def _spread(weights: Tensor, x: Tensor, taps: list[slice], framed: Tensor) -> None:
    """Add x to its neighbours by their weights, the adjoint of `_mix`."""
    for tap, weight in zip(taps, weights):
        framed[..., tap].addcmul_(x, weight.unsqueeze(2))


def _softmax_(logits: Tensor) -> None:
    """Compute softmax over the first dimension, in place."""
    logits.sub_(logits.amax(0)).exp_()
    logits.div_(logits.sum(0))
