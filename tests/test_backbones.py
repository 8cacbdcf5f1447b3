"""The contract of `Pyramid`, for every variant of every backbone."""

import itertools
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import (
    FILE_NAMES,
    GOLDENS,
    HERE,
    NANO,
    ROWS,
    SMALLEST,
    SMALLEST_FIRST,
    file_name,
    published_state,
    skeleton,
    twin,
    variant_id,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from weights import image, summary

from backbones import BACKBONES, CSWin
from backbones.ops.dispatch import plain
from backbones.variants import Variant

# emitted levels; the default suite uses each alone, two with a gap, and all
SUBSETS = [
    pytest.param(s, id=str(s), marks=[] if len(s) in (1, 4) or s == (0, 2) else [pytest.mark.slow])
    for n in (1, 2, 3, 4)
    for s in itertools.combinations(range(4), n)
]


def golden(path: Path):
    """Row, height and width of a golden file.

    The default suite uses the smallest variant, at its simplest and its oddest size.
    """
    name, height, width = re.fullmatch(r'(\w+)_(\d+)x(\d+)', path.stem).groups()
    row = FILE_NAMES[name]
    quick = row in SMALLEST and (height, width) in ((64, 64), (101, 133))
    slow = [] if quick else [pytest.mark.slow]
    return pytest.param(row, int(height), int(width), id=path.stem, marks=slow)


def build(cls: type, **settings) -> nn.Module:
    torch.manual_seed(0)
    return cls(NANO[cls], **settings)


def part_of(key: str) -> str:
    """'stages.2' of 'stages.2.blocks...', 'stem' of 'stem...'."""
    return re.match(r'stages\.\d|\w+', key)[0]


def random_image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def sizes(cls: type, height: int, width: int) -> list[tuple[int, int]]:
    """Return published level sizes: halves of the stem's map, rounded up."""
    h, w = ((n + 1) // 4 if cls is CSWin else -(-n // 4) for n in (height, width))
    return [(-(-h // s), -(-w // s)) for s in (1, 2, 4, 8)]


@pytest.mark.parametrize('row, height, width', map(golden, GOLDENS))
def test_equals_the_published_code(row: Variant, height: int, width: int, tmp_path: Path) -> None:
    file = tmp_path / 'published.pth'
    torch.save({'model': published_state(file_name(twin(row)))}, file)
    model = row.cls(row.arch, init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    model.init_weights()
    file.unlink()
    model.eval()
    golden = np.load(HERE / f'golden/{file_name(row)}_{height}x{width}.npz')
    x = torch.from_numpy(image(height, width))
    tolerances = {torch.float32: 1e-4, torch.float64: 1e-8}
    for dtype, tolerance in tolerances.items():
        with torch.inference_mode():
            levels = model.to(dtype)(x.to(dtype))
        ours = summary([level.double().numpy() for level in levels])
        for i in range(4):
            assert tuple(ours[f'shape{i}']) == tuple(golden[f'shape{i}'])
            largest = np.abs(golden[f'values{i}']).max()
            assert np.abs(ours[f'values{i}'] - golden[f'values{i}']).max() <= tolerance * largest
            assert ours[f'norm{i}'] == pytest.approx(golden[f'norm{i}'], rel=tolerance)


@pytest.mark.parametrize('row', ROWS, ids=variant_id)
def test_has_the_published_parameters(row: Variant) -> None:
    assert sum(p.numel() for p in skeleton(row).parameters()) == row.parameters


@pytest.mark.parametrize('row', SMALLEST_FIRST)
def test_has_the_published_macs(row: Variant) -> None:
    model = skeleton(row).eval()
    with torch.device('meta'), FlopCounterMode(display=False) as counter:
        levels = model(torch.empty(1, 3, 224, 224))
    shapes = [(1, dim, 224 // s, 224 // s) for dim, s in zip(row.channels, model.strides)]
    assert [tuple(level.shape) for level in levels] == shapes
    if row.gmacs is not None:
        assert counter.get_total_flops() / 2e9 == pytest.approx(row.gmacs, rel=0.01)


@pytest.mark.parametrize(
    'size',
    [
        pytest.param((64, 64), id='64x64', marks=pytest.mark.slow),
        pytest.param((97, 131), id='97x131'),
    ],
)
@pytest.mark.parametrize('row', SMALLEST_FIRST)
def test_emits_a_stride_4_to_32_pyramid(row: Variant, size: tuple[int, int]) -> None:
    model = skeleton(row).eval()
    levels = model(torch.empty(2, 3, *size, device='meta'))
    assert model.strides == (4, 8, 16, 32)
    expected = [(2, c, *hw) for c, hw in zip(row.channels, sizes(row.cls, *size))]
    assert [tuple(level.shape) for level in levels] == expected


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (97, 131)], ids='{0[0]}x{0[1]}'.format)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_is_finite_at_any_size_in_train_and_eval(cls: type, size: tuple) -> None:
    model = build(cls, drop_path_rate=0.2)
    for mode, batch in ((True, 2), (False, 1)):
        levels = model.train(mode)(random_image(batch, 3, *size))
        assert all(level.isfinite().all() for level in levels)


@pytest.mark.parametrize(
    'row',
    [
        pytest.param(row, id=row.name, marks=[] if row in SMALLEST[::2] else [pytest.mark.slow])
        for row in ROWS
    ],
)
def test_every_parameter_of_every_variant_takes_part(row: Variant) -> None:
    names, parameters = zip(*skeleton(row).train().named_parameters())
    loss = sum(level.sum() for level in skeleton(row)(torch.empty(2, 3, 64, 64, device='meta')))
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert [n for n, gradient in zip(names, gradients) if gradient is None] == []


@pytest.mark.parametrize('out_indices', SUBSETS)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_every_parameter_gets_a_gradient(cls: type, out_indices: tuple) -> None:
    model = build(cls, out_indices=out_indices)
    levels = model(random_image(2, 3, 64, 64))
    sum((level * random_image(*level.shape)).sum() for level in levels).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@cache
def full_pyramid(cls: type) -> tuple[nn.Module, torch.Tensor, list[torch.Tensor]]:
    """A model that emits all levels, an image, and the levels."""
    model, x = build(cls).eval(), random_image(1, 3, 64, 96)
    with torch.inference_mode():
        return model, x, model(x)


@pytest.mark.parametrize('out_indices', [(0,), (1,), (2,), (3,), (0, 2), (1, 2, 3)], ids=str)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_out_indices_select_levels(cls: type, out_indices: tuple) -> None:
    full, x, levels = full_pyramid(cls)
    part = cls(NANO[cls], out_indices=out_indices).eval()
    weights = full.state_dict()
    part.load_state_dict({k: weights[k] for k in part.state_dict()})
    with torch.inference_mode():
        for i, level in zip(out_indices, part(x), strict=True):
            assert torch.equal(level, levels[i])
    assert part.channels == tuple(full.channels[i] for i in out_indices)
    assert part.strides == tuple(full.strides[i] for i in out_indices)


@pytest.mark.parametrize('fast', [True, False], ids=['', 'plain'])
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_recomputation_changes_memory_and_not_numbers(cls: type, fast: bool) -> None:
    plain = build(cls, drop_path_rate=0.3).double()
    spared = cls(NANO[cls], drop_path_rate=0.3, with_cp=True, fast=fast).double()
    spared.load_state_dict(plain.state_dict())
    x = random_image(2, 3, 64, 64).double()
    outcomes = []
    for model in (plain, spared):
        torch.manual_seed(2)
        levels = model(x)
        sum(level.square().mean() for level in levels).backward()
        outcomes.append((levels, [p.grad for p in model.parameters()], [*model.buffers()]))
    for ours, theirs in zip(*outcomes):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('frozen', range(5))
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_frozen_stages_stay_frozen_through_a_step(cls: type, frozen: int) -> None:
    model = build(cls, frozen_stages=frozen).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    levels = model(random_image(2, 3, 64, 64))
    loss = sum((level * random_image(*level.shape)).sum() for level in levels)
    if loss.requires_grad:
        loss.backward()
    optimizer.step()
    after = model.state_dict()
    changed = {part_of(k) for k in after if not torch.equal(after[k], before[k])}
    fixed = {'stem', *(f'stages.{i}' for i in range(frozen)), *model.NORM_NAMES[:frozen]}
    assert not changed & fixed
    assert {f'stages.{i}' for i in range(frozen, 4)} <= changed
    assert not any(m.training for part in model.frozen_modules() for m in part.modules())


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_norm_eval_keeps_batch_statistics(cls: type) -> None:
    model = build(cls, norm_eval=True).train()
    before = {k: v.clone() for k, v in model.named_buffers()}
    model(random_image(2, 3, 64, 64))
    assert all(torch.equal(v, before[k]) for k, v in model.named_buffers())
    assert model.training and model.stages[0].blocks[0].training


@pytest.mark.parametrize('row', SMALLEST, ids=variant_id)
def test_drop_path_rises_linearly_over_all_blocks(row: Variant) -> None:
    with torch.device('meta'):
        model = row.cls(row.arch, drop_path_rate=0.4)
    rates = {m.drop_prob for m in model.modules() if type(m).__name__ == 'DropPath'}
    depth = sum(model.arch['depths'])
    assert sorted(rates) == pytest.approx([0.4 * i / (depth - 1) for i in range(depth)])


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_bfloat16_is_finite_at_large_inputs(cls: type) -> None:
    model = build(cls).eval()
    model.init_weights()
    with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16):
        levels = model(1e3 * random_image(1, 3, 64, 96))
    assert all(level.isfinite().all() for level in levels)


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_bfloat16_stays_near_float32(cls: type) -> None:
    model = build(cls).eval()
    model.init_weights()
    x = random_image(1, 3, 64, 96)
    with torch.inference_mode():
        exact = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            rough = model(x)
    for a, b in zip(rough, exact, strict=True):
        assert (a - b).abs().mean() <= 0.05 * b.abs().mean()


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_memory_format_does_not_change_numbers(cls: type) -> None:
    model = build(cls).eval().double()
    x = random_image(1, 3, 64, 96).double()
    with torch.inference_mode():
        plain = model(x)
        model.to(memory_format=torch.channels_last)
        for a, b in zip(model(x.to(memory_format=torch.channels_last)), plain, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('size', [(64, 64), (75, 107)], ids='{0[0]}x{0[1]}'.format)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_every_backend_gives_the_same_numbers(cls: type, size: tuple) -> None:
    model = build(cls).double().eval()
    x = random_image(1, 3, *size).double()
    with torch.inference_mode():
        fast = model(x)
        with plain():
            for a, b in zip(model(x), fast, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_norms_after_convolutions_fold_into_them(cls: type) -> None:
    model = build(cls).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    x = random_image(1, 3, 64, 72).double()
    with torch.no_grad():
        expected = model(x)
        folded = pytest.importorskip('mmcv.cnn').fuse_conv_bn(model)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.stem.modules())
        for a, b in zip(folded(x), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('row', ROWS, ids=variant_id)
def test_modes_return_the_model(row: Variant) -> None:
    model = skeleton(row)
    assert model.eval() is model and not model.training
    assert model.train() is model and model.training


@pytest.mark.skipif(find_spec('mmseg') is None, reason='a test of the core alone')
@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmengine'])
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_builds_from_every_registry(cls: type, scope: str) -> None:
    models = import_module(f'{scope}.registry').MODELS
    with torch.device('meta'):
        model = models.build(dict(type=cls.__name__, arch=NANO[cls]))
    assert type(model) is cls


@pytest.mark.parametrize('row', SMALLEST, ids=variant_id)
def test_own_arch_dict_builds(row: Variant) -> None:
    with torch.device('meta'):
        own = row.cls(dict(row)).state_dict()
    expected = skeleton(row).state_dict()
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in expected.items()}
    with pytest.raises(ValueError, match='required are exactly'):
        row.cls({**row, 'width': 3})


@pytest.mark.parametrize('row', SMALLEST, ids=variant_id)
def test_wrong_arguments_are_errors_that_say_so(row: Variant) -> None:
    cls, arch = row.cls, row.arch
    with torch.device('meta'):
        with pytest.raises(TypeError, match='drop_path_ratio'):
            cls(arch, drop_path_ratio=0.1)
        with pytest.raises(
            ValueError, match=rf"no arch '{arch}x'; allowed: .*did you mean '{arch}'"
        ):
            cls(f'{arch}x')
        with pytest.raises(ValueError, match=r'out_indices is \(0, 4\); allowed'):
            cls(arch, out_indices=(0, 4))
        with pytest.raises(ValueError, match=r'out_indices is \(2, 1\); allowed'):
            cls(arch, out_indices=(2, 1))
        with pytest.raises(ValueError, match='frozen_stages is 5; allowed: -1'):
            cls(arch, frozen_stages=5)
        with pytest.raises(ValueError, match=r'drop_path_rate is 1\.5; allowed'):
            cls(arch, drop_path_rate=1.5)
        model = cls(arch)
        with pytest.raises(ValueError, match=r'image is 31 x 64 pixels; .* at least 32 x 32'):
            model(torch.empty(1, 3, 31, 64))
        with pytest.raises(ValueError, match=r'expects \(B, 3, H, W\)'):
            model(torch.empty(1, 1, 64, 64))
        with pytest.raises(ValueError, match=r'input is of type torch.uint8; .* tensor of floats'):
            model(torch.empty(1, 3, 64, 64, dtype=torch.uint8))
        with pytest.raises(
            ValueError, match=r'input is of type numpy.ndarray; .* tensor of floats'
        ):
            model(np.empty((1, 3, 64, 64), np.float32))
        with pytest.raises(ValueError, match=r'init_cfg is .*allowed: None'):
            cls(arch, init_cfg=dict(type='Xavier')).init_weights()


@pytest.mark.parametrize('pretrained', [False, True])
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_gets_all_values_after_to_empty(cls: type, pretrained: bool, tmp_path: Path) -> None:
    model = cls(NANO[cls])
    model.init_weights()
    torch.save(model.state_dict(), tmp_path / 'own.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'own.pth'))
    with torch.device('meta'):
        late = cls(NANO[cls], init_cfg=init_cfg if pretrained else None)
        late.init_weights()
    assert late.loaded is None
    late.to_empty(device='cpu')
    for value in late.state_dict().values():
        value.fill_(9)
    late.init_weights()
    for name, expected in model.state_dict().items():
        value = late.state_dict()[name]
        if pretrained or expected.unique().numel() == 1:  # not drawn
            assert torch.equal(value, expected), name
        else:
            assert (value != 9).all(), name
