"""oneDNN's product: when it is used, and the operators that use it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from conftest import draw
from operator_contract import each, layer

from backbones.ops import _onednn
from backbones.ops._onednn import fuses
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.mlp import mlp


@pytest.mark.skipif(not _onednn.AVAILABLE, reason='this PyTorch has no fused operator')
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
def test_is_taken_in_float32_alone(
    context: AbstractContextManager, dtype: torch.dtype, fusing: bool
) -> None:
    with context:
        assert fuses(draw(2, 3).to(dtype), draw(4, 3).to(dtype)) == fusing
        with torch.autocast('cpu', torch.bfloat16):
            assert not fuses(draw(2, 3).to(dtype), draw(4, 3).to(dtype))


OPERATORS = [
    (mlp, [draw(2, 5, 7, 6).transpose(1, 2), (draw(24, 6), draw(24)), (draw(6, 24), draw(6))]),
    (conv_mlp, [draw(2, 6, 7, 5), layer(24, 6), layer(24, 1, 5), layer(6, 24)]),
]


@pytest.mark.parametrize('operator, arguments', OPERATORS, ids=['mlp', 'conv_mlp'])
@pytest.mark.parametrize('available', [True, False])
@pytest.mark.parametrize('size', [1, 2**22])  # strips of one row or position; the whole map
def test_operators_keep_their_numbers_with_and_without_it(
    operator: Callable,
    arguments: list,
    available: bool,
    size: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_onednn, 'AVAILABLE', available and _onednn.AVAILABLE)
    for module in ('mlp', '_strips'):
        monkeypatch.setattr(f'backbones.ops.{module}.WHOLE', size)
        monkeypatch.setattr(f'backbones.ops.{module}.STRIP', size)
    expected = operator(*arguments, backend='recompute')
    with torch.no_grad():
        found = operator(*each(lambda t: t.float(), arguments))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
