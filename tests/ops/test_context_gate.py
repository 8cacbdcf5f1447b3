from collections.abc import Iterator

import torch
import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer
from torch import Tensor

from backbones.ops.context_gate import context_gate
from backbones.ops.dispatch import Layer

C = 8


class TestContextGate(OperatorContract):
    operator = staticmethod(context_gate)
    backends = ('folded', 'recompute', 'strips')

    def reference(self, x: Tensor, conv: Layer, *gate: Layer, scale: float) -> Tensor:
        padding = conv[0].shape[-1] // 2
        q, k, v = F.conv2d(x, *conv, padding=padding, groups=3 * C).chunk(3, dim=1)
        x = F.silu(F.conv2d(q * k, *gate[0]))
        return torch.tanh(F.conv2d(x, *gate[1]) * scale) * v

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for kernel_size in (3, 5):
            layers = layer(3 * C, 1, kernel_size), layer(C, C), layer(C, C)
            yield [draw(2, 3 * C, H, W), *layers], dict(scale=0.3)
