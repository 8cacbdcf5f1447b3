"""Decisions by the data in a new config; each number was worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from own_data import json_file, make_coco, make_masks
from PIL import Image

from backbones.cli import check_data
from backbones.data.configs import anchors
from backbones.data.configs.new_config import new_config
from backbones.data.configs.statistics import _thinned, box_statistics, label_statistics

GFL, RETINANET = 'gfl_cloformer_nano_small', 'retinanet_cloformer_nano_small'
SEGFORMER = 'segformer_cloformer_nano_small'


def written(root: Path, base: str, **options) -> tuple[str, Config]:
    out = root.parent / 'own.py'
    text = new_config(check_data.check(str(root)).dataset, base=base, out=out, **options)
    out.write_text(text)
    return ' '.join(text.replace('\n# ', ' ').split()), Config.fromfile(out)


def boxes(root: Path, sides: list[tuple[int, int]]) -> Path:
    """Give the training images boxes of these widths and heights, in turn."""
    content = json.loads(json_file(root, 'train').read_text())
    for i, annotation in enumerate(content['annotations']):
        w, h = sides[i % len(sides)]
        annotation.update(bbox=[4, 4, w, h], area=w * h, segmentation=[])
    json_file(root, 'train').write_text(json.dumps(content))
    return root


def thin(root: Path) -> Path:
    """Give each training image of 64x48 pixels a post of 2 pixels and a sign of 8."""
    for path in (root / 'masks/train').iterdir():
        labels = np.zeros((48, 64), np.uint8)
        labels[:, 9:11] = 1
        labels[16:24, 32:40] = 2
        labels[0] = 255
        Image.fromarray(labels).save(path)
    return root


def test_boxes_are_measured_at_the_scale_of_the_model(tmp_path: Path) -> None:
    root = boxes(make_coco(tmp_path / 'data'), [(32, 24), (8, 16)])
    content = json.loads(json_file(root, 'train').read_text())
    content['annotations'][0]['iscrowd'] = 1
    json_file(root, 'train').write_text(json.dumps(content))
    found = box_statistics(check_data.check(str(root)).dataset)
    assert found is not None
    assert found.images.tolist() == [[64, 48]] * 6
    assert found.labels.tolist() == [1, 0, 1, 0, 1]
    assert found.at(128).tolist() == [[16, 32], [64, 48], [16, 32], [64, 48], [16, 32]]


def test_label_maps_say_what_each_class_could_reach(tmp_path: Path) -> None:
    root = thin(make_masks(tmp_path / 'data'))
    found = label_statistics(check_data.check(str(root)).dataset)
    assert found is not None
    assert found.shares[1] == pytest.approx(2 / 64)
    assert found.shares[2] == pytest.approx(8 * 8 / (64 * 47))
    assert found.maps.tolist() == [1, 1, 1]
    # a post of 2 pixels has no more than half of a 4x4 cell; the sign fills cells up to 8x8
    assert found.reachable[4][1] == 0 and found.reachable[4][2] == found.reachable[8][2] == 1
    assert found.reachable[16][2] == 0


def test_large_label_maps_are_seen_in_bands_and_small_ones_have_no_large_cells(
    tmp_path: Path,
) -> None:
    large = np.arange(3200)[:, None].repeat(2560, 1)
    assert _thinned(large).shape == (1088, 2560)  # every third of 100 bands
    assert _thinned(large)[32, 0] == 96
    root = make_masks(tmp_path / 'data')
    for path in (root / 'masks/train').iterdir():
        Image.open(path).crop((0, 0, 60, 12)).save(path)
    found = label_statistics(check_data.check(str(root)).dataset)
    assert found is not None and list(found.reachable) == [4, 8]


def test_small_objects_enlarge_the_input_and_large_ones_the_crop(tmp_path: Path) -> None:
    text, cfg = written(boxes(make_coco(tmp_path / 'data'), [(3, 3), (40, 24)]), GFL)
    resize, crop = (cfg.train_dataloader.dataset.pipeline[i] for i in (2, 3))
    assert (resize.scale, resize.ratio_range) == ((512, 512), (0.7, 1.4))  # 24 of 3 times 64
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (512, 512)
    assert crop.crop_size == (320, 320)
    assert 'is 3 pixels in them and 24 in the input' in text and 'smaller than 320' in text
    text, cfg = written(boxes(make_coco(tmp_path / 'large'), [(60, 44)]), GFL)
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (224, 224)
    assert 'does not fit' not in text  # 210 pixels
    text, cfg = written(boxes(make_coco(tmp_path / 'alike'), [(6, 6)]), GFL)
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (256, 256)  # 24 of 6 times 64
    assert 'the class with the smallest, is 6 pixels in them and 24 in the input' in text


def test_whole_images_are_trained_on_where_an_iteration_can_take_two(tmp_path: Path) -> None:
    text, cfg = written(boxes(make_coco(tmp_path / 'data'), [(60, 44)]), GFL)
    resize, crop = (cfg.train_dataloader.dataset.pipeline[i] for i in (2, 3))
    assert resize.scale[0] * resize.ratio_range[1] <= crop.crop_size[0]  # cuts nothing
    assert 'whole images of about 224x192, 4 in an iteration' in text
    text, cfg = written(boxes(make_coco(tmp_path / 'more'), [(4, 4)]), GFL)
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (384, 384)
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.optim_wrapper.optimizer.lr == 0.0011 and 'scaled by the root' in text


def test_anchors_have_the_shapes_of_the_boxes(tmp_path: Path) -> None:
    text, cfg = written(boxes(make_coco(tmp_path / 'data'), [(8, 32), (10, 40)]), RETINANET)
    generator = cfg.model.bbox_head.anchor_generator
    assert generator.ratios == [4.0] and 'anchors: 100.0% of the boxes have one' in text
    assert generator.strides == [8, 16, 32]
    text, cfg = written(boxes(make_coco(tmp_path / 'more'), [(2, 40)]), 'mmdet::ssd/ssd300_coco')
    assert 'does not fit' not in text  # it has another kind of generator
    text, _ = written(boxes(make_coco(tmp_path / 'long'), [(2, 40)]), 'retinanet_moganet_s_coco')
    assert 'does not fit: 100% of the boxes have no anchor of IoU 0.5' in text


def test_overlaps_with_anchors() -> None:
    generator = dict(octave_base_scale=4, scales_per_octave=1, ratios=[1.0, 4.0], strides=[8])
    assert anchors.shapes(generator).tolist() == [[32, 32], [16, 64]]
    sizes = np.array([[32, 16], [16, 64], [8, 8]])
    assert anchors.best_overlaps(sizes, anchors.shapes(generator)).tolist() == [0.5, 1, 1 / 16]
    assert anchors.share_without(sizes, generator) == pytest.approx(1 / 3)


def test_augmented_tests_are_near_the_size_of_the_input(tmp_path: Path) -> None:
    _, cfg = written(make_masks(tmp_path / 'data'), SEGFORMER)
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (64, 64)
    resizes, flips, *_ = cfg.tta_pipeline[1].transforms
    assert [step.scale for step in resizes] == [(48, 48), (64, 64), (80, 80)]
    assert len(flips) == 2


def test_rare_classes_weigh_more_and_thin_ones_are_named(tmp_path: Path) -> None:
    text, cfg = written(thin(make_masks(tmp_path / 'data')), SEGFORMER)
    assert 'class_weight' not in text  # they have 3.1 % and 2.1 % of the pixels
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (64, 64)
    assert cfg.model.data_preprocessor.size == (64, 64)
    assert 'about 4 pixels of an image' in text and 'IoUs: flower 0.00' in text
    root = thin(make_masks(tmp_path / 'rare'))
    for path in (root / 'masks/train').iterdir():
        labels = np.array(Image.open(path))
        labels[:16, 9:11] = labels[32:, 9:11] = 0
        Image.fromarray(labels).save(path)
    text, cfg = written(root, SEGFORMER)
    weights = cfg.model.decode_head.loss_decode.class_weight
    shares = np.array([64 * 47 - 96 - 0, 32, 64]) / (64 * 47)
    assert np.allclose(weights, shares**-0.5 / (shares**0.5).sum(), rtol=0.01)
    assert 'few pixels are flower 1.1%' in text


@pytest.mark.parametrize('flips, prob', [(None, 0.5), ('none', 0.0), ('all', [0.25] * 3)])
def test_flips_are_what_the_user_says(flips: str | None, prob: object, tmp_path: Path) -> None:
    text, cfg = written(make_masks(tmp_path / 'data'), SEGFORMER, flips=flips)
    (flip,) = (s for s in cfg.train_dataloader.dataset.pipeline if s['type'] == 'RandomFlip')
    assert flip.prob == prob and 'flips: ' in text
