from collections.abc import Iterator

import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops.pointwise import pointwise

C = 8
ACTS = None, 'gelu', 'silu'


class TestPointwise(OperatorContract):
    operator = staticmethod(pointwise)
    has_plain = True
    backends = ('linear',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for act in ACTS:
            yield [draw(2, C, H, W), *layer(6, C)], dict(act=act)


def test_no_bias_is_a_bias_of_zero() -> None:
    x, (weight, bias) = draw(2, C, 3, 4), layer(6, C)
    expected = pointwise(x, weight, torch.zeros_like(bias), backend='plain')
    for backend in ('plain', 'linear'):
        torch.testing.assert_close(pointwise(x, weight, None, backend=backend), expected)
