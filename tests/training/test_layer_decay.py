"""Learning rates that decay with depth, and parameters without weight decay."""

import pytest
import torch
from conftest import NANO
from mmengine.optim import build_optim_wrapper
from torch import nn

from backbones import BACKBONES, DilateFormer, MogaNet, variant
from backbones.errors import UserError
from backbones.training import layer_decay

# the published rates of named parameters, as factors of the base rate, decay 0.8
PUBLISHED = {
    'stem.0.weight': 0.0550,
    'stem.4.bias': 0.0550,
    'stages.0.blocks.0.attn.proj1.weight': 0.0859,
    'stages.0.blocks.3.mlp.fc1.weight': 0.0859,
    'stages.1.downsample.conv.weight': 0.1074,
    'stages.1.blocks.5.norm1.weight': 0.1074,
    'stages.2.downsample.conv.weight': 0.1342,
    'stages.2.blocks.0.attn.gate.weight': 0.1074,
    'stages.2.blocks.1.attn.gate.weight': 0.1074,
    'stages.2.blocks.3.attn.gate.weight': 0.1342,
    'stages.2.blocks.4.attn.gate.weight': 0.1678,
    'stages.2.blocks.7.attn.gate.weight': 0.2097,
    'stages.2.blocks.8.attn.gate.weight': 0.2621,
    'stages.2.blocks.10.attn.gate.weight': 0.3277,
    'stages.2.blocks.12.attn.gate.weight': 0.4096,
    'stages.2.blocks.14.attn.gate.weight': 0.5120,
    'stages.2.blocks.16.attn.gate.weight': 0.6400,
    'stages.2.blocks.21.attn.gate.weight': 0.6400,
    'stages.3.downsample.norm.bias': 0.8,
    'stages.3.blocks.2.mlp.fc2.weight': 0.8,
    'norm1.weight': 1.0,
    'norm4.bias': 1.0,
}


class Detector(nn.Module):
    """A backbone with a head of two parameters."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Conv2d(4, 4, 1)


def groups(backbone: nn.Module, **rule: object) -> dict[str, dict]:
    """Return the optimizer's settings for each parameter, by name."""
    model = Detector(backbone)
    cfg = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05),
        constructor='LayerDecay',
        paramwise_cfg=rule,
    )
    found = {
        id(p): group
        for group in build_optim_wrapper(model, cfg).optimizer.param_groups
        for p in group['params']
    }
    return {name: found[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize('arch, exempt', [('base', 723), ('large', 1183)])
def test_moganet_has_the_published_rates_and_exemptions(arch: str, exempt: int) -> None:
    with torch.device('meta'):
        backbone = MogaNet(arch)
    settings = groups(backbone, decay_rate=0.8)
    for name, factor in PUBLISHED.items():
        assert settings[f'backbone.{name}']['lr'] == pytest.approx(1e-4 * factor, rel=1e-3), name
    assert settings['head.weight']['lr'] == 1e-4
    decays = {n: group['weight_decay'] for n, group in settings.items()}
    assert set(decays.values()) == {0.0, 0.05}
    assert sum(v == 0 for n, v in decays.items() if n.startswith('backbone.')) == exempt
    assert decays['backbone.stages.0.blocks.0.mlp.decompose.weight'] == 0  # (1, hidden, 1, 1)
    assert (decays['head.weight'], decays['head.bias']) == (0.05, 0.0)


@pytest.mark.parametrize('cls', BACKBONES, ids=lambda c: c.__name__)
def test_depth_rises_from_the_stem_to_the_output_norms(cls: type) -> None:
    backbone = cls(NANO[cls])
    depth = {n: backbone.get_layer_depth(f'x.{n}', 'x.') for n, _ in backbone.named_parameters()}
    assert len({layers for _, layers in depth.values()}) == 1
    layers = next(iter(depth.values()))[1]
    last = max(layer for name, (layer, _) in depth.items() if name.startswith('stages.'))
    for name, (layer, _) in depth.items():
        if name.startswith('stem.'):
            assert layer == 0
        else:
            assert 0 < layer < layers
            assert name.startswith('stages.') or layer == layers - 1
    assert last == layers - 2
    assert backbone.get_layer_depth('neck.weight', 'x.') == (layers - 1, layers)
    for i, stage in enumerate(backbone.stages):
        blocks = [depth[f'stages.{i}.blocks.{j}.{next(iter(dict(b.named_parameters())))}']
                  for j, b in enumerate(stage.blocks)]  # fmt: skip
        assert blocks == sorted(blocks)


def test_layers_are_counted_among_the_stages_that_are_built() -> None:
    backbone = DilateFormer(NANO[DilateFormer], out_indices=(0, 2))
    assert backbone.get_layer_depth('stages.2.blocks.1.norm1.weight') == (4, 6)
    assert backbone.get_layer_depth('norm2.weight') == (5, 6)


@pytest.mark.parametrize('rule', [{}, dict(decay_rate=0.8, num_layers=12), dict(decay_rate=1.5)])
def test_another_rule_is_refused(rule: dict) -> None:
    with pytest.raises(UserError, match='decay_rate'):
        groups(MogaNet(NANO[MogaNet]), **rule)


def test_a_model_without_depths_is_refused() -> None:
    with pytest.raises(UserError, match='get_layer_depth'):
        groups(nn.Conv2d(3, 3, 1), decay_rate=0.8)


def test_frozen_parameters_are_left_out() -> None:
    backbone = MogaNet(NANO[MogaNet], frozen_stages=1)
    model = Detector(backbone)
    cfg = dict(optimizer=dict(type='AdamW', lr=1e-4), constructor='LayerDecay',
               paramwise_cfg=dict(decay_rate=0.8))  # fmt: skip
    optimized = {
        id(p) for g in build_optim_wrapper(model, cfg).optimizer.param_groups for p in g['params']
    }
    assert optimized == {id(p) for p in model.parameters() if p.requires_grad}


def test_models_of_timm_have_the_rates_of_vitdet_and_their_positions_no_decay() -> None:
    row = variant('timm:vit_tiny_patch16_224')
    recipe = row.recipe('detection')
    layers = row.model.get_layer_depth('')[1]
    assert layers == 14 and recipe.decay_of(layers - 2) == 0.7 and recipe.decay_of(24) == 0.8
    assert recipe.decay_of(16) == round(0.7 ** (12 / 16), 4), 'the stem learns as published'
    model = nn.Module()
    model.backbone = row.model
    rule = dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1))
    groups: list[dict] = []
    layer_decay.LayerDecay(rule, dict(decay_rate=0.7)).add_params(groups, model)
    found = {id(p): g for g in groups for p in g['params']}
    assert found[id(row.model.trunk.pos_embed)]['weight_decay'] == 0
    stem = found[id(row.model.trunk.patch_embed.proj.weight)]
    assert stem['weight_decay'] == 0.1 and abs(stem['lr'] - 0.7**13) < 1e-9
