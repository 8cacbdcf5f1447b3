"""Other people's counters find the multiply-adds of our layers."""

import contextlib
import copy
import io
from collections.abc import Callable

import pytest
import torch
from conftest import SMALLEST, variant_id
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import backbones
from backbones.layers import GroupNorm, LayerNorm2d
from backbones.variants import Variant

SIZE = (1, 3, 224, 224)


def by_thop(model: nn.Module) -> float:
    from thop import profile

    # norms, which the papers do not count
    norms = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
    ignored = {kind: lambda *_: None for kind in norms}
    return profile(model, (torch.zeros(SIZE),), custom_ops=ignored, verbose=False)[0]


def by_ptflops(model: nn.Module) -> float:
    from ptflops import get_model_complexity_info

    others = [nn.BatchNorm2d, nn.GELU, nn.LayerNorm, nn.ReLU, nn.SiLU, GroupNorm, LayerNorm2d]
    options = dict(as_strings=False, print_per_layer_stat=False, ignore_modules=others)
    with contextlib.redirect_stdout(io.StringIO()):
        return get_model_complexity_info(model, SIZE[1:], backend='pytorch', **options)[0]


def by_torchinfo(model: nn.Module) -> float:
    import torchinfo

    return torchinfo.summary(model, input_size=SIZE, verbose=0).total_mult_adds


# thop counts a transposed convolution as if each output used the whole kernel; torchinfo counts
# only the first position of a linear layer on a map, even in timm's Swin
CANNOT = {
    by_thop: (backbones.VOLO,),
    by_torchinfo: (backbones.CSWin, backbones.DilateFormer, backbones.VOLO),
    by_ptflops: (),
}


def of_layers(model: nn.Module) -> float:
    """Return multiply-adds of linear layers and convolutions, from the shapes of their outputs."""
    found = []

    def count(layer: nn.Module, _: tuple, out: torch.Tensor) -> None:
        found.append(out.numel() * layer.weight[0].numel())

    for module in model.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(
                lambda m, x, out: found.append(x[0].numel() * m.weight[0].numel())
            )
        elif isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(SIZE))
    return sum(found)


PAIRS = [(row, count) for count in CANNOT for row in SMALLEST if row.cls not in CANNOT[count]]


@pytest.mark.slow
@pytest.mark.parametrize('row, count', PAIRS, ids=lambda x: getattr(x, '__name__', None) or x.name)
def test_layers_are_counted(row: Variant, count: Callable) -> None:
    model = backbones.create(row.name).eval()
    expected = of_layers(copy.deepcopy(model))
    # ptflops counts sums and products of maps, too
    rel = 0.03 if count is by_ptflops else 0.02
    assert count(copy.deepcopy(model)) == pytest.approx(expected, rel=rel)


@pytest.mark.slow
@pytest.mark.parametrize('row', SMALLEST, ids=variant_id)
def test_pytorchs_counter_finds_the_published_number(row: Variant) -> None:
    model = backbones.create(row.name).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(SIZE))
    assert counter.get_total_flops() / 2e9 == pytest.approx(row.gmacs, rel=0.02)
