import pytest
import torch
import torch.nn.functional as F
from conftest import draw

from backbones.ops._activations import gelu, gelu_gradient

SHAPES = [(5,), (2, 3, 4), (2, 8, 5, 7), (1, 8, 1, 1), (0, 8, 5, 7)]


@pytest.mark.parametrize('last', [False, True])
@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_gelu_is_pytorchs_in_every_memory_order(shape: tuple[int, ...], last: bool) -> None:
    x = draw(*shape)
    if last and len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    grad = torch.empty_like(x).normal_()
    found, expected = gelu(x), F.gelu(x)
    assert found.stride() == expected.stride()
    torch.testing.assert_close(found, expected)
    (theirs,) = torch.autograd.grad(expected, x, grad)
    torch.testing.assert_close(torch.autograd.grad(found, x, grad)[0], theirs)
    torch.testing.assert_close(gelu_gradient(grad, x.detach()), theirs)
