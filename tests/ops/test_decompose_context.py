from collections.abc import Iterator

import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer
from torch import Tensor

from backbones.ops.decompose_context import decompose_context
from backbones.ops.dispatch import Layer

C = 8


class TestDecomposeContext(OperatorContract):
    operator = staticmethod(decompose_context)

    def reference(self, x: Tensor, proj: Layer, sigma: Tensor) -> Tensor:
        x = F.conv2d(x, *proj)
        return F.silu(x + sigma * (x - x.mean((2, 3), keepdim=True)))

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield [draw(2, C, H, W), layer(6, C), draw(1, 6, 1, 1)], {}
