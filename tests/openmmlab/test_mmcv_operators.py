"""Stand-ins for mmcv's operators, called through mmcv, equal the slowest formulation."""

import backbones  # before mmcv.ops, which cannot be imported without it

# isort: split
import functools
import math
from collections.abc import Callable

import pytest
import torch
from conftest import draw
from mmcv.ops import (
    CARAFE,
    DeformConv2dPack,
    MaskedConv2d,
    ModulatedDeformConv2dPack,
    PSAMask,
    bbox_overlaps,
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    nms_match,
    roi_pool,
    soft_nms,
)
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

from backbones.openmmlab.mmcv_ops.mask_driven import carafe

assert backbones.BACKBONES
DEVICES = ('cpu', 'cuda') if torch.cuda.is_available() else ('cpu',)
on_devices = pytest.mark.parametrize('device', DEVICES)


@pytest.fixture(params=['a direction', pytest.param('each entry', marks=pytest.mark.slow)])
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., bool]:
    """PyTorch's check, along a random direction or entry by entry."""
    fast = request.param == 'a direction'
    return functools.partial(torch.autograd.gradcheck, fast_mode=fast)


def sample(x: Tensor, y: Tensor, column: Tensor) -> Tensor:
    """The (C,) value of a (C, H, W) map between its cells; the map is 0 outside."""
    value = x.new_zeros(len(x))
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(column), math.floor(column) + 1):
            if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]:
                value = value + x[:, i, j] * (1 - (y - i).abs()) * (1 - (column - j).abs())
    return value


