"""The Triton kernels: their numbers, compiling for GPUs, and when they are used."""

import os
import runpy
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from fresh import fresh
from operators import examples
from torch._subclasses.fake_tensor import FakeTensorMode

from backbones.errors import MissingOperatorError, UserError
from backbones.ops import _triton, dispatch

NAMES = ('dilated_attention', 'outlook_attention')


# Triton decides at import whether it interprets
INTERPRETED = """
import os, sys

os.environ['TRITON_INTERPRET'] = '1'
import pytest
sys.exit(pytest.main(['-q', '-m', sys.argv[1], 'tests/ops/interpreted.py']))
"""


@pytest.mark.slow
@pytest.mark.parametrize('part', ['not slow', 'slow'])
def test_the_kernels_keep_the_contract(part: str) -> None:
    out = fresh(INTERPRETED, part)
    assert ' passed' in out and 'skipped' not in out, out


def fake(name: str, device: str) -> torch.Tensor:
    """Call an operator on tensors without values."""
    build, shapes = examples(1, 6, 5)[name]
    with dispatch.mode(as_if_on=device):
        return build()(*[torch.empty(shape, device=device) for shape in shapes])


@pytest.mark.parametrize('name', NAMES)
def test_auto_takes_them_on_gpus_where_they_are_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(f'backbones.ops.{name}.require_triton', lambda x: asked.append(x.device))
    for wanted in '01':
        monkeypatch.setattr(dispatch, 'WANTS_TRITON', wanted)
        with FakeTensorMode():
            for device in ('cpu', 'cuda'):
                assert fake(name, device).device.type == device
    assert [device.type for device in asked] == ['cuda']


@pytest.mark.parametrize('name', NAMES)
def test_what_cannot_run_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, shapes = examples(1, 2, 2)[name]
    f = partial(build().operator, **build().options)
    tensors = [torch.zeros(shape) for shape in shapes]
    with pytest.raises(UserError, match='the tensors are on the CPU; move them to a GPU'):
        f(*tensors, backend='triton')
    monkeypatch.setattr(_triton, 'INSTALLED', False)
    with pytest.raises(MissingOperatorError, match='package triton is not installed'):
        f(*tensors, backend='triton')


def test_a_misspelt_setting_is_refused() -> None:
    refused = pytest.raises(UserError, match=r"DENSE_BACKBONES_TRITON is 'yes'; allowed: 1 .* 0 ")
    with patch.dict(os.environ, DENSE_BACKBONES_TRITON='yes'), refused:
        runpy.run_path(dispatch.__file__)


@pytest.mark.slow
@pytest.mark.parametrize('capability', [80, 90])
@pytest.mark.parametrize('kernel', ['_forward', '_backward'])
@pytest.mark.parametrize('name', NAMES)
def test_the_kernels_compile_for_gpus(
    name: str, kernel: str, capability: int, tmp_path: Path
) -> None:
    """As the smallest variants call them; compiling needs no GPU."""
    import triton
    import triton.language as tl
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from backbones.ops import _triton_dilated, _triton_outlook

    if name == 'dilated_attention':
        f = getattr(_triton_dilated, kernel)
        fixed = dict(step=216, heads=3, dilations=(1, 2, 3), kernel_size=3, d=24, scale=24**-0.5)
        fixed['POSITIONS'] = _triton_dilated.POSITIONS
    else:
        f = getattr(_triton_outlook, kernel)
        fixed = dict(heads=6, d=32, scale=32**-0.5, WINDOWS=_triton_outlook.WINDOWS)
    fixed |= dict(D=32, wide=tl.float32)
    scalars = ('count', 'h', 'w', 'H', 'W')
    types = dict.fromkeys(f.arg_names, '*bf16') | dict.fromkeys(scalars, 'i32') | dict(norm='*fp32')
    types |= dict.fromkeys(fixed, 'constexpr')
    source = ASTSource(
        f,
        {n: types[n] for n in f.arg_names},
        {(f.arg_names.index(n),): v for n, v in fixed.items()},
    )
    with patch.dict(os.environ, TRITON_CACHE_DIR=str(tmp_path)):
        done = triton.compile(source, target=GPUTarget('cuda', capability, 32))
    assert done.asm['cubin'] and done.metadata.shared <= 48 * 1024
