from collections.abc import Iterator

from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops.conv_mlp import conv_mlp

C, HIDDEN = 8, 12


class TestConvMlp(OperatorContract):
    operator = staticmethod(conv_mlp)
    backends = ('recompute', 'strips')

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        layers = layer(HIDDEN, C), layer(HIDDEN, 1, 5), layer(6, HIDDEN)
        for stride in (1, 2):
            yield [draw(2, C, H, W), *layers], dict(stride=stride)