def slow_deform_conv(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor, groups: int, parts: int
) -> Tensor:
    """Stride 2 down, 1 across, padding 1 and 2, dilation 1 and 2; one sample after the other."""
    B, C, H, W = x.shape
    out, _, kh, kw = weight.shape
    rows, columns = offset.shape[2:]
    samples = x.new_zeros(B, C, kh, kw, rows, columns)
    for b, part, i, j, r, c in torch.cartesian_prod(
        *map(torch.arange, (B, parts, kh, kw, rows, columns))
    ).tolist():
        tap = (part * kh + i) * kw + j
        y = 2 * r - 1 + i + offset[b, 2 * tap, r, c]
        column = c - 2 + 2 * j + offset[b, 2 * tap + 1, r, c]
        channels = slice(part * C // parts, (part + 1) * C // parts)
        samples[b, channels, i, j, r, c] = sample(x[b, channels], y, column) * mask[b, tap, r, c]
    samples = samples.view(B, groups, C // groups, kh, kw, rows, columns)
    weight = weight.view(groups, out // groups, C // groups, kh, kw)
    y = torch.einsum('bgcijrs,gocij->bgors', samples, weight)
    return y.reshape(B, out, rows, columns) + bias[:, None, None]


@pytest.fixture
def deformed() -> dict[str, Tensor]:
    """A map of 5 x 4 cells, four channels in two groups, offsets up to some cells beyond it."""
    return dict(
        input=draw(2, 4, 5, 4),
        offset=2 * draw(2, 2 * 2 * 9, 3, 4),
        mask=draw(2, 2 * 9, 3, 4).sigmoid(),
        weight=draw(6, 2, 3, 3),
        bias=draw(6),
    )


GEOMETRY = ((2, 1), (1, 2), (1, 2), 2, 2)  # stride, padding, dilation, groups, deform_groups


@on_devices
@pytest.mark.parametrize('mask', (False, True))
@pytest.mark.parametrize('bias', (False, True))
def test_deformable_convolution_multiplies_shifted_samples(mask, bias, deformed, device):
    if not mask:
        deformed['mask'] = torch.ones_like(deformed['mask'])
    if not bias:
        deformed['bias'] = torch.zeros_like(deformed['bias'])
    expected = slow_deform_conv(*deformed.values(), groups=2, parts=2)
    x, offset, m, weight, b = (t.to(device) for t in deformed.values())
    if mask or bias:
        y = modulated_deform_conv2d(x, offset, m, weight, b if bias else None, *GEOMETRY)
    else:
        y = deform_conv2d(x, offset, weight, *GEOMETRY)
    torch.testing.assert_close(y.cpu(), expected, rtol=0, atol=1e-12)


@on_devices
@pytest.mark.parametrize('modulated', (False, True))
def test_deformable_convolution_has_exact_gradients(modulated, deformed, device, gradcheck):
    inputs = {name: t.to(device).requires_grad_() for name, t in deformed.items()}
    if modulated:
        assert gradcheck(lambda *t: modulated_deform_conv2d(*t, *GEOMETRY), tuple(inputs.values()))
    else:
        names = ('input', 'offset', 'weight')
        assert gradcheck(lambda *t: deform_conv2d(*t, *GEOMETRY), tuple(inputs[n] for n in names))


def border_grads(pack: type) -> tuple[Tensor, Tensor]:
    """Gradients of the layer that computes the offsets, all 0 at first: mmcv's example."""
    layer = pack(1, 1, kernel_size=(2, 2), stride=1, padding=1, deform_groups=1, bias=False)
    layer.weight.data.fill_(1)
    layer.conv_offset.weight.data.zero_()
    x = torch.tensor([[[[1.0, 2, 3]] * 3]])
    layer(x).sum().backward()
    return layer.conv_offset.weight.grad, layer.conv_offset.bias.grad


def test_offsets_of_zero_have_mmcvs_gradients_at_the_border():
    """The numbers are those of mmcv's test of this operator."""
    weight, bias = border_grads(ModulatedDeformConv2dPack)
    expected = [
        [-7, -4, 0, 0], [-9, 7.5, -6, 5], [-4, -7, 0, 0], [-7.5, -9, -5, -6],
        [-7, -4, -7, -4], [-6, 5, -9, 7.5], [-4, -7, -4, -7], [-5, -6, -7.5, -9],
        [10.5, 6, 7, 4], [6, 10.5, 4, 7], [7, 4, 10.5, 6], [4, 7, 6, 10.5],
    ]  # fmt: skip
    assert weight.flatten(1).tolist() == expected
    assert bias.tolist() == [-3, -1.5] * 4 + [4.5] * 4
    plain, _ = border_grads(DeformConv2dPack)  # without masks of one half
    assert plain.flatten(1).tolist() == [[2 * x for x in row] for row in expected[:8]]


@pytest.mark.parametrize('shift', (-1, 0, 1))
def test_a_sample_one_cell_before_the_map_has_no_gradient(shift):
    """With a stride, a dilation, two groups and a map that is not square."""
    x, weight = draw(2, 4, 7, 5), draw(4, 2, 3, 2)
    shape = 2, 2, 3, 2, 2, 5, 5  # batch, groups, taps, y and x, map
    offset = torch.full((2, 24, 5, 5), float(shift), dtype=x.dtype, requires_grad=True)
    y = deform_conv2d(x, offset, weight, (2, 1), (2, 1), (1, 2), 2, 2)
    (grad,) = torch.autograd.grad(y, offset, torch.ones_like(y))
    rows = 2 * torch.arange(5) - 2 + torch.arange(3)[:, None] + shift  # (taps, map)
    columns = torch.arange(5) - 1 + 2 * torch.arange(2)[:, None] + shift
    ok = [(rows > -1) & (rows < 7), (columns > -1) & (columns < 5)]
    inside = ok[0][:, None, :, None] & ok[1][None, :, None]  # (3, 2, 5, 5)
    grad = grad.view(shape).abs().amax((0, 1, 4))
    assert torch.equal(grad > 0, inside) and not inside.all()


def test_offsets_of_a_larger_map_are_read_channel_by_channel(deformed, gradcheck):
    """As DyHead passes them; tests/compiled compares it with mmcv's kernel."""
    x, _, _, weight, bias = deformed.values()
    offset, mask = draw(2, 36, 6, 5), draw(2, 18, 6, 5)
    head = [t.flatten(1)[:, : t.shape[1] * 12].view(2, -1, 3, 4) for t in (offset, mask)]
    expected = modulated_deform_conv2d(x, *head, weight, bias, *GEOMETRY)
    for layout in (torch.contiguous_format, torch.channels_last):
        offset = offset.contiguous(memory_format=layout)
        y = modulated_deform_conv2d(x, offset, mask, weight, bias, *GEOMETRY)
        assert torch.equal(y, expected)
    assert gradcheck(
        lambda *t: modulated_deform_conv2d(x[:1], *t, weight, bias, *GEOMETRY),
        (offset[:1].requires_grad_(), mask[:1].requires_grad_()),
    )


def slow_deformable_attention(
    value: Tensor, shapes: list[tuple[int, int]], places: Tensor, weights: Tensor
) -> Tensor:
    """The definition, one sample after the other. See `ms_deform_attn_forward`."""
    B, queries, heads, levels, points, _ = places.shape
    out = value.new_zeros(B, queries, heads, value.shape[3])
    maps = value.split([h * w for h, w in shapes], dim=1)
    for b, q, head, level, p in torch.cartesian_prod(
        *map(torch.arange, (B, queries, heads, levels, points))
    ).tolist():
        h, w = shapes[level]
        x, y = places[b, q, head, level, p]
        cells = maps[level][b, :, head].T.view(-1, h, w)
        found = sample(cells, y * h - 0.5, x * w - 0.5)
        out[b, q, head] += weights[b, q, head, level, p] * found
    return out.flatten(2)


@pytest.fixture
def attended() -> tuple[list[tuple[int, int]], Tensor, Tensor, Tensor]:
    """Two maps; some places lie outside."""
    return (
        [(3, 4), (2, 1)],
        draw(2, 14, 3, 5),
        0.5 + 0.4 * draw(2, 3, 3, 2, 4, 2),
        draw(2, 3, 3, 2, 4),
    )


def attend(shapes: list[tuple[int, int]], *tensors: Tensor) -> Tensor:
    """mmcv's function for CUDA, which calls the operator; on CPU it would not."""
    sizes = torch.tensor(shapes, device=tensors[0].device)
    starts = torch.zeros(len(shapes), dtype=torch.long, device=tensors[0].device)
    value, places, weights = tensors
    return MultiScaleDeformableAttnFunction.apply(value, sizes, starts, places, weights, 64)


@on_devices
def test_deformable_attention_sums_weighted_samples(attended, device):
    shapes, *tensors = attended
    expected = slow_deformable_attention(tensors[0], shapes, *tensors[1:])
    out = attend(shapes, *(t.to(device) for t in tensors)).cpu()
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


@on_devices
def test_deformable_attention_has_exact_gradients(attended, device, gradcheck):
    shapes, *tensors = attended
    assert gradcheck(
        lambda *t: attend(shapes, *t),
        tuple(t.to(device).requires_grad_() for t in tensors),
        nondet_tol=1e-12,
    )


@on_devices
def test_deformable_attention_computes_half_precision_in_float32(attended, device):
    shapes, *tensors = attended
    half = [t.to(device).half().requires_grad_() for t in tensors]
    single = [t.detach().float().requires_grad_() for t in half]
    outs = [attend(shapes, *t) for t in (half, single)]
    for out in outs:
        out.float().square().sum().backward()
    assert outs[0].dtype == torch.half
    for a, b in zip((outs[0], *(t.grad for t in half)), (outs[1], *(t.grad for t in single))):
        torch.testing.assert_close(a.float(), b, rtol=5e-3, atol=5e-3)


def make_boxes(count: int) -> tuple[Tensor, Tensor]:
    """Boxes of whole pixels, and scores that differ."""
    seed = torch.Generator().manual_seed(count)
    corners = torch.randint(0, 12, (count, 2), generator=seed)
    sizes = torch.randint(1, 11, (count, 2), generator=seed)
    scores = (1 + torch.randperm(count, generator=seed)) / count
    return torch.cat([corners, corners + sizes], 1).float(), scores


def iou(a: Tensor, b: Tensor, offset: int) -> float:
    """Pixels of both over pixels of either."""
    width, height = (max(min(a[2 + i], b[2 + i]) - max(a[i], b[i]) + offset, 0) for i in range(2))
    both = width * height
    areas = [(x[2] - x[0] + offset) * (x[3] - x[1] + offset) for x in (a, b)]
    return float(both / (sum(areas) - both))


@pytest.mark.parametrize('offset', (0, 1))
def test_nms_and_soft_nms_with_the_hard_method_keep_the_same_boxes(offset):
    boxes, scores = make_boxes(60)
    expected: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i], boxes[j], offset) <= 0.29 for j in expected):
            expected.append(i)
    assert 5 < len(expected) < 55
    assert nms(boxes, scores, 0.29, offset)[1].tolist() == expected
    dets, kept = soft_nms(boxes, scores, 0.29, min_score=1e-3, method='naive', offset=offset)
    assert kept.tolist() == expected
    assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[expected])


