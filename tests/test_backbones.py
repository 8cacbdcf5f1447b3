"""The contract of `Pyramid`, for every variant of every backbone."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import HERE, NANO, SMALLEST, VARIANTS, published_state, variant_id
from mmcv.cnn import fuse_conv_bn
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from weights import image, summary

from backbones import BACKBONES, CSWin
from backbones.ops import default_backend

# published dense parameter counts and MACs at 224x224, from the specifications in Gi = 1e9
COUNTS = {
    'DilateFormer': {
        'tiny': (16_662_752, 3.1613),
        'small': (23_481_512, 4.5905),
        'base': (46_664_720, 9.9236),
    },
    'CSWin': {
        'tiny': (21_808_448, 4.324),
        'small': (34_131_200, 6.800),
        'base': (76_614_528, 14.955),
        'large': (172_111_680, 33.129),
        'base_384': (76_614_528, None),
        'large_384': (172_111_680, None),
    },
    'VOLO': {
        'd1': (23_645_400, 6.955),
        'd2': (53_713_776, 14.404),
        'd3': (81_360_512, 20.831),
        'd4': (182_566_560, 44.562),
        'd5': (282_699_792, 72.598),
    },
    'MogaNet': {
        'xtiny': (2_763_066, 0.7819),
        'tiny': (4_940_332, 1.0830),
        'small': (24_822_675, 4.9308),
        'base': (43_207_475, 9.8604),
        'large': (81_839_978, 15.819),
        'xlarge': (180_030_924, 34.394),
    },
    'CloFormer': {
        'xxs': (3_910_176, 0.6602),
        'xs': (6_819_824, 1.2188),
        's': (11_897_408, 2.1694),
    },
}
GOLDENS = sorted(p.stem for p in (HERE / 'golden').glob('*.npz') if 'outlook' not in p.stem)
SUBSETS = [s for n in (1, 2, 3) for s in itertools.combinations(range(4), n)]


def golden_case(stem: str) -> tuple[type, str, int, int]:
    name, arch, height, width = re.fullmatch(r'([a-z]+)_(\w+)_(\d+)x(\d+)', stem).groups()
    return next(c for c in BACKBONES if c.__name__.lower() == name), arch, int(height), int(width)


def build(cls: type, **settings) -> nn.Module:
    torch.manual_seed(0)
    return cls(NANO[cls], **settings)


def part_of(key: str) -> str:
    """'stages.2' of 'stages.2.blocks...', 'stem' of 'stem...'."""
    return re.match(r'stages\.\d|\w+', key)[0]


def random_image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def sizes(cls: type, height: int, width: int) -> list[tuple[int, int]]:
    """Published level sizes: halves that round up, of the stem's map."""
    h, w = ((n + 1) // 4 if cls is CSWin else -(-n // 4) for n in (height, width))
    return [(-(-h // s), -(-w // s)) for s in (1, 2, 4, 8)]


@pytest.mark.parametrize('stem', GOLDENS)
def test_equals_the_published_code(stem: str, tmp_path: Path) -> None:
    cls, arch, height, width = golden_case(stem)
    keys = f'{cls.__name__.lower()}_{arch.removesuffix("_384")}'
    file = tmp_path / 'published.pth'
    torch.save({'model': published_state(keys)}, file)
    model = cls(arch, init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    model.init_weights()
    file.unlink()
    model.eval()
    golden = np.load(HERE / 'golden' / f'{stem}.npz')
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


@pytest.mark.parametrize('cls, arch', VARIANTS, ids=variant_id)
def test_has_the_published_parameters_and_macs(cls: type, arch: str) -> None:
    parameters, gmacs = COUNTS[cls.__name__][arch]
    with torch.device('meta'):
        model = cls(arch).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 224, 224))
    assert sum(p.numel() for p in model.parameters()) == parameters
    if gmacs is not None:
        assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, rel=0.01)


@pytest.mark.parametrize('size', [(64, 64), (96, 160), (97, 131)], ids='{0[0]}x{0[1]}'.format)
@pytest.mark.parametrize('cls, arch', VARIANTS, ids=variant_id)
def test_emits_a_stride_4_to_32_pyramid(cls: type, arch: str, size: tuple[int, int]) -> None:
    with torch.device('meta'):
        model = cls(arch).eval()
        levels = model(torch.empty(2, 3, *size))
    assert model.strides == (4, 8, 16, 32)
    expected = [(2, c, *hw) for c, hw in zip(model.channels, sizes(cls, *size))]
    assert [tuple(level.shape) for level in levels] == expected


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (97, 131)], ids='{0[0]}x{0[1]}'.format)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_is_finite_at_any_size_in_train_and_eval(cls: type, size: tuple) -> None:
    model = build(cls, drop_path_rate=0.2)
    for mode, batch in ((True, 2), (False, 1)):
        levels = model.train(mode)(random_image(batch, 3, *size))
        assert all(level.isfinite().all() for level in levels)


