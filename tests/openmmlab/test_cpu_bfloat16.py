"""Layers of any model compute right numbers in bfloat16 on CPUs."""

import copy

import pytest
import torch
from conftest import NANO, variant_id
from torch import Tensor, nn

from backbones import BACKBONES, forms
from backbones.layers import LayerNorm
from backbones.openmmlab.cpu_bfloat16 import correct


class Transformer(nn.Module):
    """A patch embedding of four channels, a layer norm, and a strided convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(4, 32, 16, 16)
        self.norm = nn.LayerNorm(32)
        self.down = nn.Conv2d(32, 64, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embed(x).permute(0, 2, 3, 1))
        return self.down(x.permute(0, 3, 1, 2))


def gradients(model: nn.Module, x: Tensor, *, half: bool) -> list[Tensor]:
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        out = model(x)
    return [out.float(), *torch.autograd.grad(out.float().square().sum(), [*model.parameters()])]


def test_output_and_gradients_are_right() -> None:
    model, x = Transformer(), torch.randn(4, 4, 384, 32)
    exact = gradients(model, x, half=False)
    correct(model)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model, x, half=False), exact))
    for rough, expected in zip(gradients(model, x, half=True), exact):
        assert (rough - expected).norm() <= 0.02 * expected.norm()


def test_copies_are_independent() -> None:
    model, x = Transformer(), torch.randn(1, 4, 384, 32)
    correct(model)
    copied = copy.deepcopy(model)
    before = copied(x)
    for p in model.parameters():
        nn.init.zeros_(p)
    assert torch.equal(copied(x), before)
    assert isinstance(copied.norm, LayerNorm)


def test_transposed_convolutions_keep_their_other_arguments() -> None:
    conv, x = nn.ConvTranspose2d(4, 4, 3, 2, 1), torch.randn(1, 4, 5, 1)
    correct(nn.Sequential(conv))
    for half in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=half):
            assert conv(x, output_size=[10, 2]).shape[2:] == (10, 2)


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_our_backbones_keep_their_fast_forms(cls: type) -> None:
    model = cls(NANO[cls])
    before = forms.explanation(model)
    correct(model)
    assert forms.explanation(model) == before