@pytest.mark.parametrize('offset', (0, 1))
@pytest.mark.parametrize('method', ('linear', 'gaussian'))
def test_soft_nms_lowers_scores_by_overlap(method, offset):
    boxes, scores = make_boxes(40)
    left, expected = dict(enumerate(scores.tolist())), []
    while left:
        best = max(left, key=left.get)
        expected.append((best, left.pop(best)))
        for i in left:
            overlap = iou(boxes[best], boxes[i], offset)
            lowered = 1 - overlap if overlap >= 0.3 else 1
            left[i] *= lowered if method == 'linear' else math.exp(-(overlap**2) / 0.5)
        left = {i: score for i, score in left.items() if score >= 0.05}
    dets, kept = soft_nms(boxes, scores, 0.3, 0.5, 0.05, method, offset)
    assert 5 < len(expected) < 40
    assert kept.tolist() == [i for i, _ in expected]
    assert torch.equal(dets[:, :4], boxes[kept])
    assert dets[:, 4].tolist() == pytest.approx([score for _, score in expected], rel=1e-5)


def test_soft_nms_of_nothing_is_nothing():
    dets, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5) and kept.shape == (0,)


def test_nms_match_groups_boxes_under_the_best():
    boxes, scores = make_boxes(40)
    expected: list[list[int]] = []
    for i in scores.argsort(descending=True).tolist():
        near = (g for g in expected if iou(boxes[g[0]], boxes[i], 0) >= 0.31)
        if group := next(near, None):
            group.append(i)
        else:
            expected.append([i])
    groups = nms_match(torch.cat([boxes, scores[:, None]], 1), 0.31)
    assert 1 < len(expected) < 40
    assert [g.tolist() for g in groups] == expected