@pytest.mark.parametrize('cls, arch', VARIANTS, ids=variant_id)
def test_every_parameter_of_every_variant_takes_part(cls: type, arch: str) -> None:
    with torch.device('meta'):
        model = cls(arch)
        sum(level.sum() for level in model(torch.empty(2, 3, 64, 64))).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize('out_indices', [*SUBSETS, (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_every_parameter_gets_a_gradient(cls: type, out_indices: tuple) -> None:
    model = build(cls, out_indices=out_indices)
    levels = model(random_image(2, 3, 64, 64))
    sum((level * random_image(*level.shape)).sum() for level in levels).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize('out_indices', SUBSETS, ids=str)
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_out_indices_select_levels(cls: type, out_indices: tuple) -> None:
    full = build(cls).eval()
    part = cls(NANO[cls], out_indices=out_indices).eval()
    part.load_state_dict({k: v for k, v in full.state_dict().items() if k in part.state_dict()})
    x = random_image(1, 3, 64, 96)
    with torch.inference_mode():
        levels = full(x)
        for i, level in zip(out_indices, part(x), strict=True):
            assert torch.equal(level, levels[i])
    assert part.channels == tuple(full.channels[i] for i in out_indices)
    assert part.strides == tuple(full.strides[i] for i in out_indices)


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_recomputation_changes_memory_and_not_numbers(cls: type) -> None:
    plain = build(cls, drop_path_rate=0.3).double()
    spared = cls(NANO[cls], drop_path_rate=0.3, with_cp=True).double()
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


@pytest.mark.parametrize('cls, arch', VARIANTS, ids=variant_id)
def test_drop_path_rises_linearly_over_all_blocks(cls: type, arch: str) -> None:
    with torch.device('meta'):
        model = cls(arch, drop_path_rate=0.4)
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
        with default_backend('reference'):
            for a, b in zip(model(x), fast, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_compiles_without_a_graph_break(cls: type) -> None:
    model = build(cls).eval()
    x = random_image(1, 3, 64, 96)
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    with torch.no_grad():
        for a, b in zip(compiled(x), model(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_inductor_gives_the_same_numbers(cls: type) -> None:
    model = build(cls).eval()
    compiled = torch.compile(model, fullgraph=True)
    for size in ((64, 96), (96, 64)):
        x = random_image(1, 3, *size)
        with torch.no_grad():
            for a, b in zip(compiled(x), model(x), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


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
        folded = fuse_conv_bn(model)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.stem.modules())
        for a, b in zip(folded(x), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('cls, arch', VARIANTS, ids=variant_id)
def test_modes_return_the_model(cls: type, arch: str) -> None:
    with torch.device('meta'):
        model = cls(arch)
    assert model.eval() is model
    assert model.train() is model


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmengine'])
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_builds_from_every_registry(cls: type, scope: str) -> None:
    models = pytest.importorskip(f'{scope}.registry').MODELS
    with torch.device('meta'):
        model = models.build(dict(type=cls.__name__, arch=next(iter(cls.ARCHS))))
    assert type(model) is cls


@pytest.mark.parametrize('cls, arch', SMALLEST, ids=variant_id)
def test_own_arch_dict_builds(cls: type, arch: str) -> None:
    with torch.device('meta'):
        assert cls(dict(cls.ARCHS[arch])).channels == cls(arch).channels
    with pytest.raises(ValueError, match='needs exactly'):
        cls({**cls.ARCHS[arch], 'width': 3})


@pytest.mark.parametrize('cls, arch', SMALLEST, ids=variant_id)
def test_wrong_arguments_are_errors_that_say_so(cls: type, arch: str) -> None:
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
        with pytest.raises(ValueError, match=r'takes \(B, 3, H, W\)'):
            model(torch.empty(1, 1, 64, 64))
        with pytest.raises(ValueError, match=r'init_cfg is .*allowed: None'):
            cls(arch, init_cfg=dict(type='Xavier')).init_weights()
