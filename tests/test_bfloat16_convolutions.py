"""Every convolution of every variant in bfloat16 on this CPU, compared with float32.

Libraries have had wrong kernels: oneDNN 3.10 has noise for the weights' gradients of dilated
depthwise convolutions on channels_last maps (AVX-512), and a wrong 4x4 convolution (AMX).
"""

from collections.abc import Callable

import pytest
import torch
from conftest import ROWS, skeleton
from torch import Tensor, nn

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
