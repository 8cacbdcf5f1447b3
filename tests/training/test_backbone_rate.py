"""A tenth of the learning rate in the backbone, and MMEngine's decay rules everywhere."""

import pytest
import torch
from conftest import NANO, ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from backbones import BACKBONES, CloFormer
from backbones.errors import UserError
from backbones.training import backbone_rate  # noqa: F401, registers BackboneRate

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)
RULE = Config.fromfile(ROOT / 'configs/_base_/optimizers/adamw_queries.py').optim_wrapper


class Head(nn.Module):
    """Parameters of each kind that query heads have."""

    def __init__(self) -> None:
        super().__init__()
        self.query_feat = nn.Embedding(2, 4)
        self.query_embed = nn.Embedding(2, 4)
        self.level_embed = nn.Parameter(torch.zeros(3, 4))
        self.norm = nn.LayerNorm(4)
        self.fc = nn.Linear(4, 4)


def groups(backbone: nn.Module, **rule: object) -> tuple[nn.Module, dict[str, dict]]:
    """Return the optimizer's settings for each parameter, by name."""
    model = nn.ModuleDict(dict(backbone=backbone, head=Head()))
    cfg = dict(RULE, paramwise_cfg=RULE.paramwise_cfg | rule)
    found = {
        id(p): group
        for group in build_optim_wrapper(model, cfg).optimizer.param_groups
        for p in group['params']
    }
    return model, {name: found[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize('cls', BACKBONES, ids=lambda c: c.__name__)
def test_rates_and_decays_of_every_parameter(cls: type) -> None:
    model, settings = groups(cls(NANO[cls]))
    for name, group in settings.items():
        assert group['lr'] == pytest.approx(1e-5 if name.startswith('backbone.') else 1e-4), name
        module = model.get_submodule(name.rpartition('.')[0])
        words = ('pos_embed', 'query_embed', 'query_feat', 'level_embed', 'scale')
        exempt = isinstance(module, NORMS) or any(word in name for word in words)
        assert group['weight_decay'] == (0.0 if exempt else 0.05), name
    assert sum(g['weight_decay'] == 0 for n, g in settings.items() if 'head' in n) == 5


def test_rules_for_single_parts_of_the_backbone_are_multiplied() -> None:
    keys = {'stem': dict(lr_mult=0.5)}
    _, settings = groups(CloFormer(NANO[CloFormer]), backbone_lr_mult=0.2, custom_keys=keys)
    rates = {name: group['lr'] for name, group in settings.items()}
    assert rates['backbone.stem.0.weight'] == pytest.approx(1e-5)
    assert rates['backbone.norm3.weight'] == pytest.approx(2e-5)
    assert rates['head.fc.weight'] == pytest.approx(1e-4)


@pytest.mark.parametrize('value', [None, -0.1])
def test_a_rate_that_is_none_is_refused(value: float | None) -> None:
    cfg = dict(RULE, paramwise_cfg={} if value is None else dict(backbone_lr_mult=value))
    with pytest.raises(UserError, match='backbone_lr_mult in it, a factor of at least 0'):
        build_optim_wrapper(nn.Linear(1, 1), cfg)
