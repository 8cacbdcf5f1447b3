"""A panoptic file, its config and the model each say which classes are things."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from PIL import Image

from backbones.errors import UserError
from backbones.openmmlab.config import load_config
from backbones.training import preflight

CONFIG = 'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py'
NAMES, THINGS = ('cat', 'dog', 'sky', 'sea'), ('cat', 'dog')


def make_panoptic(root: Path, *, listed: tuple = NAMES, things: tuple = THINGS) -> Path:
    """Two images of a split, each with a cat above the sea."""
    for split in ('train2017', 'val2017'):
        maps = root / f'annotations/panoptic_{split}'
        maps.mkdir(parents=True)
        (root / split).mkdir()
        segments = np.zeros((64, 64, 3), np.uint8)
        segments[:32, :, 0], segments[32:, :, 0] = 1, 2
        annotations = []
        for i in range(2):
            noise = np.random.default_rng([i, len(split)]).integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(noise).save(root / split / f'{i}.jpg')
            Image.fromarray(segments).save(maps / f'{i}.png')
            parts = [
                dict(id=1, category_id=10, iscrowd=0, bbox=[0, 0, 64, 32], area=2048),
                dict(id=2, category_id=13, iscrowd=0, bbox=[0, 32, 64, 32], area=2048),
            ]
            annotations.append(dict(image_id=i, file_name=f'{i}.png', segments_info=parts))
        images = [dict(id=i, file_name=f'{i}.jpg', width=64, height=64) for i in range(2)]
        categories = [
            dict(id=10 + NAMES.index(n), name=n, isthing=int(n in things)) for n in listed
        ]
        content = dict(images=images, annotations=annotations, categories=categories)
        maps.with_suffix('.json').write_text(json.dumps(content))
    return root


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Path:
    """Write that config with a small backbone, which is swapped in only once."""
    path = tmp_path_factory.mktemp('configs') / 'panoptic.py'
    cfg = load_config(CONFIG, options={}, work_dir=None, data_root=None, launcher='none',
                      backbone='cloformer_xxs')  # fmt: skip
    cfg.model.backbone.init_cfg = None
    cfg.dump(path)
    return path


def check(path: Path, root: Path, classes: tuple = NAMES, things: tuple = THINGS) -> object:
    meta = dict(classes=classes, thing_classes=things, stuff_classes=NAMES[2:])
    head = 'model.roi_head.{}_head.num_classes'
    fusion = 'model.panoptic_fusion_head'
    options = {
        **{f'{k}_dataloader.dataset.metainfo': meta for k in ('train', 'val', 'test')},
        **{head.format(k): 2 for k in ('bbox', 'mask')},
        **{f'model.semantic_head.{k}': 2 for k in ('num_things_classes', 'num_stuff_classes')},
        **{f'{fusion}.{k}': 2 for k in ('num_things_classes', 'num_stuff_classes')},
    }
    cfg = load_config(str(path), options=options, work_dir=None, data_root=str(root),
                      launcher='none')  # fmt: skip
    preflight.check(cfg)
    return cfg


def test_a_panoptic_config_is_taken(small: Path, tmp_path: Path) -> None:
    cfg = check(small, make_panoptic(tmp_path))
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[]))
    info = dataset.get_data_info(0)
    assert [NAMES[s['category']] for s in info['segments_info']] == ['cat', 'sea']
    assert [NAMES[i['bbox_label']] for i in info['instances']] == ['cat']


@pytest.mark.parametrize(
    'changes, config, said',
    [
        (dict(listed=NAMES[::-1]), {}, r'\[class-order\] train_dataloader.*\n.*'
         r"CocoPanopticDataset would use 'sea' as label 0.*\n(.*\n)*.*"
         r'\[class-order\] test_evaluator'),
        (dict(things=NAMES[:3]), {}, r"'sky': metainfo.thing_classes says stuff, \S+ says thing, "
         'the model, by its index 2, says stuff'),
        ({}, dict(things=('dog', 'sky')), r"'cat': metainfo.thing_classes says stuff, \S+ says th"),
        (dict(listed=('sky', 'cat', 'dog', 'sea')), dict(classes=('sky', 'cat', 'dog', 'sea')),
         r"'sky': .* stuff, \S+ says stuff, the model, by its index 0, says thing"),
    ],
)  # fmt: skip
def test_things_and_order_are_those_of_the_file_or_refused(
    changes: dict, config: dict, said: str, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=said):
        check(small, make_panoptic(tmp_path, **changes), **config)
