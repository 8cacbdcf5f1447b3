from collections.abc import Iterator

from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops.context_gate import context_gate

C = 8


class TestContextGate(OperatorContract):
    operator = staticmethod(context_gate)
    backends = ('folded', 'recompute', 'strips')

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for kernel_size in (3, 5):
            layers = layer(3 * C, 1, kernel_size), layer(C, C), layer(C, C)
            yield [draw(2, 3 * C, H, W), *layers], dict(scale=0.3)
