"""transformers backbones: exactly its maps, strict loading of its files, all offline."""

import json
from pathlib import Path

import pytest
import torch

import backbones
from backbones import UserError
from backbones.errors import CheckpointError

pytestmark = pytest.mark.lora  # needs transformers, which is installed outside the environment
PYRAMID = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
PLAIN = dict(hidden_size=32, num_hidden_layers=6, num_attention_heads=2, intermediate_size=64)
# configuration, whole model, their settings
KINDS = {
    'convnext': ('ConvNext', 'ConvNextForImageClassification', PYRAMID),
    'convnextv2': ('ConvNextV2', 'ConvNextV2Model', PYRAMID),
    'dinov3_convnext': ('DINOv3ConvNext', 'DINOv3ConvNextModel', PYRAMID),
    'resnet': ('ResNet', 'ResNetForImageClassification', dict(PYRAMID, embedding_size=8)),
    'swin': ('Swin', 'SwinModel', dict(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4])),
    'pvt_v2': ('PvtV2', 'PvtV2Model', dict(hidden_sizes=[8, 16, 24, 32], depths=[1] * 4,
                                          num_attention_heads=[1, 1, 2, 4])),
    'dinov2': ('Dinov2', 'Dinov2ForImageClassification', PLAIN),
    'dinov2_with_registers': ('Dinov2WithRegisters', 'Dinov2WithRegistersModel', PLAIN),
    'dinov3_vit': ('DINOv3ViT', 'DINOv3ViTModel', dict(PLAIN, num_register_tokens=4)),
}  # fmt: skip
FLAT = ('dinov2', 'dinov2_with_registers', 'dinov3_vit')


def image(height: int = 64, width: int = 96) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """Return a function that writes a small model of a kind in transformers' format."""
    import transformers

    def save(kind: str) -> str:
        config, model, settings = KINDS[kind]
        folder = tmp_path_factory.mktemp(kind)
        torch.manual_seed(0)
        made = getattr(transformers, model)(getattr(transformers, f'{config}Config')(**settings))
        made.save_pretrained(folder)
        colours = dict(image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.2, 0.2])
        (folder / 'preprocessor_config.json').write_text(json.dumps(colours))
        (folder / 'README.md').write_text('---\nlicense: other\nlicense_name: "toy-1"\n---\n# Toy')
        return str(folder)

    return save


