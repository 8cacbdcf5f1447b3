"""What CloFormer does differently: pooled keys, and levels inside a stage's last block."""

import pytest
import torch
from conftest import NANO, draw
from torch import nn

from backbones import CloFormer


def test_keeps_the_library_defaults() -> None:
    model = CloFormer('xxs')
    model.init_weights()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound, name


@pytest.mark.parametrize('size', [(8, 8), (12, 8), (15, 23), (17, 9)])
def test_keys_ignore_rows_and_columns_that_fill_no_window(size: tuple) -> None:
    attn = CloFormer(NANO[CloFormer]).stages[0].blocks[0].attn.double()
    x = draw(1, NANO[CloFormer]['dims'][0], *size)
    changed = x.clone()
    changed[:, :, size[0] // 8 * 8 :] += 5
    changed[:, :, :, size[1] // 8 * 8 :] -= 5
    with torch.no_grad():
        before, after = attn(x), attn(changed)
    reach = 3 // 2  # reach of the local branch
    rows, columns = (n // 8 * 8 - reach if n % 8 else n for n in size)
    torch.testing.assert_close(after[:, :, :rows, :columns], before[:, :, :rows, :columns])
    if any(n % 8 for n in size):
        assert not torch.allclose(after, before)


def test_levels_lie_before_the_strided_half() -> None:
    model = CloFormer(NANO[CloFormer], out_indices=(0,))
    names = [name for name, _ in model.named_parameters()]
    assert not any('downsample' in n or 'mlp' in n for n in names)  # depth 1: attention only
    full = CloFormer(NANO[CloFormer]).eval()
    nn.init.constant_(full.norm0.weight, 3.0)  # the next stage reads the un-normalised map
    x = draw(1, 3, 64, 64).float()
    before = full(x)
    nn.init.constant_(full.norm0.weight, 1.0)
    assert torch.equal(full(x)[1], before[1])
