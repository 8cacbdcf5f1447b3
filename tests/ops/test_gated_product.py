from collections.abc import Iterator

from operator_contract import Arguments, OperatorContract, maps

from backbones.ops.gated_product import gated_product


class TestGatedProduct(OperatorContract):
    operator = staticmethod(gated_product)
    has_plain = True
    backends = ('recompute',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield maps(2, 2, 8, H, W), {}
