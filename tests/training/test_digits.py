import itertools
import json
import runpy
from pathlib import Path

import cv2
import mmdet.datasets  # registers CocoDataset  # noqa: F401
import mmseg.datasets  # registers BaseSegDataset  # noqa: F401
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from pycocotools import mask as rle

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
COUNTS = dict(train=6, val=3)

main = runpy.run_path(str(ROOT / 'tools' / 'make_digits.py'))['main']


def make(out: Path) -> Path:
    main(['--out', str(out), *itertools.chain(*((f'--{k}', str(n)) for k, n in COUNTS.items()))])
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if not p.is_dir()}


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp('digits') / 'data' / 'digits')


def annotations(folder: Path, split: str) -> dict:
    return json.loads((folder / 'annotations' / f'{split}.json').read_text())


def dataset(method: str, split: str, folder: Path):
    cfg = Config.fromfile(CONFIGS / f'{method}_dilateformer_nano_digits.py')
    init_default_scope(cfg.default_scope)
    cfg = cfg[f'{split}_dataloader'].dataset
    cfg.data_root = str(folder)
    return DATASETS.build(cfg)


@pytest.mark.parametrize('split', COUNTS)
def test_coco_dataset_reads_the_instances(digits, split):
    read = dataset('mask_rcnn', split, digits)
    written = annotations(digits, split)
    assert len(read) == COUNTS[split]
    for item in read:
        sample = item['data_samples']
        own = [a for a in written['annotations'] if a['image_id'] == sample.img_id]
        assert item['inputs'].shape == (3, 96, 96)
        assert sample.gt_instances.labels.tolist() == [a['category_id'] - 1 for a in own]
        masks = sample.gt_instances.masks.masks
        assert [int(m.sum()) for m in masks] == [a['area'] for a in own]


@pytest.mark.parametrize('split', COUNTS)
def test_label_maps_agree_with_the_masks(digits, split):
    read = dataset('upernet', split, digits)
    written = annotations(digits, split)['annotations']
    assert len(read) == COUNTS[split]
    for i, item in enumerate(read):
        expected = np.zeros((96, 96), np.uint8)
        for a in written:
            if a['image_id'] == i:
                mask = rle.decode(a['segmentation']).astype(bool)
                assert not expected[mask].any()  # digits do not overlap
                expected[mask] = a['category_id']
        assert (item['data_samples'].gt_sem_seg.data[0].numpy() == expected).all()


@pytest.mark.parametrize('split', COUNTS)
def test_boxes_bound_their_masks_inside_the_image(digits, split):
    for a in annotations(digits, split)['annotations']:
        y, x = np.nonzero(rle.decode(a['segmentation']))
        left, top, width, height = a['bbox']
        assert (left, top) == (x.min(), y.min())
        assert (left + width, top + height) == (x.max() + 1, y.max() + 1)
        # one clear pixel all around: no digit is cut off
        assert min(left, top) >= 1 and max(left + width, top + height) <= 96 - 1


def test_no_handwritten_digit_is_in_both_splits(tmp_path):
    main(['--out', str(tmp_path / 'digits'), '--train', '60', '--val', '60'])
    train, val = (
        {a['sample'] for a in annotations(tmp_path / 'digits', s)['annotations']} for s in COUNTS
    )
    assert not train & val
    assert min(len(train), len(val)) > 100


def test_scenes_are_deterministic_and_do_not_depend_on_their_number(digits, tmp_path):
    assert contents(make(tmp_path / 'again')) == contents(digits)
    main(['--out', str(tmp_path / 'fewer'), '--train', '2', '--val', '1'])
    for path in ('images/train/0001.png', 'labels/train/0001.png', 'images/val/0000.png'):
        assert (tmp_path / 'fewer' / path).read_bytes() == (digits / path).read_bytes()


def test_a_second_call_does_nothing(digits, capsys):
    before = {p: p.stat().st_mtime_ns for p in digits.rglob('*')}
    make(digits)
    assert {p: p.stat().st_mtime_ns for p in digits.rglob('*')} == before
    assert ' exists: ' in capsys.readouterr().out


def test_an_interrupted_call_is_redone(digits, tmp_path, monkeypatch):
    write, left = cv2.imwrite, iter(range(5))

    def interrupted(path, image):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return write(path, image)

    out = tmp_path / 'digits'
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cv2, 'imwrite', interrupted)
        make(out)
    assert not out.exists()
    make(out)
    assert contents(out) == contents(digits)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize('file', ['annotations/val.json', 'photo.png'])
def test_a_folder_with_something_else_is_left_alone(tmp_path, capsys, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text('{"info": {}}')
    with pytest.raises(SystemExit):
        make(tmp_path)
    assert 'holds something else' in capsys.readouterr().err
    assert list(contents(tmp_path)) == [file]
