"""What limits a model is reported if it stands out, and not if it is chance."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from test_results import BOX, FAR, boxes

from backbones.report.page import write_page
from backbones.report.scores import Scores
from backbones.report.weaknesses import limits

CLASSES = ['cat', 'dog', 'emu']


def told(samples: list, metrics: dict | None = None, class_ap: dict | None = None) -> list[str]:
    scores = Scores(CLASSES)
    scores.add(samples)
    scores.gather()
    return limits(scores, metrics or {}, class_ap or {})


def right(number: int, label: int) -> list:
    return [boxes(f'{label}_{i}.png', [(BOX, label)], [(BOX, label, 0.9)]) for i in range(number)]


def test_a_frequent_confusion_and_a_rare_class_are_said() -> None:
    taken = [boxes(f'x{i}.png', [(BOX, 0)], [(BOX, 1, 0.5)]) for i in range(4)]
    missed = [boxes(f'y{i}.png', [(BOX, 1)], []) for i in range(3)]
    assert told(right(6, 0) + right(30, 1) + taken + missed) == [
        'Confusion: cat is mistaken for dog, 4 of 10 boxes (40%).',
        'Missed: dog is not found with a score of at least 0.3, 3 of 33 boxes (9%).',
        'Not measured, because these images have no examples: emu.',
        'Labels that may be wrong, 3 in all (no prediction is near, even with a score of 0.05): '
        'y0.png (1), y1.png (1), y2.png (1).',
    ]


def test_two_mistakes_are_chance() -> None:
    taken = [boxes(f'x{i}.png', [(BOX, 0)], [(BOX, 1, 0.5)]) for i in range(2)]
    assert told(right(6, 0) + right(6, 1) + right(6, 2) + taken) == []


def test_small_objects_and_a_class_at_0_are_said() -> None:
    metrics = {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_s': 0.1}
    ap = dict(cat=0.9, dog=0.6, emu=0.0)
    first, second = told(right(9, 0) + right(9, 1) + right(9, 2), metrics, ap)
    assert first.startswith('Small objects: AP 0.100 for those below 32 x 32 pixels, 0.500 for all')
    assert second == 'Never predicted correctly: emu (9 in these images).'
    none = {'coco/bbox_mAP': 0.5, 'coco/bbox_mAP_s': -1}  # no small object
    assert told(right(9, 0) + right(9, 1) + right(9, 2), none) == []


def test_labels_that_look_wrong_are_named_with_their_images() -> None:
    good = right(20, 0) + right(20, 1) + right(20, 2)
    missing = boxes('miss.png', [(BOX, 0)], [(BOX, 0, 0.9), (FAR, 1, 0.95)])
    other = boxes('other.png', [(BOX, 0)], [(BOX, 2, 0.85)])
    assert told([*good, missing, other]) == [
        'Labels that may be missing, 1 in all (no label is near a prediction with a score of at '
        'least 0.8): miss.png (1).',
        'Labels that may name a wrong class, 1 in all (another class is predicted with a score of '
        'at least 0.8): other.png (1).',
    ]
    unsure = boxes('unsure.png', [(BOX, 0)], [(BOX, 0, 0.9), (FAR, 1, 0.5)])
    assert told([*good, unsure]) == []


def test_where_half_the_labels_look_wrong_the_model_is_to_blame() -> None:
    wild = [boxes(f'{i}.png', [(BOX, i % 3)], [(BOX, i % 3, 0.9), (FAR, 0, 0.9)]) for i in range(9)]
    assert told(wild) == []


def label_map(path: str, truth: np.ndarray, found: np.ndarray, certain: float) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(img_path=path))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None])
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(found)[None])
    logits = torch.nn.functional.one_hot(torch.from_numpy(found).long(), 3).permute(2, 0, 1) * 1.0
    sample.seg_logits = PixelData(data=logits * certain)
    return sample


@pytest.mark.parametrize('certain, named', [(9.0, True), (1.0, False)])
def test_pixels_certainly_of_another_class_are_named(certain: float, named: bool) -> None:
    whole = np.arange(400).reshape(20, 20) % 3
    wrong = whole.copy()
    wrong[:4] = (wrong[:4] + 1) % 3
    samples = [label_map(f'{i}.png', whole, whole, certain) for i in range(4)]
    lines = told([*samples, label_map('bad.png', wrong, whole, certain)])
    assert any('bad.png (20%)' in line for line in lines) == named


def test_the_page_begins_with_them(tmp_path: Path) -> None:
    file = write_page(tmp_path, about='', metrics={'mIoU': 0.5}, scores=Scores(CLASSES), meta={},
                      class_ap={}, limits=['Small objects: AP <1.'])  # fmt: skip
    text = file.read_text()
    assert '<li>Small objects: AP &lt;1.</li>' in text
    assert text.index('What limits the model') < text.index('Metrics')
