import pytest
import torch
import torch.nn.functional as F
from conftest import draw
from torch import Tensor

from backbones.ops import _strips


@pytest.mark.parametrize('stride, halo', [(1, 2), (2, 2)])
@pytest.mark.parametrize('height', [1, 7, 16, 17, 24])
def test_strips_cover_every_row_once(
    height: int, stride: int, halo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_strips, 'STRIP', 1)
    monkeypatch.setattr(_strips, 'WHOLE', 1)
    x = draw(2, 3, height, 4)
    weight = draw(3, 1, 5, 5)

    def f(x: Tensor) -> Tensor:
        assert x.shape[2] <= 4 * halo + 2 * halo
        return F.conv2d(x, weight, stride=stride, padding=2, groups=3)

    y = _strips.by_strips(f, x, width=3, halo=halo, stride=stride)
    torch.testing.assert_close(y, F.conv2d(x, weight, stride=stride, padding=2, groups=3))
