from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract, leaf
from torch import Tensor

from backbones.ops.dispatch import Layer
from backbones.ops.mlp import mlp


def layers() -> list[tuple[Tensor, Tensor]]:
    return [(draw(24, 6), draw(24)), (draw(6, 24), draw(6))]


class TestMlp(OperatorContract):
    operator = staticmethod(mlp)
    backends = ('recompute', 'strips')

    def reference(self, x: Tensor, fc1: Layer, fc2: Layer) -> Tensor:
        return F.linear(F.gelu(F.linear(x, *fc1)), *fc2)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for shape in ((6,), (W, 6), (2, H, W, 6)):
            yield [draw(*shape), *layers()], {}


@pytest.mark.parametrize('strip', [24, 100, 10**6])  # one position, four, all
def test_does_not_depend_on_the_strips(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, expected = draw(2, 3, 7, 6), TestMlp().reference(draw(2, 3, 7, 6), *layers())
    monkeypatch.setattr('backbones.ops.mlp.WHOLE', 0)
    monkeypatch.setattr('backbones.ops.mlp.STRIP', strip)
    torch.testing.assert_close(
        mlp(x, *layers(), backend='strips'), expected, rtol=1e-11, atol=1e-11
    )


def test_keeps_one_hidden_feature() -> None:
    x, fc1, fc2 = leaf(draw(50, 6)), *([leaf(t) for t in layer] for layer in layers())
    hidden = {}
    for name, run in dict(layers=TestMlp().reference, recompute=mlp).items():
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
            run(x, fc1, fc2)
        hidden[name] = len({t.data_ptr() for t in kept if t.shape == (50, 24)})
    assert hidden == {'layers': 2, 'recompute': 1}


def test_runs_in_the_type_of_autocast() -> None:
    x, fc1, fc2 = (
        leaf(draw(5, 6).float()),
        *([leaf(t.float()) for t in layer] for layer in layers()),
    )
    with torch.autocast('cpu', torch.bfloat16):
        found, expected = mlp(x, fc1, fc2), TestMlp().reference(x, fc1, fc2)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    found.float().sum().backward()
    for t in (x, *fc1, *fc2):
        assert t.grad.dtype == torch.float32 and t.grad.isfinite().all()
