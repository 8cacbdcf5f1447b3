from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, each, layer, leaf

from backbones.ops._activations import Act
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.linear import AVAILABLE, BFLOAT16, _fuses, linear
from backbones.ops.mlp import mlp

ACTS = None, 'gelu', 'silu'


class TestLinear(OperatorContract):
    operator = staticmethod(linear)
    has_plain = True
    backends = ('onednn',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for shape in ((6,), (W, 6), (2, H, W, 6)):
            for act in ACTS:
                yield [draw(*shape), draw(5, 6), draw(5)], dict(act=act)


@pytest.mark.parametrize('act', ACTS)
@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('shape', [(0, 16), (16,), (3, 5, 7, 16)], ids=str)
def test_float32_is_as_exact_as_its_type_allows(
    shape: tuple[int, ...], bias: bool, act: Act
) -> None:
    x, weight, b = (leaf(draw(*s)) for s in (shape, (40, 16), (40,)))
    exact = (x, weight, b) if bias else (x, weight)
    single = [leaf(t.float()) for t in exact]
    expected = linear(x, weight, b if bias else None, act=act, backend='plain')
    found = linear(*single, *[None][bias:], act=act)
    direction = draw(*expected.shape)
    theirs = torch.autograd.grad(expected, exact, direction)
    gradients = torch.autograd.grad(found, single, direction.float())
    for ours, reference in zip((found, *gradients), (expected, *theirs)):
        torch.testing.assert_close(ours.double(), reference, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize('act', ACTS)
@pytest.mark.parametrize('shape', [(0, 16), (16,), (3, 5, 7, 16)], ids=str)
def test_one_pass_is_as_exact_as_the_two_steps(shape: tuple[int, ...], act: Act) -> None:
    tensors = 3 * draw(*shape), draw(40, 16), draw(40)
    expected = linear(*tensors, act=act, backend='plain')  # up to 60
    with torch.no_grad():
        found = linear(*(t.float() for t in tensors), act=act)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=2e-5)


@pytest.mark.parametrize('frozen', [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    tensors = [t.float() for t in (draw(5, 4), draw(3, 4), draw(3))]
    wanted = [leaf(t) for i, t in enumerate(tensors) if i != frozen]
    mixed = [*wanted[:frozen], tensors[frozen], *wanted[frozen:]]
    linear(*mixed).square().sum().backward()
    assert tensors[frozen].grad is None and all(t.grad.abs().sum() > 0 for t in wanted)


@pytest.mark.skipif(not AVAILABLE, reason='this PyTorch has no fused operator')
@pytest.mark.parametrize('amp', [False, True])
@pytest.mark.parametrize(
    'context, dtype, fusing',
    [
        (torch.no_grad(), torch.float32, True),
        (torch.inference_mode(), torch.float32, True),
        (nullcontext(), torch.float32, True),
        (torch.no_grad(), torch.float64, False),
        (torch.no_grad(), torch.bfloat16, BFLOAT16),
        (nullcontext(), torch.bfloat16, False),
    ],
    ids=['no_grad', 'inference_mode', 'gradients', 'float64', 'bfloat16', 'bfloat16-gradients'],
)
def test_the_product_is_fused_in_float32_and_for_inference_in_bfloat16(
    context: AbstractContextManager, dtype: torch.dtype, fusing: bool, amp: bool
) -> None:
    x, weight = leaf(draw(2, 3).to(dtype)), draw(4, 3).to(dtype)
    with context:
        if amp and dtype is torch.float32:
            fusing = BFLOAT16 and not torch.is_grad_enabled()
        with torch.autocast('cpu', torch.bfloat16, enabled=amp):
            assert _fuses(x, weight, None) == fusing


@pytest.mark.parametrize('act', ACTS)
def test_bfloat16_in_one_pass_is_as_exact_as_the_two_steps(act: Act) -> None:
    tensors = 3 * draw(7, 64).float(), draw(40, 64).float() / 8, draw(40).float()
    rounded = [t.bfloat16() for t in tensors]
    exact = linear(*(t.double() for t in rounded), act=act)
    plain = linear(*rounded, act=act, backend='plain')
    worst = (plain - exact).abs().max()
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        for single in (tensors, rounded, (rounded[0], *tensors[1:])):
            found = linear(*single, act=act)
            assert found.dtype is torch.bfloat16
            assert (found - exact).abs().max() <= 1.01 * worst


@pytest.mark.parametrize('act', ['relu', 'GELU', ''])
def test_an_unknown_activation_is_named(act: str) -> None:
    with pytest.raises(ValueError, match=f"act is '{act}'; allowed: None, 'gelu', 'silu'"):
        linear(draw(2, 3), draw(4, 3), None, act=act)


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
