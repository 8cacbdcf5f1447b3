from collections.abc import Iterator

import pytest
import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, maps
from torch.utils._python_dispatch import TorchDispatchMode

from backbones.ops.global_attention import global_attention


class TestGlobalAttention(OperatorContract):
    operator = staticmethod(global_attention)
    backends = ('sdpa',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield [draw(2, 6, H, W), *maps(2, 2, 6, (H + 1) // 2, (W + 1) // 2)], dict(heads=2)
        yield maps(3, 2, 6, H, W), dict(heads=3)


def test_reads_every_key() -> None:
    q, k, v = draw(2, 6, 3, 5), draw(2, 6, 2, 3), draw(2, 6, 2, 3).flip(2)
    y = global_attention(q, k, v, heads=2)
    head = slice(3, 6)
    logits = torch.einsum('chw,cij->hwij', q[1, head], k[1, head]) / 3**0.5
    weights = logits.flatten(2).softmax(-1).view_as(logits)
    torch.testing.assert_close(y[1, head], torch.einsum('hwij,cij->chw', weights, v[1, head]))


def test_the_reference_scales_queries_and_no_logits_as_published() -> None:
    scaled = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            if operation.overloadpacket is torch.ops.aten.mul:
                scaled.append(tuple(args[0].shape))
            return operation(*args, **(kwargs or {}))

    with Record():
        global_attention(*maps(3, 1, 6, 4, 5), heads=2, backend='reference')
    assert scaled == [(1, 2, 20, 3)]


def test_heads_divide_the_channels() -> None:
    with pytest.raises(ValueError, match='6 channels; allowed with 4 heads: their multiples'):
        global_attention(*maps(3, 1, 6, 4, 5), heads=4)
