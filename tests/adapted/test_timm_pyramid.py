"""timm models as backbones: exactly their maps, or ViTDet's pyramid if they have none."""

import pytest
import timm
import torch

import backbones
from backbones import TimmPyramid, UserError
from backbones.errors import CheckpointError

HIERARCHICAL = ('test_convnext', 'test_resnet', 'test_efficientnet')
PLAIN = ('test_vit', 'test_vit3')
SIZES = ((64, 96), (97, 130))


def image(height: int, width: int, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(2, channels, height, width)


@pytest.mark.parametrize('name', HIERARCHICAL + PLAIN)
@pytest.mark.parametrize('size', SIZES)
def test_levels_have_the_promised_sizes_and_every_parameter_a_gradient(
    name: str, size: tuple[int, int]
) -> None:
    model = backbones.create(f'timm:{name}')
    levels = model(image(*size))
    assert [x.shape[1] for x in levels] == list(model.channels)
    cells = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
    assert [tuple(x.shape[2:]) for x in levels] == cells
    assert all(x.is_contiguous() for x in levels)
    sum(x.square().mean() for x in levels).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize('name', HIERARCHICAL)
def test_levels_are_those_of_timm_to_the_last_bit(name: str) -> None:
    theirs = timm.create_model(name, features_only=True).eval()
    chosen = [i for i, r in enumerate(theirs.feature_info.reduction()) if r in (4, 8, 16, 32)]
    full = timm.create_model(name, num_classes=0)
    theirs = timm.create_model(name, features_only=True, out_indices=chosen).eval()
    ours = TimmPyramid(name).eval()
    state = full.state_dict()
    ours.trunk.load_state_dict({k: state[k] for k in ours.trunk.state_dict()})
    expected = full.eval().forward_intermediates(
        x := image(64, 96), intermediates_only=True, output_fmt='NCHW'
    )
    assert [tuple(t.shape) for t in theirs(x)] == [tuple(t.shape) for t in ours(x)]
    assert all(torch.equal(a, b) for a, b in zip(ours(x), [expected[i] for i in ours.indices]))


def test_a_patch_of_14_pixels_counts_as_one_of_16() -> None:
    model = TimmPyramid('vit_small_patch14_dinov2', out_indices=2).eval()
    assert model.scale == 14 / 16 and model.strides == (16,)
    with torch.no_grad():
        (level,) = model(image(64, 96))
    assert level.shape == (2, 256, 4, 6)


def test_several_maps_of_a_transformer_make_the_levels() -> None:
    depth = len(timm.create_model('test_vit').blocks)
    model = TimmPyramid('test_vit', taps='several')
    assert model.indices[-1] == depth - 1 and len(model.indices) == min(4, depth)
    assert len(model(image(64, 64))) == 4


@pytest.mark.parametrize('name', ('test_vit', 'test_convnext'))
def test_a_frozen_model_stores_nothing_and_stays_in_eval_mode(name: str) -> None:
    model = TimmPyramid(name, frozen_stages='all').train()
    levels = model(image(64, 64))
    assert not model.trunk.training and not any(p.requires_grad for p in model.trunk.parameters())
    assert all(x.requires_grad == model.plain for x in levels), 'only what makes levels is trained'


def test_frozen_stages_are_the_first_groups_of_timm() -> None:
    model = TimmPyramid('test_resnet', frozen_stages=1).train()
    frozen = {n for n, p in model.trunk.named_parameters() if not p.requires_grad}
    groups = model.groups(coarse=True)
    assert frozen == {n for n, g in groups.items() if g <= 1} != set(groups)
    assert not model.trunk.bn1.training and model.trunk.layer4[0].bn1.training


def test_layers_of_a_learning_rate_that_falls_with_depth() -> None:
    model = TimmPyramid('test_vit')
    names = [n for n, _ in model.named_parameters()]
    depth = {n: model.get_layer_depth(f'backbone.{n}', 'backbone.') for n in names}
    assert depth['trunk.patch_embed.proj.weight'][0] == 0
    assert depth['trunk.blocks.1.mlp.fc1.weight'][0] > depth['trunk.blocks.0.mlp.fc1.weight'][0]
    assert depth['makers.0.0.weight'][0] == depth['makers.0.0.weight'][1] - 1


@pytest.mark.parametrize('channels', (3, 4))
def test_a_file_in_timms_names_is_loaded_strictly(channels: int, tmp_path) -> None:
    path = tmp_path / 'timm.pth'
    full = timm.create_model('test_convnext')
    torch.save(full.state_dict(), path)
    model = backbones.create('timm:test_convnext', pretrained=str(path), in_channels=channels)
    own = model.trunk.state_dict()
    same = [k for k in own if torch.equal(own[k], full.state_dict()[k])] if channels == 3 else own
    assert len(same) == len(own) and str(len(own)) in model.loaded
    broken = full.state_dict()
    broken.pop('stages.0.blocks.0.gamma')
    torch.save(dict(broken, other=torch.ones(1)), path)
    with pytest.raises(
        CheckpointError,
        match=r'(?s)missing in the file.*blocks\.0\.gamma.*unknown to the model.*other',
    ):
        backbones.create('timm:test_convnext', pretrained=str(path))


def test_a_file_of_ours_and_one_with_unusable_values(tmp_path) -> None:
    model = backbones.create('timm:test_vit')
    state = {f'backbone.{k}': t for k, t in model.state_dict().items()}
    torch.save(dict(state_dict=state), tmp_path / 'ours.pth')
    loaded = backbones.create('timm:test_vit', pretrained=str(tmp_path / 'ours.pth'))
    assert all(torch.equal(t, loaded.state_dict()[k]) for k, t in model.state_dict().items())
    state['backbone.trunk.pos_embed'] = state['backbone.trunk.pos_embed'] * float('nan')
    state['backbone.trunk.patch_embed.proj.bias'] = torch.ones(64, dtype=torch.int8)
    torch.save(dict(state_dict=state), tmp_path / 'nan.pth')
    with pytest.raises(CheckpointError, match=r'(?s)2 with unusable values.*NaN.*int8'):
        backbones.create('timm:test_vit', pretrained=str(tmp_path / 'nan.pth'))


def test_a_file_for_another_size_is_resampled_by_timm(tmp_path) -> None:
    torch.save(timm.create_model('test_vit').state_dict(), tmp_path / 'timm.pth')
    settings = dict(pretrained=str(tmp_path / 'timm.pth'), image_size=(64, 96))
    assert backbones.create('timm:test_vit', **settings).trunk.pos_embed.shape[1] == 4 * 6 + 1


def test_a_tensor_that_no_level_depends_on_may_have_another_shape(tmp_path) -> None:
    full = timm.create_model('efficientvim_m1')
    torch.save(full.state_dict(), tmp_path / 'timm.pth')
    model = backbones.create('timm:efficientvim_m1', pretrained=str(tmp_path / 'timm.pth'))
    assert model.idle == {'weights'} and model.trunk.weights.shape != full.weights.shape
    assert torch.equal(
        model.trunk.patch_embed.conv[0].conv.weight, full.patch_embed.conv[0].conv.weight
    )


def test_recomputing_of_blocks_can_be_turned_off_again() -> None:
    model = TimmPyramid('test_vit', with_cp=True)
    assert model.trunk.grad_checkpointing
    model.set_grad_checkpointing(False)
    assert not model.trunk.grad_checkpointing and not model.with_cp


def test_an_error_that_is_not_about_the_size_keeps_its_type() -> None:
    model = TimmPyramid('test_maxvit')

    def fail(*_: object) -> None:
        raise RuntimeError('other')

    model.trunk.stages[0].register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match=r'^other$'):
        model(image(64, 96))


