"""Every convolution of every variant in bfloat16 on this CPU, compared with float32.

Libraries have had wrong kernels: oneDNN 3.10 has noise for the weights' gradients of dilated
depthwise convolutions on channels_last maps (AVX-512), and a wrong 4x4 convolution (AMX).
"""

from collections.abc import Callable

import pytest
import torch
from conftest import NANO, ROWS, skeleton, variant_id
from torch import Tensor, nn

import backbones
from backbones.layers import convolve, depthwise, parameters
from backbones.ops.pointwise import pointwise

SIDE = 512  # pixels of a crop
ERROR = 0.05  # relative to the norm; bfloat16 numbers have three digits


def convolutions() -> dict[tuple, str]:
    """Return each convolution once: settings, input shape, and which models have it."""
    found: dict[tuple, str] = {}
    for row in ROWS:
        model = skeleton(row).eval()
        handles = []
        for name, conv in model.named_modules():
            if isinstance(conv, nn.Conv2d):

                def note(conv: nn.Conv2d, x: tuple, name: str = f'{row.name}.{name}') -> None:
                    kernel = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups
                    found.setdefault((tuple(x[0].shape), conv.out_channels, *kernel), name)

                handles.append(conv.register_forward_pre_hook(note))
        model(torch.empty(1, 3, SIDE, SIDE, device='meta'))
        for handle in handles:
            handle.remove()
    return found


def as_taken(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """Return a convolution's fast form, as chosen by the modules."""
    if conv.groups > 1:
        return depthwise(conv)
    if conv.kernel_size == (1, 1):
        return lambda x: pointwise(x, *parameters(conv))
    return lambda x: convolve(conv, x)


def results(
    conv: nn.Conv2d, x: Tensor, gradient: Tensor, *, half: bool, last: bool
) -> list[Tensor]:
    layout = torch.channels_last if last else torch.contiguous_format
    x = x.contiguous(memory_format=layout).requires_grad_()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        out = (as_taken(conv) if last else conv)(x)
    inputs = [x, conv.weight]
    gradients = torch.autograd.grad(out, inputs, gradient.to(out.dtype))
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=half):
        return [out, (as_taken(conv) if last else conv)(x), *gradients]


@pytest.mark.slow
@pytest.mark.parametrize('last', [True, False], ids=['fast', 'plain'])
def test_every_convolution_is_right_in_bfloat16(last: bool) -> None:
    wrong = []
    for (shape, out, *kernel), name in convolutions().items():
        if not last and kernel[0] == (1, 1):
            continue  # a product, which the other case covers
        torch.manual_seed(0)
        conv = nn.Conv2d(shape[1], out, *kernel, bias=True)
        x = torch.randn(shape)
        with torch.no_grad():
            gradient = torch.randn(conv(x).shape)
        exact = results(conv, x, gradient, half=False, last=last)
        rough = results(conv, x, gradient, half=True, last=last)
        for part, a, b in zip(('output', 'inference', 'input', 'weight'), rough, exact):
            error = ((a.float() - b).norm() / b.norm()).item()
            if not error <= ERROR:
                wrong.append(f'{name}: {part} of {shape}, {kernel} is off by {error:.2g}')
    assert wrong == []


def gradients(model: nn.Module, x: Tensor, *, half: bool) -> dict[str, Tensor]:
    model.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=half):
        levels = model(x)
    torch.manual_seed(1)
    sum((level * torch.randn(level.shape)).mean() for level in levels).backward()
    return {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize('last', [False, True], ids=['', 'channels_last'])
@pytest.mark.parametrize(
    'how', ['hooked', 'plain', pytest.param('compiled', marks=pytest.mark.slow)]
)
def test_dilated_convolutions_train_in_bfloat16_whatever_runs_them(how: str, last: bool) -> None:
    torch.manual_seed(0)
    model = backbones.MogaNet(NANO[backbones.MogaNet], out_indices=0, fast=how != 'plain').eval()
    torch.nn.init.constant_(model.stages[0].blocks[0].layer_scale_1, 0.1)
    x, run = torch.randn(1, 3, 128, 160), model
    exact = gradients(model, x, half=False)
    if last:
        model.to(memory_format=torch.channels_last)
    if how == 'hooked':
        model.stages[0].blocks[0].attn.orders[1].register_forward_hook(lambda *_: None)
    elif how == 'compiled':
        run = torch.compile(model, fullgraph=True)
    rough = gradients(run, x, half=True)
    for name, gradient in exact.items():
        if 'orders' in name:
            found = rough[name if how != 'compiled' else f'_orig_mod.{name}']
            assert (found - gradient).norm() <= ERROR * gradient.norm(), name


@pytest.mark.parametrize('fast', [True, False], ids=['fast', 'plain'])
@pytest.mark.parametrize('autocast', [True, False], ids=['autocast', 'bfloat16'])
@pytest.mark.parametrize('cls', backbones.BACKBONES, ids=variant_id)
def test_levels_one_cell_wide_are_right(cls: type, autocast: bool, fast: bool) -> None:
    torch.manual_seed(0)
    model, x = cls(NANO[cls], fast=fast).eval(), torch.randn(1, 3, 224, 32)
    exact = model(x)
    if not autocast:
        model, x = model.bfloat16(), x.bfloat16()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        rough = model(x)
    for level, expected in zip(rough, exact):
        assert (level - expected).norm() <= ERROR * expected.norm()
