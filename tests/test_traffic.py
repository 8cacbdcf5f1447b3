"""Memory traffic by count, and what the operators' docstrings say of it."""

import pytest
import torch
from traffic import Traffic, least

from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.outlook_attention import outlook_attention

MB = 1e6
# the first stage of the smallest variant on 800x1280 pixels: shapes, options, backends
SETTINGS = {
    dilated_attention: (
        [(1, 200, 320, 72)] * 3,
        dict(heads=3),
        ('triton', 'reference', 'shift', 'strips'),
    ),
    outlook_attention: (
        [(1, 50, 80, 486), (1, 100, 160, 192)],
        dict(heads=6),
        ('triton', 'strips', 'reference'),
    ),
}


def count(operator, shapes, backend: str, options: dict) -> tuple[float, float, float, float]:
    """MB of the forward and the backward pass, and the least of each, in bfloat16."""
    like = dict(dtype=torch.bfloat16, device='meta', requires_grad=True)
    tensors = [torch.empty(shape, **like) for shape in shapes]
    with Traffic() as forward:
        out = operator(*tensors, backend=backend, **options)
    with Traffic() as backward:
        torch.autograd.grad(out, tensors, torch.empty_like(out))
    bounds = least(*tensors, out) / MB, least(*tensors, *tensors, out) / MB
    return forward.bytes / MB, backward.bytes / MB, *bounds


@pytest.mark.parametrize('operator', SETTINGS, ids=lambda f: f.__name__)
def test_the_docstrings_have_the_numbers(operator) -> None:
    shapes, options, backends = SETTINGS[operator]
    said = ' '.join(operator.__doc__.split())
    for backend in backends:
        forward, backward, *bounds = count(operator, shapes, backend, options)
        assert f"'{backend}' {forward:.0f} and {backward:.0f}" in said
        assert '{:.0f} and {:.0f} MB. '.format(*bounds) in said


def test_counts_what_is_read_and_written_and_no_views() -> None:
    x = torch.empty(10, 10, device='meta')  # 400 bytes
    with Traffic() as traffic:
        x.t().view(10, 10)[:5]
        torch.empty_like(x)
    assert traffic.bytes == 0
    with Traffic() as traffic:
        x + x[:1].expand(10, 10)  # a row is read, not ten
    assert traffic.bytes == 400 + 40 + 400
    with Traffic() as traffic:
        x.copy_(x.t())
    assert traffic.bytes == 800
