from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract

from backbones.ops.multi_order_conv import multi_order_conv

C = 8
WEIGHTS = [draw(C, 1, 5, 5), draw(3, 1, 5, 5), draw(4, 1, 7, 7)]
BIASES = [draw(C), draw(3), draw(4)]


class TestMultiOrderConv(OperatorContract):
    operator = staticmethod(multi_order_conv)
    backends = ('split',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield [draw(2, C, H, W), WEIGHTS, BIASES], {}


def test_is_the_formula() -> None:
    x = draw(1, C, 9, 11)
    base = F.conv2d(x, WEIGHTS[0], BIASES[0], padding=2, groups=8)
    middle = F.conv2d(base[:, 1:4], WEIGHTS[1], BIASES[1], padding=4, dilation=2, groups=3)
    wide = F.conv2d(base[:, 4:], WEIGHTS[2], BIASES[2], padding=9, dilation=3, groups=4)
    expected = torch.cat([base[:, :1], middle, wide], dim=1)
    for backend in ('reference', 'split'):
        found = multi_order_conv(x, WEIGHTS, BIASES, backend=backend)
        torch.testing.assert_close(found, expected)


def test_needs_multiples_of_eight_channels() -> None:
    with pytest.raises(ValueError, match='12 channels; allowed: multiples of 8'):
        multi_order_conv(draw(1, 12, 4, 4), WEIGHTS, BIASES)
