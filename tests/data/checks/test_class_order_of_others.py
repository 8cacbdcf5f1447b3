"""Datasets and metrics that number classes in their own way are right, or refused."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from mmdet.registry import DATASETS, METRICS
from mmengine.dataset import BaseDataset
from PIL import Image
from test_class_order import IDS, LISTED, NAMES, score, write_file

from backbones.data.checks.class_order import check_class_order
from backbones.data.faults.faults import Faults

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
LVIS = ['LVISV05Dataset', 'LVISV1Dataset']
OTHERS = ['CocoPanopticDataset', 'Objects365V1Dataset', 'Objects365V2Dataset', 'CityscapesDataset',
          'iSAIDDataset', 'DeepFashionDataset', *LVIS]  # fmt: skip
SIDE, STUFF = 64, 'yak'


def of_kind(kind: str, file: Path) -> Path:
    """Convert to the form that a dataset reads: segments for panoptic ones, URLs for LVIS."""
    content = json.loads(file.read_text())
    content['images'] = [dict(i, coco_url=i['file_name']) for i in content['images']]
    if kind.startswith('CocoPanoptic'):
        for category in content['categories']:
            category['isthing'] = int(category['name'] != STUFF)
        content['annotations'] = [
            dict(image_id=a['image_id'], file_name=f'{a["image_id"]}.png', segments_info=[a])
            for a in content['annotations']
        ]
    file.write_text(json.dumps(content))
    return file


def refused(kind: object, file: Path, classes: Sequence[str]) -> bool:
    faults = Faults()
    check_class_order(kind, file, classes, 'here', faults)
    assert {fault.kind for fault in faults.errors} <= {'class-order'}
    return bool(faults.errors)


def build(kind: str, file: Path, classes: Sequence[str]) -> BaseDataset:
    settings = dict(metainfo=dict(classes=classes), data_prefix=dict(img='', img_path=''))
    return DATASETS.build(
        dict(settings, type=f'mmdet.{kind}', ann_file=str(file), pipeline=[], test_mode=True)
    )


def names_given(dataset: BaseDataset) -> list[str]:
    """Return the class of each image's single instance or segment; images are named as in NAMES."""
    names = []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        segments = [segment['category'] for segment in info.get('segments_info', ())]
        (label,) = segments or [instance['bbox_label'] for instance in info['instances']]
        names.append(dataset.metainfo['classes'][label])
    return names


@pytest.mark.parametrize('kind', OTHERS)
@FEW
@given(classes=LISTED, listed=LISTED, ids=IDS)
@example(classes=NAMES, listed=NAMES, ids=[1, 2, 3, 4])
@example(classes=NAMES, listed=NAMES[::-1], ids=[4, 3, 2, 1])
@example(classes=NAMES, listed=NAMES, ids=[4, 3, 2, 1])
def test_a_dataset_is_right_or_refused(kind: str, classes, listed, ids, tmp_path: Path) -> None:
    if kind in LVIS:
        pytest.importorskip('lvis')
    file = of_kind(kind, write_file(tmp_path / 'a.json', listed, ids))
    dataset = build(kind, file, tuple(classes))
    right = names_given(dataset) == [*NAMES]
    assert refused(kind, file, classes) != right


@pytest.mark.parametrize('kind', LVIS)
def test_a_dataset_that_takes_all_categories_is_refused_for_some(kind: str, tmp_path: Path) -> None:
    pytest.importorskip('lvis')
    file = of_kind(kind, write_file(tmp_path / 'a.json', list(NAMES), [1, 2, 3, 4]))
    assert refused(kind, file, NAMES[1:]) and not refused(kind, file, NAMES[:2])


@pytest.mark.parametrize('kind', ['CocoPanopticMetric', 'LVISFixedAPMetric'])
@pytest.mark.parametrize(
    'classes, expected',
    [(NAMES, False), (NAMES[:2], False), (NAMES[1:], True), (NAMES[::-1], True)],
)
def test_metrics_that_take_all_categories_are_known(kind, classes, expected, tmp_path) -> None:
    file = write_file(tmp_path / 'a.json', list(NAMES), [4, 3, 2, 1])
    assert refused(kind, file, classes) == expected


class OwnDataset:
    """A user's dataset class that cannot be queried and is therefore not judged."""

    def __init__(self, ann_file: str) -> None:
        raise NotImplementedError


def test_a_class_that_cannot_be_asked_is_left_alone(tmp_path: Path) -> None:
    from mmdet.datasets import CocoDataset

    class Failing(OwnDataset, CocoDataset):
        pass

    file = write_file(tmp_path / 'a.json', list(NAMES), [1, 2, 3, 4])
    assert not refused(Failing, file, NAMES[::-1])


@FEW
@given(classes=LISTED, listed=LISTED, ids=IDS)
def test_the_lvis_metric_is_right_or_refused(classes, listed, ids, tmp_path: Path) -> None:
    pytest.importorskip('lvis')
    np.float = float  # lvis 0.5.3 still uses it
    file = of_kind('LVISV1Dataset', write_file(tmp_path / 'a.json', listed, ids))
    content = json.loads(file.read_text())
    for category in content['categories']:
        category['frequency'] = 'f'
    for image in content['images']:
        image |= dict(not_exhaustive_category_ids=[], neg_category_ids=[])
    file.write_text(json.dumps(content))
    if refused('LVISMetric', file, classes):
        return
    metric = METRICS.build(dict(type='mmdet.LVISMetric', ann_file=str(file), classwise=True))
    dataset = build('LVISV1Dataset', file, tuple(classes))
    found = score(metric, dataset, without='owl')
    assert {n: found[f'lvis/{n}_precision'] for n in NAMES} == {n: n != 'owl' for n in NAMES}


@FEW
@given(classes=LISTED, listed=LISTED, ids=IDS)
def test_the_panoptic_metric_is_right_or_refused(classes, listed, ids, tmp_path: Path) -> None:
    pytest.importorskip('panopticapi')
    file = of_kind('CocoPanoptic', write_file(tmp_path / 'a.json', listed, ids))
    if refused('CocoPanopticMetric', file, classes):
        return
    part = np.zeros((SIDE, SIDE, 3), np.uint8)
    part[8:48, 8:48, 0] = 1
    for i in range(len(NAMES)):  # the segments have the ids 1 to 4
        Image.fromarray(part * (i + 1)).save(tmp_path / f'{NAMES[i]}.png')
    metric = METRICS.build(
        dict(
            type='mmdet.CocoPanopticMetric',
            ann_file=str(file),
            seg_prefix=str(tmp_path),
            classwise=True,
        )
    )
    metric.dataset_meta = dict(classes=classes, thing_classes=NAMES[:3], stuff_classes=[STUFF])
    for i, name in enumerate(NAMES):
        label = classes.index(name) if name != 'owl' else classes.index('cat')
        found = torch.full((1, SIDE, SIDE), len(classes))
        found[:, 8:48, 8:48] = 1000 + label  # the first instance
        metric.process({}, [dict(img_id=i, img_path=f'{name}.jpg', ori_shape=(SIDE, SIDE),
                                 pred_panoptic_seg=dict(sem_seg=found))])  # fmt: skip
    assert metric.evaluate(len(NAMES))['coco_panoptic/PQ'] == pytest.approx(100 * (2 + 2 / 3) / 4)
