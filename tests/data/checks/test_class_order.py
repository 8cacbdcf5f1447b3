"""Names mean the same classes in every file, whatever the order in which files list them."""

import functools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS
from mmengine.config import Config
from own_data import CLASSES, json_file, make_coco, make_masks, make_voc, sample_of

from backbones.cli import check_data
from backbones.data import coco_by_name  # noqa: F401, registers its classes
from backbones.data.checks import class_order
from backbones.data.checks.class_order import categories_of, check_class_order
from backbones.data.configs.new_config import new_config
from backbones.data.faults.faults import Faults
from backbones.errors import UserError
from backbones.openmmlab.config import load_config
from backbones.training import preflight

NAMES = ('cat', 'dog', 'owl', 'yak')
NUMBERS = pytest.mark.parametrize('number', [4, pytest.param(30, marks=pytest.mark.slow)])
METRIC_TYPES = ['CocoByNameMetric', 'FasterCocoByNameMetric']
# files of two splits: the order in which each lists the classes, and the ids it gives them
LISTED = st.permutations(NAMES)
IDS = st.lists(st.integers(0, 99), min_size=4, max_size=4, unique=True)


def write_file(path: Path, names: list[str], ids: list[int]) -> Path:
    """One image per class, in alphabetical order of the names."""
    number = dict(zip(names, ids))
    images = [dict(id=i, file_name=f'{n}.png', width=64, height=64) for i, n in enumerate(NAMES)]
    annotations = [
        dict(id=i + 1, image_id=i, category_id=number[n], bbox=[8, 8, 40, 40], area=1600, iscrowd=0)
        for i, n in enumerate(NAMES)
    ]
    categories = [dict(id=number[n], name=n) for n in names]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return path


def build(kind: str, file: Path, classes: tuple[str, ...]) -> CocoDataset:
    settings = dict(metainfo=dict(classes=classes), data_prefix=dict(img=''), pipeline=[])
    return DATASETS.build(dict(settings, type=kind, ann_file=str(file), test_mode=True))


def named(dataset: CocoDataset) -> dict[str, str]:
    """Return the class name of the single instance in each image."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    classes = dataset.metainfo['classes']
    return {
        Path(i['img_path']).stem: classes[i['instances'][0]['bbox_label']]
        for i in infos
        if i['instances']
    }


def score(metric: CocoMetric, dataset: CocoDataset, *, without: str | None = None) -> dict:
    """Return the metrics if the dataset's boxes, except those of one class, are the predictions."""
    metric.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        keep = [x for x in info['instances'] if Path(info['img_path']).stem != without]
        metric.process({}, [sample_of(info, keep)])
    return metric.evaluate(len(dataset))


@pytest.mark.parametrize('metric', METRIC_TYPES)
def test_a_model_that_finds_nothing_scores_0(metric: str, tmp_path: Path) -> None:
    file = write_file(tmp_path / 'a.json', NAMES, [1, 2, 3, 4])
    dataset = build('CocoByNameDataset', file, NAMES)
    judge = METRICS.build(dict(type=metric, ann_file=str(file)))
    judge.dataset_meta = dataset.metainfo
    for i in range(len(dataset)):
        judge.process({}, [sample_of(dataset.get_data_info(i), [])])
    assert judge.evaluate(len(dataset)) == {
        'coco/bbox_mAP': 0, 'coco/bbox_mAP_50': 0, 'coco/bbox_mAP_75': 0,
    }  # fmt: skip


def each(number: int, holds: Callable, **drawn: st.SearchStrategy) -> None:
    """Call the test with so many examples."""
    settings(max_examples=number, deadline=None)(given(**drawn)(holds))()


@NUMBERS
@pytest.mark.parametrize('metric', METRIC_TYPES)
def test_perfect_predictions_score_1_under_the_right_name(
    metric: str, number: int, tmp_path: Path
) -> None:
    check = functools.partial(check_right_names, metric, tmp_path)
    lists = dict(classes=LISTED, train=LISTED, val=LISTED)
    each(number, lambda **drawn: check(**drawn), **lists, train_ids=IDS, val_ids=IDS)


