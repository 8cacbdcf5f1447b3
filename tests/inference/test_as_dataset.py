"""Predictions as a dataset: the checks read back what was written."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import supervision as sv
from PIL import Image
from pycocotools import mask as coco_mask

from backbones.cli import check_data
from backbones.data.checks.instance_checks import has_mask
from backbones.drawing.palette import Classes
from backbones.errors import UserError
from backbones.inference import Prediction, read_image
from backbones.inference.as_dataset import check_format
from backbones.inference.outlines import joined, outlines
from backbones.inference.writers import Results

NAMES = ('große Blume', "tree: 'oak'")
WIDTH, HEIGHT = 50, 40


def masks() -> np.ndarray:
    """A ring, two parts that touch at a corner, a single pixel, and nothing."""
    found = np.zeros((4, HEIGHT, WIDTH), bool)
    found[0, 5:20, 5:20], found[0, 10:15, 10:15] = True, False
    found[1, 2:6, 2:6] = found[1, 6:9, 6:9] = found[1, 20:25, 30:40] = True
    found[2, 39, 49] = True
    return found


def instances(*, masked: bool) -> sv.Detections:
    boxes = [(5, 5, 20, 20), (2, 2, 40, 25), (48.2, 38.4, 50, 40), (7, 7, 7.4, 9)]
    return sv.Detections(
        xyxy=np.array(boxes, float),
        class_id=np.array([0, 1, 1, 0]),
        confidence=np.array([0.9, 0.8, 0.7, 0.6]),
        mask=masks() if masked else None,
    )


def write(folder: Path, found: object, layout: str, names: list[str]) -> Path:
    """Write the same prediction on several images, interrupted after the first."""
    (folder / 'out').mkdir()
    unique = {name.partition('.')[0] for name in names}
    for some in (names[:1], names[1:]):
        results = Results(folder / 'out', Classes(dict(classes=NAMES)), about={}, layout=layout,
                          segments=not isinstance(found, sv.Detections))  # fmt: skip
        for name in some:
            path = folder / 'photos' / name
            path.parent.mkdir(exist_ok=True, parents=True)
            pixels = np.random.default_rng(len(name)).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
            Image.fromarray(pixels).save(path)
            image, notes = read_image(path)
            stem = name if len(unique) < len(names) else name.partition('.')[0]
            results.add(Prediction(path, image, found, {}, notes, 1.0), stem, name)
        results.finish()
    return folder / 'out/dataset'


@pytest.mark.parametrize('layout', ['coco', 'yolo'])
@pytest.mark.parametrize('masked', [False, True])
def test_instances_are_read_back(layout: str, masked: bool, tmp_path: Path) -> None:
    root = write(tmp_path, instances(masked=masked), layout, ['a.png', 'in/a.jpg', 'in/b.png'])
    report = check_data.check(str(root), decode=True)
    assert not report.faults.errors and report.dataset.layout == layout
    assert report.dataset.classes == NAMES
    assert report.classes == {NAMES[0]: {'train': 3}, NAMES[1]: {'train': 6}}, 'none is empty'
    (split,) = report.dataset.splits.values()
    names = sorted(path.relative_to(root / 'images').as_posix() for path in split.paths())
    assert names == ['a.png', 'in/a.jpg', 'in/b.png']
    assert all(has_mask(one) == masked for one in split.records['annotations'])
    found = [one for one in split.records['annotations'] if one['image_id'] == 1]
    if masked:
        for one, mask in zip(found, masks(), strict=False):
            code = one['segmentation']
            code = coco_mask.frPyObjects(code, HEIGHT, WIDTH) if isinstance(code, list) else [code]
            assert np.array_equal(coco_mask.decode(coco_mask.merge(code)), mask), 'to the pixel'
            assert abs(one['area'] - mask.sum()) < 0.01
    else:
        read = [one['bbox'] for one in found]
        expected = sv.xyxy_to_xywh(instances(masked=False).xyxy[:3])
        assert np.allclose(read, expected, atol=0.01)


def test_scores_are_kept(tmp_path: Path) -> None:
    (tmp_path / 'c').mkdir()
    (tmp_path / 'y').mkdir()
    root = write(tmp_path / 'c', instances(masked=True), 'coco', ['a.png', 'b.png'])
    records = check_data.check(str(root)).dataset.splits['train'].records
    assert [one['score'] for one in records['annotations']] == [0.9, 0.8, 0.7] * 2
    root = write(tmp_path / 'y', instances(masked=True), 'yolo', ['a.png', 'b.png'])
    assert (root / 'scores/a.txt').read_text().split() == ['0.90000', '0.80000', '0.70000']
    assert len((root / 'labels/a.txt').read_text().splitlines()) == 3


@pytest.mark.parametrize('layout', ['coco', 'yolo', 'masks'])
def test_images_of_one_stem_keep_their_own_labels(layout: str, tmp_path: Path) -> None:
    found = instances(masked=False) if layout != 'masks' else np.eye(HEIGHT, WIDTH, dtype=np.uint8)
    root = write(tmp_path, found, layout, ['a.png', 'a.jpg'])
    report = check_data.check(str(root))
    assert not report.faults.errors
    number = 2 if layout == 'masks' else 4
    assert report.classes[NAMES[1]] == {'train': number}
    assert report.counts['train']['images'] == 2


def test_label_maps_are_indexed_images(tmp_path: Path) -> None:
    labels = np.eye(HEIGHT, WIDTH, dtype=np.uint8)
    root = write(tmp_path, labels, 'masks', ['a.png', 'in/b.jpg'])
    report = check_data.check(str(root))
    assert not report.faults.found.keys() - {('no-validation', str(root))}
    assert report.classes == {name: {'train': 2} for name in NAMES}
    with Image.open(root / 'masks/in/b.png') as image:
        assert image.mode == 'P' and np.array_equal(image, labels)
        assert len({image.convert('RGB').getpixel(place) for place in ((0, 0), (1, 0))}) == 2


def test_outlines_enclose_exactly_the_pixels() -> None:
    rng = np.random.default_rng(0)
    for i in range(20):
        height, width = map(int, rng.integers(5, 60, 2))
        mask = cv2.GaussianBlur(rng.random((height, width)), (0, 0), 0.3 + i % 3) > 0.5
        polygons = [polygon.ravel().tolist() for polygon in outlines(mask)]
        whole = joined(outlines(mask)).ravel().tolist()
        for some in (polygons, [whole]):
            code = coco_mask.merge(coco_mask.frPyObjects(some, height, width))
            assert np.array_equal(coco_mask.decode(code), mask)


def test_what_a_dataset_cannot_hold_is_refused() -> None:
    said = r'masks: the model predicts instances; allowed: coco, yolo; a.gif: a dataset takes'
    with pytest.raises(UserError, match=said):
        check_format('masks', segments=False, classes=2, images=[Path('a.gif'), Path('b.PNG')])
    with pytest.raises(UserError, match='label maps hold 255 classes, and the model has 256'):
        check_format('masks', segments=True, classes=256, images=[])