@pytest.mark.parametrize('offset', (0, 1))
def test_overlaps_are_intersection_over_union_or_first(offset):
    (a, _), (b, _) = make_boxes(6), make_boxes(7)
    expected = torch.tensor([[iou(x, y, offset) for y in b] for x in a])
    assert 0 < expected.mean() < 1
    torch.testing.assert_close(bbox_overlaps(a, b, 'iou', False, offset), expected)
    torch.testing.assert_close(bbox_overlaps(a, b[:6], 'iou', True, offset), expected.diag())
    inner = torch.tensor([[2.0, 2, 3, 3]])
    whole = torch.tensor([[0.0, 0, 9, 9]])
    assert bbox_overlaps(inner, whole, 'iof', False, offset).item() == 1


def slow_roi_pool(x: Tensor, rois: Tensor, size: tuple[int, int], scale: float) -> Tensor:
    """The largest of the cells that a part of a region touches; 0 if it touches none."""
    out = x.new_zeros(len(rois), x.shape[1], *size)
    for n, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        ends = [
            torch.linspace(float(low) * scale, float(high + 1) * scale, count + 1).tolist()
            for low, high, count in ((y1, y2, size[0]), (x1, x2, size[1]))
        ]
        for i in range(size[0]):
            for j in range(size[1]):
                cells = [
                    x[int(image), :, r, c]
                    for r in range(x.shape[2])
                    for c in range(x.shape[3])
                    if ends[0][i] < r + 1
                    and r < ends[0][i + 1]
                    and ends[1][j] < c + 1
                    and c < ends[1][j + 1]
                ]
                if cells:
                    out[n, :, i, j] = torch.stack(cells).amax(0)
    return out


ROIS = [[0, 5, 3, 30, 22], [1, -9, 10, 17, 41], [1, 12, 12, 13, 14], [0, 60, 60, 70, 70]]


