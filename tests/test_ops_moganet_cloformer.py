"""The operators of MogaNet and CloFormer, and what these two backbones do differently."""

import pytest
import torch
import torch.nn.functional as F
from conftest import NANO, published_state
from torch import Tensor, nn

from backbones import CloFormer, MogaNet
from backbones.ops import strips
from backbones.ops.channel_aggregation import channel_aggregation
from backbones.ops.clo_attention import context_gate, global_attention
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.gated_aggregation import decompose_context, gated_product
from backbones.ops.multi_order_conv import multi_order_conv
from backbones.ops.pointwise import pointwise, to_fast_layout

SIZES = [(1, 1), (1, 6), (5, 4), (7, 9)]
C, HIDDEN = 8, 12


def draw(*shape: int, dtype: torch.dtype = torch.float64, scale: float = 1) -> Tensor:
    seed = torch.Generator().manual_seed(sum(shape) + len(shape))
    return (scale * torch.randn(*shape, generator=seed, dtype=torch.float64)).to(dtype)


def layer(out: int, width: int, kernel_size: int = 1) -> tuple[Tensor, Tensor]:
    return draw(out, width, kernel_size, kernel_size) / (kernel_size * width**0.5), draw(out)


def leaves(arguments: list) -> list:
    """The same arguments, each tensor a leaf that takes a gradient."""
    if isinstance(arguments, Tensor):
        return arguments.detach().clone().requires_grad_()
    return [leaves(a) for a in arguments]


def flat(arguments: list) -> list[Tensor]:
    return [arguments] if isinstance(arguments, Tensor) else [t for a in arguments for t in flat(a)]


def orders(x: Tensor, weights: list, biases: list, **settings) -> Tensor:
    return multi_order_conv(x, weights, biases, **settings)


ORDERS = [[draw(C, 1, 5, 5), draw(3, 1, 5, 5), draw(4, 1, 7, 7)], [draw(C), draw(3), draw(4)]]
AGGREGATION = [
    layer(HIDDEN, C),
    layer(HIDDEN, 1, 3),
    layer(1, HIDDEN),
    draw(1, HIDDEN, 1, 1),
    layer(C, HIDDEN),
]
MLP = [layer(HIDDEN, C), layer(HIDDEN, 1, 5), layer(6, HIDDEN)]
# operator, its backends, how many maps it takes, its other arguments, its settings
CASES = {
    'pointwise': (pointwise, ['linear'], 1, layer(6, C), {}),
    'depthwise 3x3': (depthwise_conv, ['split'], 1, layer(C, 1, 3), {}),
    'depthwise 5x5': (depthwise_conv, ['split'], 1, layer(C, 1, 5), {}),
    'depthwise 9x9': (depthwise_conv, ['split'], 1, layer(C, 1, 9), {}),
    'depthwise strided': (depthwise_conv, ['split'], 1, layer(C, 1, 5), dict(stride=2)),
    'depthwise dilated': (depthwise_conv, ['split'], 1, layer(C, 1, 5), dict(dilation=2)),
    'depthwise far': (depthwise_conv, ['split'], 1, layer(C, 1, 7), dict(dilation=3)),
    'multi-order': (orders, ['split'], 1, ORDERS, {}),
    'context': (decompose_context, ['folded'], 1, [layer(6, C), draw(1, 6, 1, 1)], {}),
    'product': (gated_product, ['recompute'], 2, [], {}),
    'channels': (channel_aggregation, ['folded', 'strips'], 1, AGGREGATION, {}),
    'mlp': (conv_mlp, ['recompute', 'strips'], 1, MLP, {}),
    'mlp strided': (conv_mlp, ['recompute', 'strips'], 1, MLP, dict(stride=2)),
    'gate': (context_gate, ['folded'], 3, [layer(C, C), layer(C, C)], dict(scale=0.3)),
}
BACKENDS = [(case, backend) for case in CASES for backend in [*CASES[case][1], 'auto']]


