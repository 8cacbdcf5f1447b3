from collections.abc import Iterator

from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops.decompose_context import decompose_context

C = 8


class TestDecomposeContext(OperatorContract):
    operator = staticmethod(decompose_context)
    backends = ('folded',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield [draw(2, C, H, W), layer(6, C), draw(1, 6, 1, 1)], {}
