from collections.abc import Iterator

from operator_contract import Arguments, OperatorContract, layer, maps

from backbones.ops.context_gate import context_gate

C = 8


class TestContextGate(OperatorContract):
    operator = staticmethod(context_gate)
    backends = ('folded', 'recompute')

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield [*maps(3, 2, C, H, W), layer(C, C), layer(C, C)], dict(scale=0.3)
