from collections.abc import Iterator

from conftest import draw
from operator_contract import Arguments, OperatorContract, maps

from backbones.ops.attention import attention


class TestAttention(OperatorContract):
    operator = staticmethod(attention)
    has_plain = True
    backends = ('sdpa',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield maps(3, 2, 3, H * W, 8), {}
        yield [draw(2, n, 3, 8).transpose(1, 2) for n in (H * W, 6, 6)], {}
