from collections.abc import Iterator

import pytest
import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, maps

from backbones.errors import UserError
from backbones.ops.attention import attention


class TestAttention(OperatorContract):
    operator = staticmethod(attention)
    has_plain = True
    backends = ('sdpa',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        yield maps(3, 2, 3, H * W, 8), {}
        yield [draw(2, n, 3, 8).transpose(1, 2) for n in (H * W, 6, 6)], {}


@pytest.mark.parametrize('autocast', [True, False])
def test_gradients_of_many_queries_are_summed_up_in_float32(autocast: bool) -> None:
    rounded = [draw(1, 2, n, 8).bfloat16() for n in (20000, 4, 4)]
    direction = draw(1, 2, 20000, 8).abs().bfloat16()
    exact = [t.double().requires_grad_() for t in rounded]
    inputs = [t.to(torch.float32 if autocast else t.dtype).requires_grad_() for t in rounded]
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        out = attention(*inputs)
    assert out.dtype is torch.bfloat16
    found = torch.autograd.grad(out, inputs, direction)
    expected = torch.autograd.grad(attention(*exact), exact, direction.double())
    for gradient, right in zip(found, expected):
        assert (gradient - right).norm() <= 0.005 * right.norm()


def test_second_derivatives_are_refused_in_bfloat16() -> None:
    q = draw(1, 1, 4, 8).bfloat16().requires_grad_()
    with pytest.raises(UserError, match='create_graph=True needs derivatives of gradients'):
        torch.autograd.grad(attention(q, q, q).sum(), q, create_graph=True)
