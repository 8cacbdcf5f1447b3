"""Examples of every operator: inputs as the smallest variants have them in their first stage."""

from collections.abc import Callable
from functools import partial

import torch

from backbones.ops.attention import attention
from backbones.ops.channel_aggregation import channel_aggregation
from backbones.ops.context_gate import context_gate
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.cross_shaped_attention import cross_shaped_attention
from backbones.ops.decompose_context import decompose_context
from backbones.ops.dense_conv import dense_conv
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.gated_product import gated_product
from backbones.ops.global_attention import global_attention
from backbones.ops.linear import linear
from backbones.ops.mlp import mlp
from backbones.ops.multi_order_conv import multi_order_conv
from backbones.ops.outlook_attention import outlook_attention
from backbones.ops.pointwise import pointwise

Shapes = list['tuple[int, ...] | Shapes']


def examples(B: int, H: int, W: int) -> dict[str, tuple[Callable, Shapes]]:
    """By operator: what is called, and the shapes of its inputs for maps of H x W cells."""

    def maps(channels: int) -> tuple[int, ...]:
        return B, channels, H, W

    def layer(out: int, *kernel: int) -> Shapes:
        return [(out, *kernel), (out,)]

    gate, both = partial(context_gate, scale=0.25), [layer(32, 32, 1, 1)] * 2
    cross, lepe = partial(cross_shaped_attention, heads=2, stripe=1), [layer(32, 1, 3, 3)] * 2
    aggregation = [layer(256, 32, 1, 1), layer(256, 1, 3, 3), layer(1, 256, 1, 1), (1, 256, 1, 1)]
    conv = [layer(192, 48, 1, 1), layer(192, 1, 5, 5), layer(48, 192, 1, 1)]
    pooled = (B, 16, -(-H // 8), -(-W // 8))
    logits = (B, -(-H // 2), -(-W // 2), 6 * 81)
    orders = [[(32, 1, 5, 5), (12, 1, 5, 5), (16, 1, 7, 7)], [(32,), (12,), (16,)]]
    return dict(
        attention=(attention, [(B, 12, H * W, 24)] * 3),
        channel_aggregation=(channel_aggregation, [maps(32), *aggregation, layer(32, 256, 1, 1)]),
        context_gate=(gate, [maps(96), layer(96, 1, 3, 3), *both]),
        conv_mlp=(conv_mlp, [maps(48), *conv]),
        cross_shaped_attention=(cross, [(B, H, W, 192), lepe]),
        decompose_context=(decompose_context, [maps(32), layer(32, 32, 1, 1), (1, 32, 1, 1)]),
        dense_conv=(partial(dense_conv, padding=1), [maps(64), *layer(64, 64, 3, 3)]),
        depthwise_conv=(partial(depthwise_conv, dilation=3), [maps(32), *layer(32, 1, 7, 7)]),
        dilated_attention=(partial(dilated_attention, heads=3), [(B, H, W, 72)] * 3),
        gated_product=(gated_product, [maps(32)] * 2),
        global_attention=(partial(global_attention, heads=1), [maps(16), pooled, pooled]),
        linear=(linear, [(B, H, W, 64), *layer(192, 64)]),
        mlp=(mlp, [(B, H, W, 72), layer(288, 72), layer(72, 288)]),
        multi_order_conv=(multi_order_conv, [maps(32), *orders]),
        outlook_attention=(partial(outlook_attention, heads=6), [logits, (B, H, W, 192)]),
        pointwise=(pointwise, [maps(64), *layer(256, 64, 1, 1)]),
    )


OPERATORS = tuple(examples(1, 1, 1))


def backends(name: str) -> list[str]:
    """All backends of an operator, as it lists them when it refuses one."""
    f, shapes = examples(1, 2, 2)[name]
    try:
        f(*_empty(shapes), backend='?')
    except ValueError as refusal:
        return str(refusal).split('allowed: auto, ')[1].split(', ')
    raise AssertionError(f'{name} takes any backend')


def _empty(shapes: tuple[int, ...] | Shapes) -> torch.Tensor | list:
    if isinstance(shapes, list):
        return [_empty(part) for part in shapes]
    return torch.empty(shapes, device='meta')
