"""Pictures of results: what is painted, in which colours, and with which text."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import supervision as sv
import torch
from conftest import load_tool
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData
from mmseg.datasets import BaseSegDataset
from mmseg.structures import SegDataSample
from PIL import Image

from backbones.drawing.captions import legend, title
from backbones.drawing.palette import Classes
from backbones.drawing.samples import draw, found_in, predicted, side_by_side
from backbones.errors import UserError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
META = dict(classes=('background', 'Bär', 'tree'), palette=[RED, GREEN, BLUE])
GREY = np.full((480, 640, 3), 128, np.uint8)


def label_maps(truth: Sequence[int], predicted: Sequence[int], size: int = 480) -> SegDataSample:
    """Stripes of the labels, one above the other."""

    def stripes(labels: Sequence[int]) -> PixelData:
        rows = torch.tensor(labels).repeat_interleave(size // len(labels))
        return PixelData(data=rows[None, :, None].expand(1, -1, 640).clone())

    return SegDataSample(gt_sem_seg=stripes(truth), pred_sem_seg=stripes(predicted))


def instances(boxes: list, labels: list, scores: list | None = None) -> InstanceData:
    found = InstanceData(
        bboxes=torch.tensor(boxes).float().view(-1, 4), labels=torch.tensor(labels)
    )
    if scores is not None:
        found.scores = torch.tensor(scores)
    return found


def test_a_label_map_is_blended_without_background_and_ignore() -> None:
    picture = draw(GREY, label_maps([0], [0, 1, 2, 255]), META)
    background, bear, tree, ignored = (picture[y, 320].tolist() for y in (60, 180, 300, 420))
    assert background == ignored == [128, 128, 128]
    assert bear == [64, 192, 64] and tree == [64, 64, 192], 'half image, half colour'
    assert picture[239, 320].tolist() == [0, 255, 0], 'a line around the area'
    assert len(picture) > 480, 'a legend'


@pytest.mark.parametrize('name', ['background', '_background_', 'Unlabeled', '__background__'])
def test_background_is_known_by_its_name_at_any_number(name: str) -> None:
    classes = Classes(dict(classes=('wall', name)))
    assert [classes.shows(c) for c in (0, 1, 2, 255)] == [True, False, False, False]


def test_truth_stands_beside_prediction_in_the_same_colours() -> None:
    picture = side_by_side(GREY, label_maps([1], [1]), META)
    assert picture.shape[1] > 2 * 640
    assert picture[200, 320].tolist() == picture[200, -320].tolist() == [64, 192, 64]
    wide = side_by_side(GREY[:100], label_maps([1], [2], 100), META)
    assert wide.shape[1] == 640, 'one above the other'


def test_instances_below_the_score_are_left_out() -> None:
    boxes = [[10, 10, 200, 200], [300, 300, 500, 450]]
    sample = DetDataSample(pred_instances=instances(boxes, [1, 2], [0.9, 0.4]))
    picture = draw(GREY, sample, META)
    assert picture[100, 10].tolist() == [0, 255, 0], 'the line of the box'
    assert picture[400, 300].tolist() == [128, 128, 128]
    assert draw(GREY, sample, META, score=0.1)[400, 300].tolist() == [0, 0, 255]


def test_a_panoptic_prediction_is_its_segments() -> None:
    panoptic = torch.full((1, 48, 64), 3)  # nothing
    panoptic[:, :10], panoptic[:, 20:, :32], panoptic[:, 20:, 32:] = 0, 1001, 2001
    sample = DetDataSample(pred_panoptic_seg=PixelData(sem_seg=panoptic))
    found = predicted(sample, 0.5, META)
    assert found.class_id.tolist() == [0, 1, 1] and found.mask.sum((1, 2)).tolist() == [
        640,
        896,
        896,
    ]
    assert found.xyxy.tolist() == [[0, 0, 64, 10], [0, 20, 32, 48], [32, 20, 64, 48]]


def test_names_do_not_lie_on_each_other_and_a_crowd_has_none() -> None:
    near = [[100, 100 + 2 * i, 300, 300] for i in range(3)]
    one, three = (
        draw(GREY, DetDataSample(pred_instances=instances(near[:n], [0] * n, [0.9] * n)), META)
        for n in (1, 3)
    )
    filled = [np.all(p[:480] == RED, axis=-1).sum() for p in (one, three)]
    assert filled[1] > 2 * filled[0] - 2000, 'three names cover three times as much'
    many = DetDataSample(pred_instances=instances(near * 100, [0] * 300, [0.9] * 300))
    assert np.all(draw(GREY, many, META)[:480] == RED, axis=-1).sum() < 4000, 'lines only'


def test_thumbnails_are_enlarged_with_boxes_masks_and_label_maps() -> None:
    sample = DetDataSample(gt_instances=instances([[0, 0, 2, 4]], [1]))
    sample.gt_instances.masks = BitmapMasks(np.eye(4, dtype=np.uint8)[None], 4, 4)
    sample.pred_instances = instances([], [], [])
    picture = side_by_side(np.zeros((4, 4, 3), np.uint8), sample, META)
    body = picture[26 : 26 + 288, :288]
    assert np.all(body == np.array([0, 128, 0]), axis=-1)[180:200, 180:200].mean() == 1, 'a mask'
    assert body[240, 144].tolist() == [0, 255, 0], 'the right side of the box'
    assert body[240, 180].tolist() == [0, 0, 0]
    small = label_maps([1], [1, 2], 4)
    assert draw(np.zeros((4, 640, 3), np.uint8), small, META).shape[1] == 640


def test_giants_are_reduced_and_narrow_images_get_paper() -> None:
    assert draw(np.zeros((60, 6000, 3), np.uint8), label_maps([1], [1]), META).shape[1] == 3000
    tall = side_by_side(np.zeros((600, 20, 3), np.uint8), label_maps([1], [1]), META)
    assert tall.shape[1] > 2 * 240 and tall[300, 100].tolist() == [255, 255, 255]


def test_the_truth_may_be_missing_but_not_the_prediction() -> None:
    sample = DetDataSample(pred_instances=instances([], [], []))
    assert side_by_side(GREY, sample, META).shape[1] > 2 * 640
    with pytest.raises(UserError, match='neither pred_instances with boxes nor pred_sem_seg'):
        side_by_side(GREY, DetDataSample(gt_instances=instances([], [])), META)


def test_colours_are_the_datasets_or_as_many_as_there_are_classes() -> None:
    assert Classes(META).colours.by_idx(1).as_rgb() == GREEN
    dataset = BaseSegDataset(metainfo=dict(classes=[*'abcdefghij']), lazy_init=True, pipeline=[])
    lots = dataset.metainfo['palette']
    assert len(lots) == 10
    for palette in (None, 'random', [RED], [RED] * 80, lots):
        colours = Classes(dict(classes=[*'abcdefghij'], palette=palette)).colours
        assert [colours.by_idx(i) for i in range(10)] == sv.ColorPalette.DEFAULT.colors[:10]
    many = Classes(dict(classes=[str(i) for i in range(150)]))
    assert len({many.colours.by_idx(i).as_rgb() for i in range(150)}) == 150
    whole = Classes(dict(classes=META['classes']))
    assert whole.colours.by_idx(1) == sv.ColorPalette.DEFAULT.by_idx(0), 'background takes none'
    assert Classes({}).name(7) == 'class 7'
    assert Classes(META).letters.by_idx(1).as_rgb() == (0, 0, 0), 'black on green'


def test_captions_fit_their_width() -> None:
    assert title('a title that is longer than its strip', 60, 13).shape == (26, 60, 3)
    entries = [(f'class {i}', sv.Color.RED) for i in range(40)]
    assert [legend(entries[:n], 400, 13).shape[0] for n in (0, 1, 40)] == [0, 26, 26 * 7]


def test_the_quickstart_puts_both_tasks_into_one_picture(tmp_path: Path) -> None:
    for task, colour, height in (('detection', RED, 30), ('segmentation', BLUE, 50)):
        for i in range(4):
            path = tmp_path / task / f'pictures/{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (100, height + i), colour).save(path)
    sheet = Image.open(load_tool('quickstart').overview(tmp_path)).convert('RGB')
    assert sheet.width == 2 * 100 + 24 and sheet.height == 26 + 3 * 12 + 50 + 51 + 52
    assert [sheet.getpixel((x, 26 + 5)) for x in (50, 174)] == [RED, BLUE]


def test_what_autocast_found_in_bfloat16_is_read() -> None:
    found = instances([[0, 0, 8, 4]], [1], [0.5])
    found.bboxes, found.scores = found.bboxes.bfloat16(), found.scores.bfloat16()
    read = found_in(DetDataSample(pred_instances=found), 'pred')
    assert read.xyxy.tolist() == [[0, 0, 8, 4]] and read.confidence.tolist() == [0.5]
