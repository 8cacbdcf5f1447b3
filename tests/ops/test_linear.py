from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, each, layer, leaf

from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.linear import AVAILABLE, _fuses, linear
from backbones.ops.mlp import mlp


class TestLinear(OperatorContract):
    operator = staticmethod(linear)
    has_plain = True
    backends = ('onednn',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for shape in ((6,), (W, 6), (2, H, W, 6)):
            for gelu in (False, True):
                yield [draw(*shape), draw(5, 6), draw(5)], dict(gelu=gelu)


@pytest.mark.parametrize('gelu', [False, True])
@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('shape', [(0, 16), (16,), (3, 5, 7, 16)], ids=str)
def test_float32_is_as_exact_as_its_type_allows(
    shape: tuple[int, ...], bias: bool, gelu: bool
) -> None:
    x, weight, b = (leaf(draw(*s)) for s in (shape, (40, 16), (40,)))
    exact = (x, weight, b) if bias else (x, weight)
    single = [leaf(t.float()) for t in exact]
    expected = linear(x, weight, b if bias else None, gelu=gelu, backend='plain')
    found = linear(*single, *[None][bias:], gelu=gelu)
    direction = draw(*expected.shape)
    theirs = torch.autograd.grad(expected, exact, direction)
    gradients = torch.autograd.grad(found, single, direction.float())
    for ours, reference in zip((found, *gradients), (expected, *theirs)):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize('shape', [(0, 16), (16,), (3, 5, 7, 16)], ids=str)
def test_gelu_in_one_pass_is_as_exact_as_the_two_steps(shape: tuple[int, ...]) -> None:
    tensors = 3 * draw(*shape), draw(40, 16), draw(40)
    expected = linear(*tensors, gelu=True, backend='plain')  # up to 60
    with torch.no_grad():
        found = linear(*(t.float() for t in tensors), gelu=True)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize('frozen', [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    tensors = [t.float() for t in (draw(5, 4), draw(3, 4), draw(3))]
    wanted = [leaf(t) for i, t in enumerate(tensors) if i != frozen]
    mixed = [*wanted[:frozen], tensors[frozen], *wanted[frozen:]]
    linear(*mixed).square().sum().backward()
    assert tensors[frozen].grad is None and all(t.grad.abs().sum() > 0 for t in wanted)


@pytest.mark.skipif(not AVAILABLE, reason='this PyTorch has no fused operator')
@pytest.mark.parametrize(
    'context, dtype, fusing',
    [
        (torch.no_grad(), torch.float32, True),
        (torch.inference_mode(), torch.float32, True),
        (nullcontext(), torch.float32, True),
        (torch.no_grad(), torch.float64, False),
        (torch.no_grad(), torch.bfloat16, False),
    ],
    ids=['no_grad', 'inference_mode', 'gradients', 'float64', 'bfloat16'],
)
def test_the_product_is_fused_in_float32_alone(
    context: AbstractContextManager, dtype: torch.dtype, fusing: bool
) -> None:
    with context:
        assert _fuses(draw(2, 3).to(dtype), draw(4, 3).to(dtype)) == fusing
        with torch.autocast('cpu', torch.bfloat16):
            assert not _fuses(draw(2, 3).to(dtype), draw(4, 3).to(dtype))


OPERATORS = [
    (mlp, [draw(2, 5, 7, 6).transpose(1, 2), (draw(24, 6), draw(24)), (draw(6, 24), draw(6))]),
    (conv_mlp, [draw(2, 6, 7, 5), layer(24, 6), layer(24, 1, 5), layer(6, 24)]),
]


@pytest.mark.parametrize('operator, arguments', OPERATORS, ids=['mlp', 'conv_mlp'])
@pytest.mark.parametrize('available', [True, False])
@pytest.mark.parametrize('size', [1, 2**22])  # strips of one row or position; the whole map
def test_operators_keep_their_numbers_with_and_without_the_fused_product(
    operator: Callable,
    arguments: list,
    available: bool,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('backbones.ops.linear.AVAILABLE', available and AVAILABLE)
    for module in ('mlp', '_strips'):
        monkeypatch.setattr(f'backbones.ops.{module}.WHOLE', size)
        monkeypatch.setattr(f'backbones.ops.{module}.STRIP', size)
    expected = operator(*arguments, backend='recompute')
    with torch.no_grad():
        found = operator(*each(lambda t: t.float(), arguments))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
