from collections.abc import Iterator

import numpy as np
import pytest
import torch
import weights
from conftest import HERE, draw, published_shapes
from operator_contract import Arguments, OperatorContract
from weights import generator

from backbones.ops.dispatch import mode
from backbones.ops.outlook_attention import outlook_attention
from backbones.volo import OutlookAttention

HEADS, C = 2, 4


class TestOutlookAttention(OperatorContract):
    operator = staticmethod(outlook_attention)
    has_plain = True
    backends = ('strips', 'interleave')
    on_gpus = ('triton',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        logits = draw(2, (H + 1) // 2, (W + 1) // 2, HEADS * 81)
        yield [logits, draw(2, H, W, C)], dict(heads=HEADS)


@pytest.mark.parametrize('strip', [1, 500, 2**19])  # one row of windows, some rows, all
def test_does_not_depend_on_the_strips(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logits, v = draw(2, 7, 3, HEADS * 81), draw(2, 13, 6, C)
    whole = outlook_attention(logits, v, heads=HEADS)
    monkeypatch.setattr('backbones.ops.outlook_attention.STRIP', strip)
    found = outlook_attention(logits, v, heads=HEADS)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-14)


def test_windows_add_up_and_border_cells_keep_their_weight() -> None:
    out = outlook_attention(torch.zeros(1, 2, 2, 81), torch.ones(1, 4, 3, 1), heads=1)[0, ..., 0]
    # each window averages its 9 cells, of which it holds 4 or 6 in the map
    rows, columns = torch.tensor([2, 5, 3, 3.0]), torch.tensor([2, 4, 2.0])
    torch.testing.assert_close(out, rows[:, None] * columns / 9)


@pytest.mark.parametrize('size', ['7x9', '8x5'])
@pytest.mark.parametrize('fast', [False, True])
def test_equals_the_published_module(size: str, fast: bool) -> None:
    shapes = published_shapes('volo_d1')
    attn = OutlookAttention(192, 6).double()
    for name, parameter in attn.named_parameters():
        key = f'network.0.0.attn.{name.replace("logits", "attn")}'
        # these two goldens were computed before weights were rounded to float32
        parameter.data = torch.from_numpy(weights._draw(generator(key), key, shapes[key]))
    x = generator(f'outlook {size}').standard_normal((1, *map(int, size.split('x')), 192))
    golden = np.load(HERE / f'ops/golden/outlook_attention_{size}.npz')['output']
    with mode(fast=fast):
        ours = attn(torch.from_numpy(x)).detach().numpy()
    assert np.abs(ours - golden).max() <= 1e-12 * np.abs(golden).max()


def test_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r'must have the shape \(2, 2, 3, 162\)'):
        outlook_attention(torch.zeros(2, 3, 2, 162), torch.zeros(2, 4, 5, C), heads=HEADS)
