"""A compiled backbone gives the same maps, and errors say what it needs."""

import copy
import pickle

import pytest
import torch
from conftest import NANO
from torch import nn

from backbones import MogaNet
from backbones.errors import UserError
from backbones.inference.compiling import compile_backbone, compiler_explained
from backbones.inference.model_in_pytorch import ModelInPyTorch


def holding(backbone: nn.Module) -> nn.Module:
    return nn.ModuleDict(dict(backbone=backbone))


@pytest.mark.slow
def test_a_compiled_backbone_gives_the_same_maps_at_two_sizes() -> None:
    backbone = MogaNet(NANO[MogaNet], out_indices=(0, 1)).eval()
    images = [torch.randn(1, 3, *size) for size in ((64, 96), (64, 64))]
    with torch.no_grad():
        expected = [backbone(x) for x in images]
        compile_backbone(holding(backbone), on_cpu=True)
        for x, levels in zip(images, expected):
            for found, level in zip(backbone(x), levels, strict=True):
                assert (found - level).abs().max() <= 1e-5 * level.abs().max()
    assert backbone._compiled_call_impl is not None


def test_without_a_compiler_it_is_refused(monkeypatch) -> None:
    monkeypatch.setenv('PATH', '')
    monkeypatch.delenv('CXX', raising=False)
    with pytest.raises(UserError, match=r'needs a C\+\+ compiler, but there is no g\+\+ or clang'):
        compile_backbone(nn.Identity(), on_cpu=True)


def test_a_copy_is_compiled_too() -> None:
    """PyTorch leaves compiled code out of copies and pickles, which would be slow, silently."""
    model = ModelInPyTorch.__new__(ModelInPyTorch)
    vars(model).update(module=holding(nn.Identity()), compiled=True, on_cpu=True)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert again.module.backbone._compiled_call_impl is not None


def test_the_backbones_of_a_teacher_and_a_student_are_compiled() -> None:
    inner = holding(nn.Identity())  # a backbone that holds another
    model = nn.ModuleDict(dict(teacher=holding(inner), student=holding(nn.Identity())))
    compile_backbone(model, on_cpu=True)
    compiled = [n for n, part in model.named_modules() if part._compiled_call_impl is not None]
    assert compiled == ['teacher.backbone', 'student.backbone']


def test_a_model_without_a_backbone_is_refused() -> None:
    with pytest.raises(UserError, match='Identity has no backbone to compile: leave compile out'):
        compile_backbone(nn.Identity(), on_cpu=False)


def test_a_failure_of_the_compiler_is_one_line() -> None:
    """Such as a library that an interrupted compilation left half-written."""

    def backend(graph: object, inputs: object) -> None:
        raise ImportError('main.so: file too short')

    compiled = torch.compile(lambda x: x + 1, backend=backend)
    said = r'compiler failed: .*file too short.*delete.*TORCHINDUCTOR_CACHE_DIR'
    with pytest.raises(UserError, match=said), compiler_explained():
        compiled(torch.ones(7))
    with pytest.raises(RuntimeError, match='another'), compiler_explained():
        raise RuntimeError('another')
