"""The operators of CSWin and VOLO, and what these two backbones do differently."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import weights
from conftest import HERE, NANO, assert_same, draw, published_shapes, published_state
from torch import Tensor
from weights import generator

from backbones import VOLO, CSWin
from backbones.checkpoints import match
from backbones.ops import outlook_attention as outlook_module
from backbones.ops.cross_shaped_attention import cross_shaped_attention
from backbones.ops.outlook_attention import outlook_attention
from backbones.volo import OutlookAttention, Upsample, resample

MAPS = [(1, 1), (1, 6), (5, 1), (4, 4), (7, 9), (8, 5)]
STRIPES = [1, 2, 3, 7, None]  # more than the map, less, dividing it or not, the whole map
HEADS, C = 4, 8


def cross_inputs(H: int, W: int, stripe: int | None, batch: int = 2) -> list[Tensor]:
    """qkv, then weight and bias of each branch, all leaves that take a gradient."""
    branches = 1 if stripe is None else 2
    c = C // branches
    lepe = [t for i in range(branches) for t in (draw(c, 1, 3, 3) + i, draw(c) + i)]
    return [t.requires_grad_() for t in (draw(batch, H, W, 3 * C), *lepe)]


def cross(inputs: list[Tensor], stripe: int | None, backend: str = 'auto') -> Tensor:
    qkv, *lepe = inputs
    pairs = list(zip(lepe[::2], lepe[1::2]))
    return cross_shaped_attention(qkv, pairs, heads=HEADS, stripe=stripe, backend=backend)


def outlook_inputs(H: int, W: int, batch: int = 2) -> list[Tensor]:
    logits = draw(batch, (H + 1) // 2, (W + 1) // 2, HEADS * 81)
    return [t.requires_grad_() for t in (logits, draw(batch, H, W, C))]


def outlook(inputs: list[Tensor], backend: str = 'auto') -> Tensor:
    return outlook_attention(*inputs, heads=HEADS, backend=backend)


@pytest.mark.parametrize('stripe', STRIPES)
@pytest.mark.parametrize('H, W', MAPS)
def test_cross_shaped_attention_equals_the_published_formulation(
    H: int, W: int, stripe: int | None
) -> None:
    inputs = cross_inputs(H, W, stripe)
    assert_same(lambda inputs, backend: cross(inputs, stripe, backend), inputs, 'sdpa')


@pytest.mark.parametrize('H, W', MAPS)
def test_outlook_attention_equals_the_published_formulation(H: int, W: int) -> None:
    assert_same(outlook, outlook_inputs(H, W), 'strips')


def test_outlook_attention_does_not_depend_on_the_strips(monkeypatch) -> None:
    inputs = outlook_inputs(13, 6)
    whole = outlook(inputs)
    monkeypatch.setattr(outlook_module, 'STRIP', 1)  # a row of windows at a time
    assert_same(outlook, inputs, 'strips')
    torch.testing.assert_close(outlook(inputs), whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize('stripe', [2, None])
def test_gradients_of_cross_shaped_attention(stripe: int | None) -> None:
    inputs = cross_inputs(3, 2, stripe, batch=1)
    assert torch.autograd.gradcheck(lambda *inputs: cross(inputs, stripe), inputs)


@pytest.mark.parametrize('backend', ['reference', 'strips'])
def test_gradients_of_outlook_attention(backend: str) -> None:
    inputs = [draw(1, 2, 1, 162).requires_grad_(), draw(1, 3, 2, 4).requires_grad_()]
    assert torch.autograd.gradcheck(
        lambda *inputs: outlook_attention(*inputs, heads=2, backend=backend), inputs
    )


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


def test_outlook_windows_add_up_and_border_cells_keep_their_weight() -> None:
    out = outlook_attention(torch.zeros(1, 2, 2, 81), torch.ones(1, 4, 3, 1), heads=1)[0, ..., 0]
    # each window averages its 9 cells, of which it holds 4 or 6 in the map
    rows, columns = torch.tensor([2, 5, 3, 3.0]), torch.tensor([2, 4, 2.0])
    torch.testing.assert_close(out, rows[:, None] * columns / 9)


@pytest.mark.parametrize('size', ['7x9', '8x5'])
@pytest.mark.parametrize('backend', ['reference', 'strips'])
def test_outlook_attention_equals_the_published_module(
    size: str, backend: str, monkeypatch
) -> None:
    monkeypatch.setattr('backbones.ops._default', backend)
    shapes = published_shapes('volo_d1')
    attn = OutlookAttention(192, 6).double()
    for name, parameter in attn.named_parameters():
        key = f'network.0.0.attn.{name.replace("logits", "attn")}'
        # these two goldens were computed before weights were rounded to float32
        parameter.data = torch.from_numpy(weights._draw(generator(key), key, shapes[key]))
    x = generator(f'outlook {size}').standard_normal((1, *map(int, size.split('x')), 192))
    golden = np.load(HERE / f'golden/volo_outlook_d1_{size}.npz')['output']
    ours = attn(torch.from_numpy(x)).detach().numpy()
    assert np.abs(ours - golden).max() <= 1e-12 * np.abs(golden).max()


@pytest.mark.parametrize('backend', ['reference', 'auto'])
@pytest.mark.parametrize('run, inputs', [(cross, cross_inputs(5, 9, 2)), (outlook, None)])
def test_bfloat16_autocast_is_finite_at_large_inputs(run, inputs, backend: str) -> None:
    inputs = inputs or outlook_inputs(5, 9)
    inputs = [(1e3 * t).detach().bfloat16().requires_grad_() for t in inputs]
    with torch.autocast('cpu', torch.bfloat16):
        out = run(inputs, *([2] if run is cross else []), backend)
    gradients = torch.autograd.grad(out.float().sum(), inputs)
    assert all(t.isfinite().all() for t in (out, *gradients))


def test_operators_name_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match=r"'nope'; allowed: auto, reference, sdpa"):
        cross(cross_inputs(4, 4, 2), 2, 'nope')
    with pytest.raises(ValueError, match=r"'nope'; allowed: auto, reference, strips"):
        outlook(outlook_inputs(4, 4), 'nope')
    with pytest.raises(ValueError, match='1 LePE kernels'):
        cross(cross_inputs(4, 4, None), 2)
    with pytest.raises(ValueError, match=r'logits \(2, 2, 3, 324\)'):
        outlook_attention(torch.zeros(2, 3, 2, 324), torch.zeros(2, 4, 5, C), heads=HEADS)


@pytest.fixture
def volo() -> VOLO:
    torch.manual_seed(0)
    model = VOLO(NANO[VOLO])
    model.init_weights()
    return model.eval()


def test_position_table_is_added_once_resampled_and_stored_as_it_is(volo: VOLO) -> None:
    down = volo.stages[1].downsample
    for size in ((14, 14), (5, 3)):
        x = draw(2, 16, 2 * size[0], 2 * size[1]).float()
        table = down.pos_embed.permute(0, 3, 1, 2)
        if size != (14, 14):
            table = F.interpolate(table, size, mode='bicubic', align_corners=False)
        torch.testing.assert_close(down(x), down.proj(x) + table)
    assert down.pos_embed.shape == (1, 14, 14, 32)
    assert resample(down.pos_embed, (14, 14)) is down.pos_embed
    assert resample(down.pos_embed.bfloat16(), (5, 3)).dtype == torch.bfloat16


def test_upsampling_starts_as_nearest_and_learns_each_of_four_pixels(seed) -> None:
    up, x = Upsample(3), draw(2, 3, 4, 5).float()
    assert torch.equal(up(x), F.interpolate(x, scale_factor=2, mode='nearest'))
    torch.nn.init.normal_(up.weight)
    torch.nn.init.normal_(up.bias)
    expected = torch.einsum('bchw,cdij->bdhiwj', x, up.weight).reshape(2, 3, 8, 10)
    torch.testing.assert_close(up(x), expected + up.bias[:, None, None])


def test_volo_pads_images_after_their_end_and_crops_levels(volo: VOLO) -> None:
    x = draw(1, 3, 70, 90).float()
    with torch.no_grad():
        levels, padded = volo(x), volo(F.pad(x, (0, 6, 0, 10)))
    assert [tuple(level.shape[2:]) for level in levels] == [(18, 23), (9, 12), (5, 6), (3, 3)]
    for level, whole in zip(levels, padded):
        torch.testing.assert_close(level, whole[..., : level.shape[2], : level.shape[3]])


def test_volo_resizes_freeze_with_their_stage() -> None:
    model = VOLO(NANO[VOLO], frozen_stages=1).train()
    assert not any(p.requires_grad for p in model.resizes['0'].parameters())
    assert all(p.requires_grad for p in model.resizes['1'].parameters())


def test_a_position_table_of_another_side_is_resampled_or_kept(volo: VOLO, tmp_path: Path) -> None:
    file = tmp_path / 'own.pth'
    state = {k: t.clone() for k, t in volo.state_dict().items()}
    table = state['stages.1.downsample.pos_embed'] = draw(1, 24, 24, 32).float()
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


@pytest.mark.parametrize('layout', ['cswin_tiny', 'cswin_tiny_dense'])
def test_cswin_norms_come_from_the_classifier_or_the_dense_file(
    layout: str, tmp_path: Path
) -> None:
    file, dense = tmp_path / 'published.pth', layout.endswith('dense')
    state = published_state(layout)
    if dense:  # a whole segmentor
        wrapped = {'backbone.' + k: t for k, t in state.items()}
        torch.save({'state_dict': {**wrapped, 'decode_head.conv_seg.bias': torch.ones(2)}}, file)
    else:  # the averaged weights win
        wrapped = {'module.' + k: t for k, t in state.items()}
        torch.save({'state_dict': {'norm.weight': torch.ones(3)}, 'state_dict_ema': wrapped}, file)
    model = CSWin('tiny', init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    model.init_weights()
    expected = {f'norm{i}': state[f'norm{i}.weight'] if dense else None for i in (1, 2, 3, 4)}
    expected['norm4'] = state['norm4.weight' if dense else 'norm.weight']
    for name, values in expected.items():
        norm = getattr(model, name)
        assert torch.equal(norm.weight, torch.ones_like(norm.weight) if values is None else values)
    block = model.stages[2].blocks[20]
    assert torch.equal(block.norm2.weight, state['stage3.20.norm2.weight'])
    assert torch.equal(block.attn.lepe[1].weight, state['stage3.20.attns.1.get_v.weight'])


def test_cswin_refuses_half_of_the_dense_norms() -> None:
    with torch.device('meta'):
        model = CSWin('tiny')
        dense = {k: torch.empty(s) for k, s in published_shapes('cswin_tiny_dense').items()}
    partial = {k: t for k, t in dense.items() if not k.startswith('norm2.')}
    assert match(model, dense).problems == ''
    assert 'norm2.weight' in match(model, partial).problems
    both = {**dense, 'norm.weight': dense['norm4.weight']}
    assert 'norm.weight' in match(model, both).problems


def test_cswin_shares_keys_but_not_stripes_with_its_384_pixel_models() -> None:
    assert CSWin.ARCHS['base_384'] == {**CSWin.ARCHS['base'], 'stripes': (1, 2, 12)}
    with torch.device('meta'):
        large = CSWin('large')
    assert large.channels == (144, 288, 576, 1152)
    stripes = [stage.blocks[0].attn.stripe for stage in large.stages]
    assert stripes == [1, 2, 7, None]