def check_right_names(metric: str, tmp_path: Path, classes, train, train_ids, val, val_ids) -> None:
    learnt = build(
        'CocoByNameDataset', write_file(tmp_path / 'a.json', train, train_ids), tuple(classes)
    )
    file = write_file(tmp_path / 'b.json', val, val_ids)
    judged = build('CocoByNameDataset', file, tuple(classes))
    assert named(learnt) == named(judged) == {name: name for name in NAMES}
    settings = dict(type=metric, ann_file=str(file), classwise=True)
    found = score(METRICS.build(settings), judged)
    assert found['coco/bbox_mAP'] == 1
    found = score(METRICS.build(settings), judged, without='owl')
    assert {n: found[f'coco/{n}_precision'] for n in NAMES} == {n: n != 'owl' for n in NAMES}


@NUMBERS
@pytest.mark.parametrize('metric', ['CocoMetric', 'FasterCocoMetric'])
def test_mmdetections_own_classes_are_right_or_refused(
    metric: str, number: int, tmp_path: Path
) -> None:
    check = functools.partial(check_right_or_refused, metric, tmp_path)
    each(number, lambda **drawn: check(**drawn), classes=LISTED, listed=LISTED, ids=IDS)


def check_right_or_refused(metric: str, tmp_path: Path, classes, listed, ids) -> None:
    file, faults = write_file(tmp_path / 'a.json', listed, ids), Faults()
    for kind in ('CocoDataset', metric):
        check_class_order(kind, file, classes, 'here', faults)
    if faults.errors:
        assert {fault.kind for fault in faults.errors} == {'class-order'}
        return
    dataset = build('mmdet.CocoDataset', file, tuple(classes))
    assert named(dataset) == {name: name for name in NAMES}
    found = score(
        METRICS.build(dict(type=f'mmdet.{metric}', ann_file=str(file), classwise=True)),
        dataset,
        without='owl',
    )
    assert {n: found[f'coco/{n}_precision'] for n in NAMES} == {n: n != 'owl' for n in NAMES}


@pytest.mark.parametrize(
    'kind, listed, ids, refused',
    [
        ('CocoDataset', NAMES, [1, 2, 3, 4], False),
        ('CocoDataset', NAMES, [4, 3, 2, 1], False),
        ('CocoDataset', NAMES[::-1], [1, 2, 3, 4], True),
        ('CocoMetric', NAMES, [4, 3, 2, 1], True),  # AP by class
        ('mmdet.FasterCocoMetric', NAMES[::-1], [1, 2, 3, 4], True),
        ('CocoByNameDataset', NAMES[::-1], [1, 2, 3, 4], False),
        ('FasterCocoByNameMetric', NAMES[::-1], [1, 2, 3, 4], False),
        ('VOCDataset', NAMES[::-1], [1, 2, 3, 4], False),
    ],
)
def test_what_numbers_by_the_file_is_known(kind, listed, ids, refused, tmp_path: Path) -> None:
    faults = Faults()
    check_class_order(kind, write_file(tmp_path / 'a.json', listed, ids), NAMES, 'x', faults)
    assert bool(faults.errors) == refused


def test_the_categories_of_a_large_file_are_found_without_reading_it(
    tmp_path: Path, monkeypatch
) -> None:
    file = write_file(tmp_path / 'a.json', list(NAMES), [4, 3, 2, 1])
    expected = categories_of(file)
    assert [c['name'] for c in expected] == [*NAMES]
    monkeypatch.setattr(class_order, 'LARGE_JSON', 0)
    assert categories_of(file) == expected
    text = json.loads(file.read_text())
    text['categories'][0]['keypoints'] = ['"categories"', ['a', ']']]
    file.write_text(json.dumps(text))
    assert [c['name'] for c in categories_of(file)] == [*NAMES]


def test_a_name_that_the_file_lacks_is_an_error(tmp_path: Path) -> None:
    file = write_file(tmp_path / 'a.json', list(NAMES), [1, 2, 3, 4])
    with pytest.raises(UserError, match=r"no category 'cta' among 'cat', .*did you mean 'cat'"):
        build('CocoByNameDataset', file, ('cta', 'dog'))
    assert named(build('CocoByNameDataset', file, ('owl', 'cat'))) == dict(owl='owl', cat='cat')


def permuted(root: Path, split: str, ids: tuple[int, int]) -> None:
    """Reverse the categories, with other ids; the instances keep their names."""
    content = json.loads(json_file(root, split).read_text())
    for part, key in (('annotations', 'category_id'), ('categories', 'id')):
        for entry in content[part]:
            entry[key] = ids[0] if entry[key] == 3 else ids[1]
    content['categories'].reverse()
    json_file(root, split).write_text(json.dumps(content))


STOCK = """
for __loader in (train_dataloader, val_dataloader):
    __loader['dataset']['type'] = 'CocoDataset'
val_evaluator['type'] = 'FasterCocoMetric'
"""


