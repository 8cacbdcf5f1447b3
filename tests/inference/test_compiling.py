"""A compiled backbone gives the same maps, and says what it needs."""

from types import SimpleNamespace

import pytest
import torch
from conftest import NANO

from backbones import MogaNet
from backbones.errors import UserError
from backbones.inference.compiling import compile_backbone


@pytest.mark.slow
def test_a_compiled_backbone_gives_the_same_maps_at_two_sizes() -> None:
    torch.manual_seed(0)
    backbone = MogaNet(NANO[MogaNet], out_indices=(0, 1)).eval()
    images = [torch.randn(1, 3, *size) for size in ((64, 96), (64, 64))]
    with torch.no_grad():
        expected = [backbone(x) for x in images]
        compile_backbone(SimpleNamespace(backbone=backbone), on_cpu=True)
        for x, levels in zip(images, expected):
            for found, level in zip(backbone(x), levels, strict=True):
                assert (found - level).abs().max() <= 1e-5 * level.abs().max()
    assert backbone._compiled_call_impl is not None


def test_without_a_compiler_it_is_refused(monkeypatch) -> None:
    monkeypatch.setenv('PATH', '')
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(UserError, match=r'needs a C\+\+ compiler, but there is no g\+\+ or clang'):
        compile_backbone(SimpleNamespace(), on_cpu=True)
