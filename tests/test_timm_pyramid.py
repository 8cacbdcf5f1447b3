"""Models of timm as backbones: its maps to the last bit, ViTDet's pyramid where it has none."""

import pytest
import timm
import torch

import backbones
from backbones import TimmPyramid, UserError
from backbones.errors import CheckpointError
from backbones.timm_variants import TimmVariant

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
    groups = model._groups(coarse=True)
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
    with pytest.raises(CheckpointError, match=r'blocks\.0\.gamma is missing.*other is not of this'):
        backbones.create('timm:test_convnext', pretrained=str(path))


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
    row = TimmVariant('vit_base_patch16_siglip_224.webli')
    assert row.weights == 'hf-hub:timm/vit_base_patch16_siglip_224.webli'
    assert row.mean == (127.5,) * 3 and row.std == (127.5,) * 3