@pytest.mark.parametrize(
    'ids, classes',
    [
        ((7, 3), CLASSES),
        ((0, 1), CLASSES[::-1]),
        *(pytest.param(ids, classes, marks=pytest.mark.slow)
          for ids, classes in [((3, 7), CLASSES), ((3, 7), CLASSES[::-1]), ((7, 3), CLASSES[::-1]),
                               ((0, 1), CLASSES)]),
    ],
)  # fmt: skip
def test_a_written_config_maps_by_name_and_a_stock_one_is_refused(
    classes: tuple[str, str], ids: tuple[int, int], tmp_path: Path
) -> None:
    root, out = make_coco(tmp_path / 'data'), tmp_path / 'own.py'
    permuted(root, 'val', ids)
    report = check_data.check(str(root), classes=classes)
    assert not report.faults.errors
    text = new_config(report.dataset, base='faster_rcnn_cswin_t_coco', out=out)
    out.write_text(text)
    assert not check_data.check(str(out)).faults.errors
    cfg = Config.fromfile(out)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        dataset = DATASETS.build(dict(loader.dataset, pipeline=[]))
        for i in range(len(dataset)):
            info = dataset.get_data_info(i)
            label = info['instances'][0]['bbox_label']
            assert dataset.metainfo['classes'][label] == CLASSES[info['img_id'] // 10 % 2]
    assert score(METRICS.build(cfg.val_evaluator), dataset)['coco/bbox_mAP'] == 1
    out.write_text(text + STOCK)
    faults = check_data.check(str(out)).faults.errors
    assert {fault.kind for fault in faults} == {'class-order'}
    cfg = load_config(str(out), options=None, work_dir=None, data_root=None, launcher='none')
    cfg.model.backbone.init_cfg = None
    for loaders in (
        ('train_dataloader', 'val_dataloader'),
        ('test_dataloader', 'train_dataloader'),
    ):
        with pytest.raises(UserError, match='class-order'):  # tools/train.py and tools/test.py
            preflight.check(cfg, loaders=loaders)


def test_names_of_label_values_are_not_exchanged_by_an_option(tmp_path: Path) -> None:
    root = make_masks(tmp_path / 'masks')
    names = ('background', 'flower', 'tree')
    with pytest.raises(UserError, match=r"is label 0 'tree' or 'background'\?"):
        check_data.check(str(root), classes=names[::-1])
    for others in (names, ('ground', 'flower', 'tree')):
        assert check_data.check(str(root), classes=others).dataset.classes == others


def test_names_in_classes_txt_beside_voc_may_stand_in_any_order(tmp_path: Path) -> None:
    root, out = make_voc(tmp_path / 'voc'), tmp_path / 'own.py'
    names = check_data.check(str(root)).dataset.classes[::-1]
    (root / 'classes.txt').write_text('\n'.join(names), encoding='utf-8')
    report = check_data.check(str(root))
    assert report.dataset.classes == names and not report.faults.errors
    out.write_text(new_config(report.dataset, base='faster_rcnn_cswin_t_coco', out=out))
    cfg = Config.fromfile(out)
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[]))
    truth = json.loads((tmp_path / 'own/train.json').read_text())
    called = {c['id']: c['name'] for c in truth['categories']}
    expected = {a['image_id']: called[a['category_id']] for a in truth['annotations']}
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        assert names[info['instances'][0]['bbox_label']] == expected[info['img_id']]


def test_a_model_that_learnt_names_in_another_order_is_refused(tmp_path: Path) -> None:
    """Also by tools that need no data, if the training data still exist."""
    from backbones.data.checks.training_record import check_training

    file = write_file(tmp_path / 'a.json', list(NAMES[::-1]), [1, 2, 3, 4])
    part = dict(type='CocoDataset', ann_file=str(file), metainfo=dict(classes=NAMES))
    model = dict(backbone=dict(type='CSWin'))
    cfg = Config(dict(default_scope='mmdet', model=model, train_dataloader=dict(dataset=part)))
    with pytest.raises(UserError, match=r'x\.pth learnt other class names\n.*class-order'):
        check_training(cfg, {}, 'x.pth')
    cfg.train_dataloader.dataset.type = 'CocoByNameDataset'
    check_training(cfg, {}, 'x.pth')
    cfg.train_dataloader.dataset.update(type='CocoDataset', ann_file='gone.json')
    check_training(cfg, {}, 'x.pth')