@on_devices
def test_roi_pool_takes_the_largest_cell_and_sends_its_gradient_there(device, gradcheck):
    x, rois = draw(2, 3, 8, 10), torch.tensor(ROIS).double()
    expected = slow_roi_pool(x, rois, (2, 4), 0.25)
    assert (expected[[0, 2]] != 0).all() and (expected[3] == 0).all()
    x, rois = x.to(device).requires_grad_(), rois.to(device)
    assert torch.equal(roi_pool(x, rois, (2, 4), 0.25).cpu(), expected)
    assert gradcheck(lambda x: roi_pool(x, rois, (2, 4), 0.25), x)


def slow_carafe(x: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    """The definition, one cell after the other."""
    B, C, H, W = x.shape
    out = x.new_zeros(B, C, H * scale, W * scale)
    for c, r, s, i, j in torch.cartesian_prod(
        *map(torch.arange, (C, H * scale, W * scale, kernel, kernel))
    ).tolist():
        y, column = r // scale + i - kernel // 2, s // scale + j - kernel // 2
        if 0 <= y < H and 0 <= column < W:
            tap = (c // (C // groups) * kernel + i) * kernel + j
            out[:, c, r, s] += x[:, c, y, column] * masks[:, tap, r, s]
    return out


def test_carafe_sums_weighted_neighbours(gradcheck):
    x, masks = draw(2, 4, 3, 5), draw(2, 2 * 9, 6, 10)
    expected = slow_carafe(x, masks, 3, 2, 2)
    torch.testing.assert_close(CARAFE(3, 2, 2)(x, masks), expected, rtol=0, atol=1e-12)
    sizes = dict(kernel_size=3, group_size=2, scale_factor=2)
    assert gradcheck(
        lambda *t: carafe(*t, **sizes), (x[:1].requires_grad_(), masks[:1].requires_grad_())
    )


def test_carafe_in_training_on_a_cpu_is_refused_in_plain_words():
    with pytest.raises(ImportError, match='mmcv trains CARAFE on a GPU only'):
        CARAFE(3, 1, 2)(draw(1, 2, 3, 3).requires_grad_(), draw(1, 9, 6, 6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='mmcv trains it on a GPU only')
def test_carafe_has_exact_gradients_through_mmcv(gradcheck):
    x, masks = draw(1, 4, 3, 5).cuda().requires_grad_(), draw(1, 18, 6, 10).cuda().requires_grad_()
    assert gradcheck(CARAFE(3, 2, 2), (x, masks))


@on_devices
def test_masked_convolution_is_a_convolution_where_the_mask_is(device):
    layer = MaskedConv2d(4, 6, (3, 1), padding=(1, 0)).double().eval().to(device)
    x, mask = draw(1, 4, 5, 7).to(device), (draw(1, 5, 7) > 0).to(device)
    y = layer(x, mask.double())
    torch.testing.assert_close(y, layer(x) * mask, rtol=0, atol=1e-12)


def slow_psa_mask(x: Tensor, kind: str, size: tuple[int, int]) -> Tensor:
    """The definition, one value after the other."""
    B, _, H, W = x.shape
    out = x.new_zeros(B, H, W, H, W)
    for h, w, i, j in torch.cartesian_prod(*map(torch.arange, (H, W, *size))).tolist():
        y, column = h + i - (size[0] - 1) // 2, w + j - (size[1] - 1) // 2
        if 0 <= y < H and 0 <= column < W:
            place = (y, column, h, w) if kind == 'collect' else (h, w, y, column)
            out[(slice(None), *place)] = x[:, i * size[1] + j, h, w]
    return out.view(B, H * W, H, W)


@on_devices
@pytest.mark.parametrize('kind', ('collect', 'distribute'))
def test_psa_mask_spreads_each_mask_around_its_cell(kind, device, gradcheck):
    x, layer = draw(2, 15, 4, 3), PSAMask(kind, (5, 3))
    expected = slow_psa_mask(x, kind, (5, 3))
    x = x.to(device).requires_grad_()
    assert torch.equal(layer(x).cpu(), expected)
    assert gradcheck(layer, x)
