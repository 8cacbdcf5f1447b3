from collections.abc import Iterator

import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer
from torch import Tensor

from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.dispatch import Layer

C, HIDDEN = 8, 12


class TestConvMlp(OperatorContract):
    operator = staticmethod(conv_mlp)
    backends = ('recompute', 'strips')

    def reference(self, x: Tensor, fc1: Layer, conv: Layer, fc2: Layer, *, stride: int) -> Tensor:
        x = F.gelu(F.conv2d(x, *fc1))
        return F.conv2d(F.conv2d(x, *conv, stride, 2, groups=HIDDEN), *fc2)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        layers = layer(HIDDEN, C), layer(HIDDEN, 1, 5), layer(6, HIDDEN)
        for stride in (1, 2):
            yield [draw(2, C, H, W), *layers], dict(stride=stride)
