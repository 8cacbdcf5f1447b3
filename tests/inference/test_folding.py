"""Prepared weights keep the numbers, and what is not known is left alone."""

import pytest
import torch
from conftest import NANO, variant_id
from mmcv.cnn import ConvModule
from torch import nn

from backbones import BACKBONES
from backbones.inference.folding import cast, fold


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


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_cast_weights_give_what_autocast_gives(cls: type) -> None:
    model, x = lively(cls(NANO[cls])), torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        exact = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            expected = model(x)
            cast(model)
            found = model(x)
    for ours, theirs, level in zip(found, expected, exact):
        rounding = (theirs - level).abs().max()
        assert (ours - level).abs().max() <= 1.5 * rounding


def test_only_weights_that_autocast_casts_are_cast() -> None:
    class Standardised(nn.Conv2d):
        pass

    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), Standardised(4, 4, 1), nn.BatchNorm2d(4), nn.LayerNorm(4)
    )
    cast(model)
    dtypes = [next(layer.parameters()).dtype for layer in model]
    assert dtypes == [torch.bfloat16, *[torch.float32] * 3]
