"""Small clean datasets of two classes in common layouts."""

import json
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

NUMBER = {'train': 6, 'val': 3}
SIZE = (64, 48)  # width and height
CLASSES = ('große Blume', 'tree')
POLYGON = [8, 8, 40, 8, 40, 32, 8, 32]


def noise(path: Path, *, seed: int = 0, size: tuple[int, int] = SIZE, mode: str = 'RGB') -> None:
    """An image that compresses badly, so that a cut file is a damaged one."""
    rng = np.random.default_rng([seed, *path.as_posix().encode()])
    pixels = rng.integers(0, 256, (size[1], size[0], 4), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode == 'RGBA' else image.convert('RGB').convert(mode)).save(path)


def annotation(number: int, image: int, category: int) -> dict:
    return dict(id=number, image_id=image, category_id=category, bbox=[8, 8, 32, 24], area=768,
                iscrowd=0, segmentation=[POLYGON])  # fmt: skip


def make_coco(root: Path) -> Path:
    """Boxes and masks, with gaps in the ids, blanks and umlauts in the names."""
    for split, number in NUMBER.items():
        names = [f'Bäume {i}.png' for i in range(number)]
        for name in names:
            noise(root / split / name)
        images = [dict(id=10 * i, file_name=n, width=64, height=48) for i, n in enumerate(names)]
        annotations = [annotation(7 * i + 1, 10 * i, 3 + 4 * (i % 2)) for i in range(number)]
        categories = [dict(id=3, name=CLASSES[0]), dict(id=7, name=CLASSES[1])]
        write(root, split, dict(images=images, annotations=annotations, categories=categories))
    return root


def json_file(root: Path, split: str) -> Path:
    return root / f'annotations/{split}.json'


def write(root: Path, split: str, content: dict) -> None:
    json_file(root, split).parent.mkdir(parents=True, exist_ok=True)
    json_file(root, split).write_text(json.dumps(content))


def make_masks(root: Path) -> Path:
    for split, number in NUMBER.items():
        for i in range(number):
            noise(root / f'images/{split}/{i}.jpg')
            labels = np.zeros(SIZE[::-1], np.uint8)
            labels[8:32, 8:40] = 1 + i % 2
            path = root / f'masks/{split}/{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)
    (root / 'classes.txt').write_text('background\nflower\ntree\n')
    return root


def make_yolo(root: Path) -> Path:
    for split, number in NUMBER.items():
        for i in range(number):
            noise(root / f'images/{split}/{i}.jpg')
            label = root / f'labels/{split}/{i}.txt'
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(f'{i % 2} 0.375 0.41667 0.5 0.5\n')
    folders = dict(path='/elsewhere', train='images/train', val='images/val')
    (root / 'data.yaml').write_text(yaml.safe_dump(dict(folders, nc=2, names=list(CLASSES))))
    return root


def make_voc(root: Path) -> Path:
    for split, number in NUMBER.items():
        names = [f'{split}_{i}' for i in range(number)]
        for i, name in enumerate(names):
            noise(root / f'JPEGImages/{name}.jpg')
            file = root / f'Annotations/{name}.xml'
            file.parent.mkdir(exist_ok=True)
            file.write_text(
                f'<annotation><filename>{name}.jpg</filename><size><width>64</width>'
                f'<height>48</height></size><object><name>{CLASSES[i % 2]}</name><bndbox>'
                '<xmin>9</xmin><ymin>9</ymin><xmax>40</xmax><ymax>32</ymax></bndbox></object>'
                '</annotation>'
            )
        lists = root / f'ImageSets/Main/{split}.txt'
        lists.parent.mkdir(parents=True, exist_ok=True)
        lists.write_text('\n'.join(names))
    return root


def sample_of(info: dict, found: list[dict]) -> dict:
    """Return a model's output for an image in which it finds these instances."""
    predicted = dict(
        bboxes=torch.tensor([x['bbox'] for x in found]).reshape(-1, 4),
        scores=torch.ones(len(found)),
        labels=torch.tensor([x['bbox_label'] for x in found], dtype=torch.long),
    )
    return dict(img_id=info['img_id'], ori_shape=(64, 64), pred_instances=predicted)
