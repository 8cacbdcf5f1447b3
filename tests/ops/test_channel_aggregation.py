from collections.abc import Iterator

from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops.channel_aggregation import channel_aggregation

C, HIDDEN = 8, 12


class TestChannelAggregation(OperatorContract):
    operator = staticmethod(channel_aggregation)
    backends = ('folded', 'recompute', 'strips')

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        fc1, dwconv, decompose = layer(HIDDEN, C), layer(HIDDEN, 1, 3), layer(1, HIDDEN)
        sigma, fc2 = draw(1, HIDDEN, 1, 1), layer(C, HIDDEN)
        yield [draw(2, C, H, W), fc1, dwconv, decompose, sigma, fc2], {}