@pytest.mark.parametrize('kind', KINDS)
def test_levels_are_those_of_transformers_and_every_parameter_is_trained(saved, kind: str) -> None:
    from transformers import AutoConfig

    folder = saved(kind)
    model = backbones.create(f'hf:{folder}', pretrained=True)
    if kind not in FLAT:
        config = AutoConfig.from_pretrained(folder, out_indices=model.indices)
        theirs = type(model.trunk).from_pretrained(folder, config=config).eval()
        with torch.no_grad():
            expected, found = theirs(image()).feature_maps, model.eval()(image())
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    model.train()
    for size in ((64, 96), (97, 130)):
        levels = model(image(*size))
        assert [x.shape[1] for x in levels] == list(model.channels)
        cells = [tuple(-(-side // stride) for side in size) for stride in (4, 8, 16, 32)]
        assert [tuple(x.shape[2:]) for x in levels] == cells
    sum(x.square().mean() for x in levels).backward()
    grads = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert grads == []


@pytest.mark.parametrize('kind', FLAT)
def test_a_plain_transformer_has_its_weights_and_is_frozen_or_windowed(saved, kind: str) -> None:
    import transformers

    folder = saved(kind)
    model = backbones.create(f'hf:{folder}', pretrained=True, frozen_stages='all')
    whole = getattr(transformers, KINDS[kind][1]).from_pretrained(folder).eval()
    base = whole if KINDS[kind][1].endswith('Model') else getattr(whole, whole.base_model_prefix)
    pixels = image(64, 64)
    model.eval()
    (last,) = model.trunk_maps(pixels)
    tokens = base(pixels).last_hidden_state[:, -last[0, 0].numel() :]
    assert (last.flatten(2).transpose(1, 2) - tokens).abs().max() < 1e-5
    assert all(x.requires_grad for x in model(pixels)) and not last.requires_grad
    windowed = backbones.create(f'hf:{folder}', pretrained=True, window=4).eval()
    assert windowed(pixels)[0].shape == (2, 256, 16, 16)


def test_a_file_for_rgb_is_adapted_to_other_channels(saved) -> None:
    folder = saved('convnext')
    rgb = backbones.create(f'hf:{folder}', pretrained=True).eval()
    six = backbones.create(f'hf:{folder}', pretrained=True, in_channels=6).eval()
    grey = torch.ones(1, 1, 64, 64)
    levels = zip(rgb(grey.expand(-1, 3, -1, -1)), six(grey.expand(-1, 6, -1, -1)))
    assert all((a - b).abs().max() < 1e-4 for a, b in levels)


def test_groups_go_from_the_stem_to_the_last_block(saved) -> None:
    model = backbones.create(f'hf:{saved("convnext")}', frozen_stages=1)
    depth = {n: model.get_layer_depth(n)[0] for n, _ in model.named_parameters()}
    assert depth['trunk.embeddings.patch_embeddings.weight'] == 0
    first, last = (f'trunk.encoder.stages.{i}.layers.0.pwconv1.weight' for i in (0, 3))
    assert 0 < depth[first] < depth[last]
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert first in frozen and last not in frozen


def test_a_row_knows_weights_and_colours_and_a_config_is_changed_by_it(saved) -> None:
    from mmengine.config import Config

    folder = saved('convnext')
    row = backbones.variant(f'hf:{folder}')
    assert row.weights == f'{folder}/model.safetensors' and row.mean == (127.5, 102.0, 76.5)
    assert row.licence == row.model.licence() == 'toy-1'
    cfg = Config.fromfile(backbones.config_file('upernet_cswin_nano_digits'))
    swapped = backbones.swap_backbone(cfg, f'hf:{folder}')
    assert swapped.model.backbone.type == 'HfPyramid'
    assert swapped.model.decode_head.in_channels == [8, 16, 24, 32]


def changed(folder: str, file: str, **changes: object) -> Path:
    path = Path(folder, file)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


@pytest.mark.parametrize(
    ('said', 'mean', 'std'),
    [
        (dict(), 127.5, 51.0),
        (dict(rescale_factor=1 / 127.5), 63.75, 25.5),
        (dict(do_rescale=False, image_mean=[120.0] * 3, image_std=[60.0] * 3), 120.0, 60.0),
        (dict(do_rescale=False), 127.5, 51.0),
        (dict(do_normalize=False), 0.0, 255.0),
        (dict(do_normalize=None, do_rescale=None, rescale_factor=None), 127.5, 51.0),
    ],
)
def test_colours_are_those_that_a_model_was_trained_on(saved, said, mean, std) -> None:
    """Mean and deviation depend on the scale of the values in the same file."""
    folder = saved('convnext')
    changed(folder, 'preprocessor_config.json', **said)
    row = backbones.variant(f'hf:{folder}')
    assert (row.mean[0], row.std[0]) == (mean, std)


ODD = [
    ('preprocessor_config.json', dict(image_mean=[0.5])),
    ('preprocessor_config.json', dict(image_mean='abc')),
    ('preprocessor_config.json', dict(image_std=[0, 0, 0])),
    ('preprocessor_config.json', dict(rescale_factor=0)),
    ('config.json', dict(hidden_sizes=[8, 16, 24])),
    ('config.json', dict(hidden_sizes=[-8, 16, 24, 32])),
    ('config.json', dict(hidden_sizes='abcd')),
    ('config.json', dict(hidden_sizes=[8, 16, 24, 10**9])),
    ('config.json', dict(depths=[1, 1, 2, 1])),
    ('config.json', dict(auto_map=dict(AutoConfig='a.B'), model_type='own')),
]


@pytest.mark.parametrize(('file', 'changes'), ODD)
def test_odd_settings_of_a_folder_are_refused_in_a_sentence(saved, file, changes) -> None:
    folder = saved('convnext')
    changed(folder, file, **changes)
    with pytest.raises(UserError, match=folder):
        backbones.variant(f'hf:{folder}')
        backbones.create(f'hf:{folder}', pretrained=True)


@pytest.mark.parametrize('names', [['pipeline'], ['is_torch_available'], [1], ['BertModel']])
def test_a_folder_cannot_have_anything_but_its_model_built(saved, names: list) -> None:
    folder = saved('convnext')
    changed(folder, 'config.json', architectures=names)
    assert backbones.create(f'hf:{saved("convnext")}', pretrained=True)
    with pytest.raises(CheckpointError, match=r'missing in the file|unknown to the model'):
        backbones.create(f'hf:{folder}', pretrained=True)


def test_other_files_and_folders_are_refused_in_a_sentence(saved, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(saved('convnext'))
    state = load_file(folder / 'model.safetensors')
    name = next(k for k in state if 'pwconv1.weight' in k)
    for changed, message in (
        ({k: t for k, t in state.items() if k != name}, r'missing in the file'),
        ({**state, 'other': torch.ones(1)}, r'unknown to the model:\n  other'),
        ({**state, name: state[name][:3].clone()}, r'of another shape'),
        ({**state, name: state[name] * float('nan')}, r'NaN'),
    ):
        save_file(changed, file := str(tmp_path / 'x.safetensors'))
        with pytest.raises(CheckpointError, match=message):
            backbones.create(f'hf:{folder}', pretrained=file)
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='bert')))
    for name, message in (
        (tmp_path, 'is a bert, for which transformers has no backbone; it has: beit, '),
        (tmp_path / 'none', 'is not a folder with a config.json'),
    ):
        with pytest.raises(UserError, match=message):
            backbones.create(f'hf:{name}')
    with pytest.raises(UserError, match='window is only for plain transformers'):
        backbones.create(f'hf:{folder}', window=7)