@pytest.fixture
def short_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even small maps."""
    monkeypatch.setattr(strips, 'STRIP', 1)
    monkeypatch.setattr(strips, 'WHOLE', 1)


def run(case: str, backend: str, size: tuple[int, int], *, layout: torch.memory_format) -> list:
    """Output and gradients of an operator, and its output without gradients."""
    operator, _, maps, arguments, settings = CASES[case]
    x = [draw(2, C, *size).roll(i, 0).to(memory_format=layout) for i in range(maps)]
    x, arguments = leaves(x), leaves(list(arguments))
    y = operator(*x, *arguments, backend=backend, **settings)
    gradients = torch.autograd.grad(y, [*x, *flat(arguments)], draw(*y.shape))
    with torch.no_grad():
        return [y, operator(*x, *arguments, backend=backend, **settings), *gradients]


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('case, backend', BACKENDS)
def test_equals_the_published_formulation(
    case: str, backend: str, size: tuple, layout: torch.memory_format, short_strips: None
) -> None:
    expected = run(case, 'reference', size, layout=torch.contiguous_format)
    for a, b in zip(run(case, backend, size, layout=layout), expected):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize('case, backend', [(c, b) for c, b in BACKENDS if b != 'auto'])
def test_gradients_are_those_of_the_forward_pass(
    case: str, backend: str, short_strips: None
) -> None:
    operator, _, maps, arguments, settings = CASES[case]
    x, arguments = leaves([draw(1, C, 3, 4) for _ in range(maps)]), leaves(list(arguments))
    tensors = flat(arguments)

    def f(*inputs: Tensor) -> Tensor:
        rest = iter(inputs[maps:])

        def like(argument: list) -> list:
            return next(rest) if isinstance(argument, Tensor) else [like(a) for a in argument]

        return operator(*inputs[:maps], *like(arguments), backend=backend, **settings)

    assert torch.autograd.gradcheck(f, (*x, *tensors), fast_mode=True)


@pytest.mark.parametrize('case', CASES)
def test_unknown_backends_are_errors(case: str) -> None:
    operator, _, maps, arguments, settings = CASES[case]
    with pytest.raises(ValueError, match=r"backend is 'quick'; allowed: auto, reference"):
        operator(*[draw(1, C, 2, 2)] * maps, *arguments, backend='quick', **settings)


@pytest.mark.parametrize('case', CASES)
def test_bfloat16_autocast_is_finite_at_large_inputs(case: str) -> None:
    operator, _, maps, arguments, settings = CASES[case]
    x, arguments = (
        leaves([draw(2, C, 6, 5, dtype=torch.float32, scale=1e3)] * maps),
        [
            nn.ParameterList(p.float() for p in flat(a))
            if isinstance(a, tuple | list)
            else a.float()
            for a in arguments
        ],
    )
    with torch.autocast('cpu', torch.bfloat16):
        y = operator(*x, *arguments, **settings)
    y.sum().backward()
    assert y.isfinite().all()
    assert all(t.grad.isfinite().all() for t in x)


def test_multi_order_conv_is_the_formula() -> None:
    weights, biases = ORDERS
    x = draw(1, C, 9, 11)
    base = F.conv2d(x, weights[0], biases[0], padding=2, groups=8)
    middle = F.conv2d(base[:, 1:4], weights[1], biases[1], padding=4, dilation=2, groups=3)
    wide = F.conv2d(base[:, 4:], weights[2], biases[2], padding=9, dilation=3, groups=4)
    expected = torch.cat([base[:, :1], middle, wide], dim=1)
    torch.testing.assert_close(multi_order_conv(x, weights, biases), expected)


def test_multi_order_conv_needs_multiples_of_eight_channels() -> None:
    with pytest.raises(ValueError, match='12 channels; allowed: multiples of 8'):
        multi_order_conv(draw(1, 12, 4, 4), *ORDERS)


def test_a_depthwise_kernel_is_strided_or_dilated() -> None:
    with pytest.raises(ValueError, match='stride is 2 and dilation 3'):
        depthwise_conv(draw(1, C, 4, 4), *layer(C, 1, 3), stride=2, dilation=3)


def test_global_attention_reads_every_key() -> None:
    q, k, v = draw(2, 6, 3, 5), draw(2, 6, 2, 3), draw(2, 6, 2, 3).flip(2)
    y = global_attention(q, k, v, heads=2)
    head = slice(3, 6)
    logits = torch.einsum('chw,cij->hwij', q[1, head], k[1, head]) / 3**0.5
    weights = logits.flatten(2).softmax(-1).view_as(logits)
    torch.testing.assert_close(y[1, head], torch.einsum('hwij,cij->chw', weights, v[1, head]))


def test_fast_layout_keeps_the_numbers() -> None:
    x = draw(1, 3, 4, 5)
    assert to_fast_layout(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(to_fast_layout(x), x)
    assert to_fast_layout(x, backend='reference') is x


@pytest.mark.parametrize('stride, halo', [(1, 2), (2, 2)])
@pytest.mark.parametrize('height', [1, 7, 16, 17, 24])
def test_strips_cover_every_row_once(
    height: int, stride: int, halo: int, short_strips: None
) -> None:
    x = draw(2, 3, height, 4)
    weight = draw(3, 1, 5, 5)

    def f(x: Tensor) -> Tensor:
        assert x.shape[2] <= 4 * halo + 2 * halo
        return F.conv2d(x, weight, stride=stride, padding=2, groups=3)

    y = strips.by_strips(f, x, width=3, halo=halo, stride=stride)
    torch.testing.assert_close(y, F.conv2d(x, weight, stride=stride, padding=2, groups=3))


def test_moganet_stages_read_the_normalised_level() -> None:
    model = MogaNet(NANO[MogaNet]).eval()
    nn.init.constant_(model.norm1.weight, 3.0)
    levels = model(draw(1, 3, 64, 96, dtype=torch.float32))
    torch.testing.assert_close(model.norm2(model.forward_stage(1, levels[0])), levels[1])


def test_moganet_norms_below_the_emitted_level_take_part_and_freeze() -> None:
    model = MogaNet(NANO[MogaNet], out_indices=(2,), frozen_stages=2)
    assert not any(
        p.requires_grad for n in ('norm1', 'norm2') for p in getattr(model, n).parameters()
    )
    assert all(p.requires_grad for p in model.norm3.parameters())
    assert not hasattr(model, 'norm4')
    assert not model.norm1.training


def test_moganet_starts_as_published() -> None:
    torch.manual_seed(0)
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


def test_cloformer_keeps_the_library_defaults() -> None:
    torch.manual_seed(0)
    model = CloFormer('xxs')
    model.init_weights()
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound, name


def test_moganet_reads_dense_files_and_leaves_the_classifier(tmp_path) -> None:
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


@pytest.mark.parametrize('size', [(8, 8), (12, 8), (15, 23), (17, 9)])
def test_cloformer_keys_ignore_rows_and_columns_that_fill_no_window(size: tuple) -> None:
    attn = CloFormer(NANO[CloFormer]).stages[0].blocks[0].attn.double()
    x = draw(1, 16, *size)
    changed = x.clone()
    changed[:, :, size[0] // 8 * 8 :] += 5
    changed[:, :, :, size[1] // 8 * 8 :] -= 5
    with torch.no_grad():
        before, after = attn(x), attn(changed)
    reach = 3 // 2  # of the local branch
    rows, columns = (n // 8 * 8 - reach if n % 8 else n for n in size)
    torch.testing.assert_close(after[:, :, :rows, :columns], before[:, :, :rows, :columns])
    if any(n % 8 for n in size):
        assert not torch.allclose(after, before)


def test_cloformer_levels_lie_before_the_strided_half() -> None:
    model = CloFormer(NANO[CloFormer], out_indices=(0,))
    names = [name for name, _ in model.named_parameters()]
    assert not any('downsample' in n or 'mlp' in n for n in names)  # depth 1: attention only
    full = CloFormer(NANO[CloFormer]).eval()
    nn.init.constant_(full.norm0.weight, 3.0)  # the next stage reads the un-normalised map
    x = draw(1, 3, 64, 64, dtype=torch.float32)
    before = full(x)
    nn.init.constant_(full.norm0.weight, 1.0)
    assert torch.equal(full(x)[1], before[1])
