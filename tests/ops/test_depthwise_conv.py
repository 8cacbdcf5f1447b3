from collections.abc import Iterator

import pytest
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops.depthwise_conv import depthwise_conv

C = 8


class TestDepthwiseConv(OperatorContract):
    operator = staticmethod(depthwise_conv)
    has_plain = True
    backends = ('split',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for kernel_size, stride, dilation in (
            *((3, 1, 1), (5, 1, 1), (9, 1, 1)),
            *((5, 2, 1), (5, 1, 2), (7, 1, 3)),
        ):
            options = dict(stride=stride, dilation=dilation)
            yield [draw(2, C, H, W), *layer(C, 1, kernel_size)], options


def test_a_kernel_is_strided_or_dilated() -> None:
    with pytest.raises(ValueError, match='stride is 2 and dilation is 3'):
        depthwise_conv(draw(1, C, 4, 4), *layer(C, 1, 3), stride=2, dilation=3)
