from collections.abc import Iterator

import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer
from torch import Tensor

from backbones.ops.channel_aggregation import channel_aggregation
from backbones.ops.dispatch import Layer

C, HIDDEN = 8, 12


class TestChannelAggregation(OperatorContract):
    operator = staticmethod(channel_aggregation)
    backends = ('folded', 'recompute', 'strips')

    def reference(
        self, x: Tensor, fc1: Layer, conv: Layer, decompose: Layer, sigma: Tensor, fc2: Layer
    ) -> Tensor:
        x = F.gelu(F.conv2d(F.conv2d(x, *fc1), *conv, padding=1, groups=HIDDEN))
        return F.conv2d(x + sigma * (x - F.gelu(F.conv2d(x, *decompose))), *fc2)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        fc1, dwconv, decompose = layer(HIDDEN, C), layer(HIDDEN, 1, 3), layer(1, HIDDEN)
        sigma, fc2 = draw(1, HIDDEN, 1, 1), layer(C, HIDDEN)
        yield [draw(2, C, H, W), fc1, dwconv, decompose, sigma, fc2], {}
