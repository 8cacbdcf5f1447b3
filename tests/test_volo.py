"""What VOLO does differently: its position table, its resizes, its padding."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import NANO, draw, published_shapes

from backbones import VOLO
from backbones.checkpoints import match
from backbones.position_table import resample

DIMS = NANO[VOLO]['dims']


@pytest.fixture
def volo() -> VOLO:
    torch.manual_seed(0)
    model = VOLO(NANO[VOLO])
    model.init_weights()
    return model.eval()


def test_position_table_is_added_once_resampled_and_stored_as_it_is(volo: VOLO) -> None:
    down = volo.stages[1].downsample
    for size in ((14, 14), (5, 3)):
        x = draw(2, DIMS[0], 2 * size[0], 2 * size[1]).float()
        table = down.pos_embed.permute(0, 3, 1, 2)
        if size != (14, 14):
            table = F.interpolate(table, size, mode='bicubic', align_corners=False)
        torch.testing.assert_close(down(x), down.proj(x) + table)
    assert down.pos_embed.shape == (1, 14, 14, DIMS[1])
    assert resample(down.pos_embed, (14, 14)) is down.pos_embed
    assert resample(down.pos_embed.bfloat16(), (5, 3)).dtype == torch.bfloat16


def test_upsampling_starts_as_nearest_and_learns_each_of_four_pixels(volo: VOLO) -> None:
    up, x = volo.resizes['0'], draw(2, DIMS[0], 4, 5).float()
    assert torch.equal(up(x), F.interpolate(x, scale_factor=2, mode='nearest'))
    torch.nn.init.normal_(up.weight)
    torch.nn.init.normal_(up.bias)
    expected = torch.einsum('bchw,cdij->bdhiwj', x, up.weight).reshape(2, -1, 8, 10)
    torch.testing.assert_close(up(x), expected + up.bias[:, None, None])


def test_pads_images_after_their_end_and_crops_levels(volo: VOLO) -> None:
    x = draw(1, 3, 70, 90).float()
    with torch.no_grad():
        levels, padded = volo(x), volo(F.pad(x, (0, 6, 0, 10)))
    assert [tuple(level.shape[2:]) for level in levels] == [(18, 23), (9, 12), (5, 6), (3, 3)]
    for level, whole in zip(levels, padded):
        torch.testing.assert_close(level, whole[..., : level.shape[2], : level.shape[3]])


def test_resizes_freeze_with_their_stage() -> None:
    model = VOLO(NANO[VOLO], frozen_stages=1).train()
    assert not any(p.requires_grad for p in model.resizes['0'].parameters())
    assert all(p.requires_grad for p in model.resizes['1'].parameters())


def test_a_position_table_of_another_side_is_resampled_or_kept(volo: VOLO, tmp_path: Path) -> None:
    file = tmp_path / 'own.pth'
    state = {k: t.clone() for k, t in volo.state_dict().items()}
    table = state['stages.1.downsample.pos_embed'] = draw(1, 24, 24, DIMS[1]).float()
    torch.save(state, file)
    cases = [
        (14, F.interpolate(table.permute(0, 3, 1, 2), (14, 14), mode='bicubic')),
        (24, table.permute(0, 3, 1, 2)),
    ]
    for side, expected in cases:
        model = VOLO(
            NANO[VOLO],
            pos_embed_size=side,
            init_cfg=dict(type='Pretrained', checkpoint=str(file)),
        )
        model.init_weights()
        loaded = model.stages[1].downsample.pos_embed
        torch.testing.assert_close(loaded, expected.permute(0, 2, 3, 1))
    with pytest.raises(ValueError, match='pos_embed_size is 0'):
        VOLO(NANO[VOLO], pos_embed_size=0)


@pytest.mark.parametrize('shape, fits', [((1, 24, 24, 384), True), ((1, 24, 24, 256), False)])
def test_published_position_tables_fit_if_their_channels_do(shape: tuple, fits: bool) -> None:
    with torch.device('meta'):
        model = VOLO('d1')
        state = {k: torch.empty(s) for k, s in published_shapes('volo_d1').items()}
        state['pos_embed'] = torch.empty(shape)
    problems = match(model, state).problems
    assert problems == '' if fits else 'pos_embed (1, 24, 24, 256)' in problems
