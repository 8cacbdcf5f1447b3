"""What MogaNet does differently: norms that are part of the trunk, its initialisation."""

import torch
from conftest import NANO, draw, published_state
from torch import nn

from backbones import MogaNet


def test_stages_read_the_normalised_level() -> None:
    model = MogaNet(NANO[MogaNet]).eval()
    nn.init.constant_(model.norm1.weight, 3.0)
    levels = model(draw(1, 3, 64, 96).float())
    torch.testing.assert_close(model.norm2(model.forward_stage(1, levels[0])), levels[1])


def test_norms_below_the_emitted_level_take_part_and_freeze() -> None:
    model = MogaNet(NANO[MogaNet], out_indices=(2,), frozen_stages=2)
    assert not any(
        p.requires_grad for n in ('norm1', 'norm2') for p in getattr(model, n).parameters()
    )
    assert all(p.requires_grad for p in model.norm3.parameters())
    assert not hasattr(model, 'norm4')
    assert not model.norm1.training


def test_starts_as_published() -> None:
    model = MogaNet('xtiny')
    model.init_weights()
    for name, p in model.named_parameters():
        parent = model.get_submodule(name.rpartition('.')[0])
        if 'scale' in name:
            assert (p == 1e-5).all(), name
        elif name.endswith('bias'):
            assert (p == 0).all(), name
        elif isinstance(parent, nn.BatchNorm2d):
            assert (p == 1).all(), name
        else:
            std = (2 * parent.groups / (parent.out_channels * parent.kernel_size[0] ** 2)) ** 0.5
            assert abs(p.std() / std - 1) < 5 * p.numel() ** -0.5, name


def test_reads_dense_files_and_leaves_the_classifier(tmp_path) -> None:
    state = published_state('moganet_xtiny')
    torch.save({'state_dict': state}, tmp_path / 'classifier.pth')
    dense = {f'backbone.{k}': v for k, v in published_state('moganet_xtiny_dense').items()}
    torch.save({'meta': {}, 'state_dict': dense}, tmp_path / 'dense.pth')
    models = []
    for file in ('classifier.pth', 'dense.pth'):
        models.append(
            MogaNet('xtiny', init_cfg=dict(type='Pretrained', checkpoint=tmp_path / file))
        )
        models[-1].init_weights()
    for (name, a), b in zip(models[0].state_dict().items(), models[1].state_dict().values()):
        assert torch.equal(a, b), name
    key = 'blocks2.1.attn.value.DW_conv2.weight'
    assert torch.equal(models[0].stages[1].blocks[1].attn.orders[2].weight, state[key])
