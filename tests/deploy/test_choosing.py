"""Selecting boxes and masks for several images at once gives OpenMMLab's selection."""

from importlib import import_module

import numpy as np
import pytest
import torch
from conftest import draw
from torch import Tensor, nn

from backbones.deploy.compare import apart as split
from backbones.deploy.deformable_attention import DeformableAttention
from backbones.deploy.mask_kernels import aligned
from backbones.deploy.queries import MaskQueries, boxes_of
from backbones.deploy.select import NOTHING, Boxes, apart, best, suppress, suppress_in_pytorch


def boxes(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Corners, scores and labels."""
    rng = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=rng) * 60
    corners = torch.cat([low, low + 5 + torch.rand(count, 2, generator=rng) * 30], 1)
    scores = torch.rand(count, generator=rng)
    return corners, scores, torch.randint(0, 3, (count,), generator=rng)


@pytest.mark.parametrize('agnostic', [False, True])
def test_suppression_in_a_batch_is_that_of_each_image(agnostic: bool) -> None:
    batched_nms = import_module('mmcv.ops').batched_nms
    cfg = dict(type='nms', iou_threshold=0.4, class_agnostic=agnostic)
    parts = [boxes(80, seed) for seed in (0, 1)]
    corners, scores, labels = (torch.cat(part) for part in zip(*parts))
    image = torch.arange(2).repeat_interleave(80)
    kept = apart(corners, scores, labels, image, cfg, batch=2, count=30)
    expected = [batched_nms(*part, cfg)[1][:30] + 80 * i for i, part in enumerate(parts)]
    assert kept.tolist() == torch.cat(expected).tolist()
    found = Boxes(corners, scores, labels, image).take(kept)
    assert found.counts(2).tolist() == [len(part) for part in expected]


def test_suppression_is_traced_for_any_number_of_boxes() -> None:
    """The number of boxes above a threshold is known only when the program runs."""

    class Best(nn.Module):
        def forward(self, boxes: Tensor, scores: Tensor) -> Tensor:
            kept = scores > 0.2
            image = torch.zeros_like(scores).long()[kept]
            return suppress(boxes[kept], scores[kept], image, 1, 0.5, 9)

    inputs = boxes(40, 0)[:2]
    program = torch.export.export(Best(), inputs, strict=False)
    ours = {torch.ops.dense_backbones.suppress.default: suppress_in_pytorch}
    run = program.run_decompositions(ours).module()
    for scores in (inputs[1], inputs[1] / 4, inputs[1] / 9):
        assert run(inputs[0], scores).equal(Best()(inputs[0], scores))


def test_suppression_of_nothing_is_nothing() -> None:
    none = torch.zeros(0)
    kept = suppress(torch.zeros(0, 4), none, none.long(), 2, 0.5, 10)
    assert kept.shape == (0,)


def test_the_best_of_too_few_are_filled_up() -> None:
    scores, place, label = best(torch.tensor([[[0.1, 0.9], [0.5, 0.2]]]), 5)
    torch.testing.assert_close(scores, torch.tensor([[0.9, 0.5, 0.2, 0.1, NOTHING]]))
    assert place.tolist()[0][:4] == [0, 1, 1, 0] and label.tolist()[0][:4] == [1, 0, 1, 0]


def test_a_batch_is_split_as_its_counts_say() -> None:
    outputs = dict(scores=np.arange(3.0), counts=np.array([1, 2]), panoptic=np.zeros((2, 4, 5)))
    first, second = split(outputs)
    assert first['scores'].tolist() == [0] and second['scores'].tolist() == [1, 2]
    assert second['panoptic'].shape == (1, 4, 5)


def test_boxes_around_masks_are_those_of_mmdetection() -> None:
    masks = draw(6, 9, 12) > 1
    masks[2] = False
    expected = import_module('mmdet.structures.mask').mask2bbox(masks)
    assert boxes_of(masks).equal(expected)


def test_maps_are_enlarged_as_in_mmdetection() -> None:
    x = draw(2, 3, 4, 5)
    expected = import_module('mmdet.models.utils.misc').aligned_bilinear(x, 4)
    torch.testing.assert_close(aligned(x, 4), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize('sides', [2, 4])
def test_deformable_attention_is_that_of_mmcv(sides: int) -> None:
    kind = import_module('mmcv.ops').MultiScaleDeformableAttention
    layer = kind(embed_dims=16, num_heads=2, num_levels=2, batch_first=True).eval()
    torch.nn.init.normal_(layer.sampling_offsets.weight)
    torch.nn.init.normal_(layer.attention_weights.weight)
    sizes = [(4, 6), (2, 3)]
    settings = dict(
        value=draw(2, 30, 16).float(),
        query_pos=draw(2, 5, 16).float(),
        reference_points=draw(2, 5, 2, sides).float().sigmoid(),
        key_padding_mask=draw(2, 30) > 1,
    )
    query = draw(2, 5, 16).float()
    with torch.no_grad():
        found = DeformableAttention(layer)(query, spatial_shapes=sizes, **settings)
        expected = layer(
            query,
            spatial_shapes=torch.tensor(sizes),
            level_start_index=torch.tensor([0, 24]),
            **settings,
        )
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('filtered', [False, True])
def test_a_panoptic_map_is_that_of_mmdetection(filtered: bool) -> None:
    kind = import_module('mmdet.models.seg_heads.panoptic_fusion_heads').MaskFormerFusionHead
    cfg = dict(object_mask_thr=0.2, iou_thr=0.3, filter_low_score=filtered)
    fusion = kind(num_things_classes=2, num_stuff_classes=2, test_cfg=cfg)
    rng = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 8, 5, generator=rng) * 3
    small = torch.randn(2, 8, 4, 5, generator=rng) * 4
    masks = torch.nn.functional.interpolate(small, (12, 15), mode='bilinear')
    queries = MaskQueries.__new__(MaskQueries)
    torch.nn.Module.__init__(queries)
    queries.model = torch.nn.Module()
    queries.model.panoptic_fusion_head = fusion
    found = queries._panoptic(logits, masks, None)
    for own, image_logits, image_masks in zip(found, logits, masks):
        expected = fusion.panoptic_postprocess(image_logits, image_masks).sem_seg[0]
        assert own.tolist() == expected.tolist() and len(own.unique()) > 1
