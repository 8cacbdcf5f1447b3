"""Folding BatchNorm keeps the numbers, and leaves alone what it does not know."""

import pytest
import torch
from conftest import NANO, variant_id
from mmcv.cnn import ConvModule
from torch import nn

from backbones import BACKBONES
from backbones.inference.folding import fold


def lively(model: nn.Module) -> nn.Module:
    """A model in which every BatchNorm does something."""
    torch.manual_seed(0)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    return model.eval()


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_folded_backbones_give_the_same_features(cls: type) -> None:
    model, x = lively(cls(NANO[cls])), torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = model(x)
        norms = sum(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
        assert fold(model) > 0 or not norms
        for form in (torch.contiguous_format, torch.channels_last):  # the latter on CPUs
            for found, level in zip(model.to(memory_format=form)(x), expected):
                assert (found - level).abs().max() <= 1e-5 * level.abs().max()


def test_only_a_norm_that_follows_its_own_convolution_is_folded() -> None:
    class Reversed(nn.Module):
        """Its parts are called in a different order than they are listed."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.norm(x))

    shared = nn.Conv2d(4, 4, 1)
    model = lively(
        nn.Sequential(
            ConvModule(4, 4, 3, norm_cfg=dict(type='BN')),
            ConvModule(4, 4, 3, norm_cfg=dict(type='BN'), order=('norm', 'act', 'conv')),
            Reversed(),
            nn.Sequential(shared, nn.BatchNorm2d(4)),
            nn.Sequential(shared, nn.BatchNorm2d(4)),
        )
    )
    x = torch.randn(2, 4, 9, 9)
    with torch.inference_mode():
        expected = model(x)
        assert fold(model) == 1
        torch.testing.assert_close(model(x), expected, rtol=1e-5, atol=1e-5)
