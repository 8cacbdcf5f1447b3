"""The operators that several transformers share."""

import pytest
import torch
from conftest import assert_same, draw
from torch import Tensor

from backbones.ops import mlp as mlp_module
from backbones.ops.attention import attention
from backbones.ops.mlp import mlp


def layers(dim: int, hidden: int) -> list[Tensor]:
    """Weight and bias of fc1, then of fc2."""
    return [draw(hidden, dim), draw(hidden), draw(dim, hidden), draw(dim)]


def run_mlp(x: Tensor, *parameters: Tensor, backend: str) -> Tensor:
    return mlp(x, parameters[:2], parameters[2:], backend=backend)


@pytest.mark.parametrize('shape', [(6,), (5, 6), (2, 3, 7, 6), (1, 9, 1, 6)])
@pytest.mark.parametrize('backend', ['recompute', 'strips', 'auto'])
def test_mlp_and_its_gradients_equal_the_reference(monkeypatch, shape, backend) -> None:
    monkeypatch.setattr(mlp_module, 'WHOLE', 0)
    monkeypatch.setattr(mlp_module, 'STRIP', 100)  # 4 positions: the last strip is smaller
    inputs = [t.requires_grad_() for t in (draw(*shape), *layers(6, 24))]
    assert_same(lambda inputs, backend: run_mlp(*inputs, backend=backend), inputs, backend)


def test_mlp_keeps_one_hidden_feature() -> None:
    inputs = [t.requires_grad_() for t in (draw(50, 6), *layers(6, 24))]
    hidden = {}
    for backend in ('reference', 'recompute'):
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
            run_mlp(*inputs, backend=backend)
        hidden[backend] = len({t.data_ptr() for t in kept if t.shape == (50, 24)})
    assert hidden == {'reference': 2, 'recompute': 1}


def test_mlp_runs_in_the_type_of_autocast() -> None:
    inputs = [t.float().requires_grad_() for t in (draw(5, 6), *layers(6, 24))]
    with torch.autocast('cpu', torch.bfloat16):
        found, expected = (run_mlp(*inputs, backend=b) for b in ('recompute', 'reference'))
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    found.float().sum().backward()
    assert all(t.grad.dtype == torch.float32 and t.grad.isfinite().all() for t in inputs)


@pytest.mark.parametrize('positions', [(1, 1), (7, 7), (35, 6)])
@pytest.mark.parametrize('strided', [False, True])
def test_attention_and_its_gradients_equal_the_reference(positions, strided) -> None:
    queries, keys = positions
    inputs = [draw(2, n, 3, 8).transpose(1, 2) for n in (queries, keys, keys)]
    inputs = [(t if strided else t.contiguous()).requires_grad_() for t in inputs]
    assert_same(lambda inputs, backend: attention(*inputs, backend=backend), inputs, 'auto')


@pytest.mark.parametrize(
    'operator',
    [
        lambda **k: attention(*[draw(1, 1, 4, 2)] * 3, **k),
        lambda **k: run_mlp(draw(6), *layers(6, 24), **k),
    ],
)
def test_an_unknown_backend_is_refused(operator) -> None:
    with pytest.raises(ValueError, match=r"backend is 'fast'; allowed: auto, reference"):
        operator(backend='fast')