def test_parameters_that_no_level_depends_on_are_frozen() -> None:
    model = TimmPyramid('crossvit_tiny_240')
    sum(x.square().mean() for x in model(image(64, 64))).backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in trained) and len(trained) < len(list(model.parameters()))


@pytest.mark.slow
def test_maps_of_unpadded_convolutions_are_resampled_to_their_strides() -> None:
    model = TimmPyramid('legacy_xception')
    assert model.uneven and not TimmPyramid('test_resnet').uneven
    cells = [tuple(x.shape[2:]) for x in model(image(97, 130))]
    assert cells == [tuple(-(-side // s) for side in (97, 130)) for s in (4, 8, 16, 32)]


@pytest.mark.parametrize('name', ('vit_tiny_patch16_224', 'vit_tiny_patch16_dinov3_qkvb'))
def test_one_window_over_the_whole_image_changes_nothing(name: str) -> None:
    plain = TimmPyramid(name, out_indices=2).eval()
    for key, scale in plain.named_parameters():
        if 'gamma' in key:  # its value of 1e-5 hides what the blocks do
            torch.nn.init.ones_(scale)
    windowed = TimmPyramid(name, out_indices=2, window=4).eval()
    windowed.load_state_dict(plain.state_dict())
    with torch.no_grad():
        assert (plain(image(64, 64))[0] - windowed(image(64, 64))[0]).abs().max() < 1e-4
        assert (plain(image(64, 128))[0] - windowed(image(64, 128))[0]).abs().max() > 1e-3
        assert windowed(image(40, 100))[0].shape == (2, 256, 3, 7), 'images are padded to windows'


def test_rotary_positions_are_right_within_windows() -> None:
    from backbones.adapted.windows import Windows

    trunk = timm.create_model('vit_tiny_patch16_dinov3_qkvb').eval()
    prefix, channels = trunk.num_prefix_tokens, trunk.embed_dim
    tokens = torch.randn(1, prefix + 4 * 8, channels)
    rope = trunk.rope.get_embed(shape=(4, 8))
    second = [row * 8 + column for row in range(4) for column in range(4, 8)]
    chosen = torch.cat([tokens[:, :prefix], tokens[:, prefix:][:, second]], 1)
    with torch.no_grad():
        expected = trunk.blocks[0](chosen, rope=rope[..., second, :])
        windows = Windows('', trunk.blocks, 4, prefix)
        windows.size = (4, 8)
        found = trunk.blocks[0](tokens, rope=rope)
    assert found.shape == tokens.shape
    assert (found[:, prefix:][:, second] - expected[:, prefix:]).abs().max() < 1e-4


@pytest.mark.parametrize(
    'name, message',
    (
        ('test_convnext', 'window is only for plain transformers'),
        ('xcit_nano_12_p16_224', 'its blocks take H, W'),
        ('vit_srelpos_small_patch16_224', 'its blocks take shared_rel_pos'),
    ),
)
def test_windows_are_refused_where_they_would_be_wrong(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TimmPyramid(name, window=7)


@pytest.mark.parametrize(
    'name, message',
    (
        ('timm:convnext_atoo', r"no model 'convnext_atoo'; did you mean 'convnext_atto'"),
        ('timm:convnext_atto.nothing', r"no weights 'nothing' of convnext_atto; allowed: d2_in1k"),
        ('tim:convnext_atto', "no backbone 'tim:convnext_atto'"),
    ),
)
def test_a_wrong_name_is_a_sentence(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        backbones.create(name)


@pytest.mark.parametrize('name', ('test_vit_relpos', 'test_maxvit', 'test_coatnet'))
def test_a_model_of_one_size_is_built_for_that_size(name: str) -> None:
    with pytest.raises(UserError, match=r'64 x 96 pixels.*image_size=\(HEIGHT, WIDTH\)'):
        TimmPyramid(name)(image(64, 96))
    model = TimmPyramid(name, image_size=(64, 96))
    assert [tuple(x.shape[2:]) for x in model(image(64, 80))][2:] == [(4, 5), (2, 3)]
    with pytest.raises(UserError, match='was built for'):
        model(image(96, 96))


def test_wrong_settings_are_sentences() -> None:
    for settings in (dict(taps='x'), dict(frozen_stages='x'), dict(out_indices=(3, 1))):
        with pytest.raises(UserError, match='allowed'):
            TimmPyramid('test_vit', **settings)
    with pytest.raises(UserError, match=r'\(B, 3, H, W\)'):
        TimmPyramid('test_vit')(torch.zeros(1, 4, 64, 64))


def test_a_row_names_the_weights_and_what_images_they_expect() -> None:
    row = backbones.variant('timm:vit_base_patch16_siglip_224.webli')
    assert row.weights == 'hf-hub:timm/vit_base_patch16_siglip_224.webli'
    assert row.mean == (127.5,) * 3 and row.std == (127.5,) * 3
    assert row.licence == 'apache-2.0'


@pytest.mark.parametrize(
    'name, side, reason',
    [
        # an assertion without a message is reported with its line
        (
            'halonet_h1',
            128,
            r'AssertionError: _assert\(H % .* \(.*halo_attn.py, line \d+',
        ),
        ('mvitv2_tiny', 256, 'IndexError: index 111 is out of bounds'),
    ],
)
def test_a_size_that_a_model_does_not_take_is_said(name: str, side: int, reason: str) -> None:
    model = backbones.create(f'timm:{name}').eval()
    with pytest.raises(UserError, match=f'{name} does not accept images of {side} x .*{reason}'):
        model(torch.zeros(1, 3, side, side))
