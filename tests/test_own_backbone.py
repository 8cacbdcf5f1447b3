"""A backbone that somebody else builds on `Pyramid`, unlike any of the five."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import Tensor, nn

import backbones
from backbones.errors import ArgumentError, UserError
from backbones.layers import Convolutions, LayerNorm2d, Mlp
from backbones.ops.dispatch import mode
from backbones.stage import Stage
from backbones.training.preflight import check_model

DIMS = (6, 17, 33, 50)


class Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(dim, track_running_stats=True)
        self.mlp = Mlp(dim, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OddNet(backbones.Pyramid):
    """Odd widths, no output norms, layers that work in place, and an argument of its own."""

    ARCHS = dict(tiny=dict(dims=DIMS, depths=(1, 0, 2, 1)))

    def __init__(self, arch: str | dict, *, neck: bool = False, **settings: object) -> None:
        self.neck = neck
        super().__init__(arch, **settings)

    def build_stem(self) -> nn.Module:
        first = nn.Conv2d(self.in_channels, DIMS[0], 2, 2)
        return Convolutions(first, nn.ReLU(), nn.Conv2d(DIMS[0], DIMS[0], 2, 2))

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        last = [LayerNorm2d(DIMS[i])] if self.neck else []
        shrink = Convolutions(
            nn.ReLU(inplace=True), nn.Conv2d(DIMS[max(i - 1, 0)], DIMS[i], 2, 2), *last
        )
        blocks = [Block(DIMS[i]) for _ in drop_path[i]]
        return Stage(shrink if i else nn.Identity(), blocks, axes='BCHW')

    def build_norm(self, dim: int) -> nn.Module:
        return nn.Identity()

    def init_from_scratch(self) -> None:
        """Keep PyTorch's defaults."""


@pytest.fixture
def odd() -> type:
    """The class, registered during the test."""
    before = list(backbones.BACKBONES)
    yield backbones.register(OddNet)
    backbones.BACKBONES[:] = before


def losses(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Run a step; return the levels, the gradients and the statistics after it."""
    levels = model(image)
    sum(level.square().mean() for level in levels).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [*levels, *gradients, *model.buffers()]


@pytest.mark.parametrize('channels', [1, 3, 12])
@pytest.mark.parametrize('training', [False, True])
def test_forms_and_recomputation_give_the_same_numbers(channels: int, training: bool) -> None:
    torch.manual_seed(0)
    model = OddNet('tiny', in_channels=channels).double().train(training)
    image = torch.randn(2, channels, 75, 96, dtype=torch.double)
    expected = losses(copy.deepcopy(model), image)
    for with_cp, fast in ((True, True), (False, False), (True, False)):
        twin = copy.deepcopy(model)
        twin.set_grad_checkpointing(with_cp)
        twin.fast = fast
        torch.testing.assert_close(losses(twin, image), expected, rtol=1e-9, atol=1e-9)


def test_a_level_is_not_changed_by_the_next_stage() -> None:
    model = OddNet('tiny', fast=False).eval()
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model(image)[0], OddNet.forward_stage(model, 0, model.stem(image)))
    assert model(image)[0].min() < 0


def test_keeps_its_own_arguments_when_levels_are_removed(odd: type, tmp_path: Path) -> None:
    model = backbones.create('oddnet_t', neck=True, out_indices=(1, -1), in_channels=4)
    assert model.channels == (17, 50)
    image = torch.randn(1, 4, 64, 64)
    last = model.eval()(image)[-1]
    torch.save(model.state_dict(), tmp_path / 'odd.pth')
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    for pruned in (model, twin):
        pruned.prune_intermediate_layers([3])
        torch.testing.assert_close(pruned(image)[0], last)
    again = backbones.create(
        'oddnet_t', neck=True, out_indices=3, in_channels=4, pretrained=str(tmp_path / 'odd.pth')
    )
    torch.testing.assert_close(again.eval()(image)[0], last)
    assert not again.loaded.initial and not again.loaded.dropped


def test_a_file_of_another_backbone_is_still_said_to_be_one(odd: type, tmp_path: Path) -> None:
    path = tmp_path / 'odd.pth'
    torch.save(backbones.create('oddnet_t').state_dict(), path)
    with pytest.raises(UserError, match=r"fits another model: type='.*OddNet', arch='tiny'"):
        backbones.create('cloformer_xxs', pretrained=str(path))


def test_settings_include_those_of_the_base(odd: type) -> None:
    with pytest.raises(ArgumentError, match=r"'nek'; allowed: neck, drop_path_rate, .*'neck'"):
        backbones.create('oddnet_t', nek=True)
    assert backbones.variant('oddnet_t').settings()['type'] == f'{__name__}.OddNet'
    assert backbones.variant('cswin_t').settings()['type'] == 'CSWin'


def test_a_row_says_how_images_are_normalised() -> None:
    row = backbones.Variant(dims=DIMS, mean=(0.0,), std=(255.0,))
    assert (row.mean, row.std, [*row]) == ((0.0,), (255.0,), ['dims'])
    assert backbones.Variant(dims=DIMS).mean == backbones.variant('cswin_t').mean


@pytest.mark.parametrize('table', [{}, ['tiny'], dict(tiny='small')])
def test_a_table_without_rows_is_refused(table: object) -> None:
    cls = type('Empty', (OddNet,), dict(ARCHS=table))
    with pytest.raises(ArgumentError, match=r'Empty.ARCHS is .*required is a dict of variants'):
        backbones.register(cls)


@pytest.mark.parametrize('row', [dict(dims=DIMS), dict(dims=DIMS[1:], depths=(1, 1, 1, 1))])
def test_a_row_needs_four_stages(row: dict) -> None:
    cls = type('Short', (OddNet,), dict(ARCHS=dict(tiny=row)))
    with pytest.raises(
        UserError, match=r'Short arch has d.*required is a number for each of the 4'
    ):
        cls('tiny')


def test_a_backbone_that_reads_tensors_while_it_is_built_is_refused(odd: type) -> None:
    class Reading(OddNet):
        def build_norm(self, dim: int) -> nn.Module:
            assert torch.linspace(0, 1, 3).tolist()
            return super().build_norm(dim)

    cfg = Config(dict(default_scope='mmseg', model=dict(backbone=dict(type=Reading, arch='tiny'))))
    with pytest.raises(UserError, match=r'Reading cannot be built on the meta device: .*values of'):
        check_model(cfg)


def test_forms_that_were_not_counted_have_no_table(capsys: pytest.CaptureFixture) -> None:
    backbones.explain(Convolutions(nn.Conv2d(3, 4, 3)))
    out = capsys.readouterr().out
    assert 'Convolutions' in out and 'Counted' not in out


def test_a_second_run_takes_forms_that_save_memory_again() -> None:
    """On GPUs, whose forms can be chosen here, too."""
    model = backbones.CSWin(backbones.CSWin.NANO, with_cp=True, prefer='memory')
    with mode(as_if_on='cuda'):
        levels = model(torch.randn(1, 3, 64, 64))
    sum(level.sum() for level in levels).backward()
