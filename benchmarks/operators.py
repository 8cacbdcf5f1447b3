"""An example of each operator: modules and inputs from the smallest variants' first stages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest import mock

from torch import Tensor, nn

from backbones import cloformer, cswin, moganet
from backbones.layers import Convolutions, Mlp, SelfAttention
from backbones.ops.attention import attention
from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.dispatch import TABLE, TRITON, Row, mode
from backbones.ops.outlook_attention import outlook_attention

Shapes = list[tuple[int, ...]]


class Function(nn.Module):
    """A functional operator, which has no layers, as a module."""

    def __init__(self, operator: Callable[..., Tensor], **options: object) -> None:
        super().__init__()
        self.operator, self.options = operator, options

    def forward(self, *tensors: Tensor) -> Tensor:
        return self.operator(*tensors, **self.options)


def examples(B: int, H: int, W: int) -> dict[str, tuple[Callable[[], nn.Module], Shapes]]:
    """Return, by name, the module's builder and its input shapes for maps of H x W cells."""

    def maps(channels: int) -> Shapes:
        return [(B, channels, H, W)]

    def last(channels: int) -> Shapes:
        return [(B, H, W, channels)]

    gate = partial(cloformer.Attention, 48, 3, 2, kernel_size=3, pool=8)
    logits = (B, -(-H // 2), -(-W // 2), 6 * 81)
    return dict(
        attention=(partial(Function, attention), [(B, 12, -(-H * W // 16), 24)] * 3),
        channel_aggregation=(partial(moganet.ChannelAggregation, 32, 8), maps(32)),
        context_gate=(gate, maps(48)),
        conv_mlp=(partial(cloformer.ConvMlp, 48, 48, 4), maps(48)),
        cross_shaped_attention=(partial(cswin.CrossShapedAttention, 64, 2, 1), last(64)),
        dense_conv=(lambda: Convolutions(nn.Conv2d(64, 64, 3, padding=1)), maps(64)),
        dilated_attention=(partial(Function, dilated_attention, heads=3), last(72) * 3),
        linear=(partial(SelfAttention, 64, 4), last(64)),
        mlp=(partial(Mlp, 72, 4), last(72)),
        outlook_attention=(partial(Function, outlook_attention, heads=6), [logits, *last(192)]),
        spatial_aggregation=(partial(moganet.SpatialAggregation, 32), maps(32)),
    )


OPERATORS = tuple(examples(1, 1, 1))
# ways to run an example: layer by layer, with the least time or memory, with its own kernel
WAYS = {
    'plain': dict(fast=False),
    'time': dict(prefer='time'),
    'memory': dict(prefer='memory'),
    'triton': dict(prefer='time'),
}


def ways(name: str) -> list[str]:
    """Return the ways that an example can run on a GPU."""
    return [way for way in WAYS if way != 'triton' or name in TRITON]


@contextmanager
def running(name: str, way: str) -> Iterator[None]:
    """Run an example in one of its ways inside the `with` block."""
    rows = {name: Row(*['triton'] * 6)} if way == 'triton' else {}
    with mock.patch.dict(TABLE, rows), mode(**WAYS[way]):
        yield


def operators_of(module: nn.Module) -> tuple[str, ...]:
    """Return the operators of `dispatch.TABLE` that an example uses."""
    if isinstance(module, Function):
        return (module.operator.__name__,)
    return type(module).forward.operators
