from collections.abc import Iterator

import pytest
import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, layer

from backbones.ops import dense_conv as module
from backbones.ops.dense_conv import dense_conv

C = 4


class TestDenseConv(OperatorContract):
    operator = staticmethod(dense_conv)
    has_plain = True
    backends = ('products',)

    @pytest.fixture(autouse=True)
    def short_products(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cut even small maps, and take products for few channels."""
        monkeypatch.setattr(module, 'ROWS', 7)
        monkeypatch.setattr(module, 'CHANNELS', 1)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        if min(H, W) >= 2:
            for gelu in (False, True):
                yield [draw(2, C, H, W), *layer(3, C, 2)], dict(stride=2, gelu=gelu)
        for kernel_size, stride, padding in ((3, 1, 1), (3, 2, 1), (5, 2, 2), (4, 4, 2)):
            options = dict(stride=stride, padding=padding)
            yield [draw(2, C, H, W), *layer(3, C, kernel_size)], options
        yield [draw(2, C, H, W), *layer(3, C, 3)], dict(stride=2, padding=1, gelu=True)
        weight, _ = layer(C, 3, 2)
        yield [draw(2, C, H, W), weight, draw(3)], dict(stride=2, transposed=True)


@pytest.mark.parametrize('size', [(9, 8), (11, 14)])
def test_cells_beyond_the_last_stride_are_left_out(size: tuple[int, int]) -> None:
    x = draw(2, C, *size)
    weight = draw(3, C, 4, 4).requires_grad_()
    results = []
    for backend in ('plain', 'products'):
        out = dense_conv(x, weight, None, stride=4, backend=backend)
        results.append(torch.autograd.grad(out, weight, draw(*out.shape))[0])
    torch.testing.assert_close(*results, rtol=1e-11, atol=1e-11)


def test_images_take_the_librarys_gradient() -> None:
    weight = draw(8, 3, 3, 3).requires_grad_()
    assert 'Convolution' in type(dense_conv(draw(1, 3, 8, 8), weight, None).grad_fn).__name__
