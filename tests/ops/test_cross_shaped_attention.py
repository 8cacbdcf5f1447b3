from collections.abc import Iterator
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from conftest import draw
from operator_contract import Arguments, OperatorContract
from torch import Tensor

from backbones.cswin import attend
from backbones.ops.cross_shaped_attention import cross_shaped_attention
from backbones.ops.dispatch import Layer

STRIPES = [1, 2, 3, 7, None]  # more than the map, less, dividing it or not, the whole map
HEADS, C = 4, 8


class TestCrossShapedAttention(OperatorContract):
    operator = staticmethod(cross_shaped_attention)

    def reference(
        self, qkv: Tensor, lepe: list[Layer], *, heads: int, stripe: int | None
    ) -> Tensor:
        _, H, W, _ = qkv.shape
        windows = [(H, W)] if stripe is None else [(H, stripe), (stripe, W)]
        parts = qkv.unflatten(-1, (3, len(lepe), -1)).unbind(-2)
        branches = []
        for part, layer, window in zip(parts, lepe, windows):
            conv = partial(
                F.conv2d, weight=layer[0], bias=layer[1], padding=1, groups=len(layer[1])
            )
            branches.append(attend(part, conv, window, heads=heads // len(lepe)))
        return torch.cat(branches, dim=-1)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for stripe in STRIPES:
            branches = 1 if stripe is None else 2
            c = C // branches
            lepe = [(draw(c, 1, 3, 3) + i, draw(c) + i) for i in range(branches)]
            yield [draw(2, H, W, 3 * C), lepe], dict(heads=HEADS, stripe=stripe)


def test_padded_cells_take_softmax_weight_and_lie_after_the_map() -> None:
    qkv = torch.cat([torch.zeros(1, 5, 7, 2 * C), torch.ones(1, 5, 7, C)], dim=-1)
    none = [(torch.zeros(C // 2, 1, 3, 3), torch.zeros(C // 2))] * 2
    x = cross_shaped_attention(qkv, none, heads=HEADS, stripe=4)[0]
    # 7 columns: 4 and 3; 5 rows and 3 of padding: 1 above, so 3 rows and 2
    columns = torch.tensor([1, 1, 1, 1, 0.75, 0.75, 0.75])
    rows = torch.tensor([0.75, 0.75, 0.75, 0.5, 0.5])
    torch.testing.assert_close(x[..., 0], columns.expand(5, 7))
    torch.testing.assert_close(x[..., -1], rows[:, None].expand(5, 7))


def test_lepe_sees_one_window() -> None:
    qkv = torch.zeros(1, 4, 6, 3 * C)
    qkv[0, 1, 2, 2 * C :] = 1  # last column of a vertical stripe, last row of a horizontal one
    kernels = [(torch.full((C // 2, 1, 3, 3), 9.0), torch.zeros(C // 2))] * 2
    touched = cross_shaped_attention(qkv, kernels, heads=HEADS, stripe=2)[0] > 1
    expected = torch.zeros(4, 6, 2, dtype=torch.bool)
    expected[0:3, 2:4, 0] = True
    expected[0:2, 1:4, 1] = True
    assert torch.equal(touched[..., [0, -1]], expected)


def test_names_what_does_not_fit() -> None:
    kernel = draw(C, 1, 3, 3), draw(C)
    with pytest.raises(ValueError, match='1 LePE kernels'):
        cross_shaped_attention(draw(2, 4, 4, 3 * C), [kernel], heads=HEADS, stripe=2)
