#!/usr/bin/env python
"""Make the data of docs/own_data.md: trees in aerial photographs, or nuclei under a microscope.

The images are taken from the packages of two other projects, DeepForest and StarDist. pip downloads
a package once, without installing or executing it. A second call does nothing.
"""

import argparse
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

try:
    import numpy as np
    from defusedxml.ElementTree import fromstring
    from PIL import Image
except ModuleNotFoundError:
    import backbones.cli.requirements  # noqa: F401, ends with what to install

    raise

from backbones.errors import UserError, plain_errors

PACKAGES = {
    'trees': 'deepforest==2.1.0',
    'nuclei': 'stardist==0.9.2',
    'nuclei_instances': 'stardist==0.9.2',
}
HELD_OUT = '2019_YELL_2_541000_4977000_image_crop'
TRAINED_ON = ('2019_YELL_2_528000_4978000_image_crop2', 'OSBS_029', 'SOAP_061')
TREE_SIDE = 320  # side of a tile; all lengths here are in pixels
VISIBLE = 0.5  # a box with a smaller share inside a tile is marked as a crowd and ignored
NUCLEUS_SIDE = 128
NUCLEI_TRAINED_ON = 384  # columns of the only image; validation gets the rest

Box = tuple[int, int, int, int]  # left, top, right, bottom


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('example', choices=tuple(PACKAGES), help='what to make')
    parser.add_argument(
        '--out', type=Path, metavar='DIR', help='folder to create; default: data/EXAMPLE'
    )
    args = parser.parse_args(argv)
    out = args.out or Path('data', args.example)
    with plain_errors():
        if out.is_dir() and any(out.iterdir()):
            print(f'{out} already exists; remove it to make it again')
            return
        partial = out.with_name(out.name + '.partial')
        shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted call
        with zipfile.ZipFile(download(PACKAGES[args.example], out.parent)) as package:
            made = MAKERS[args.example](package, partial)
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)
    print(f'made {out}: {made}')


def download(package: str, folder: Path) -> Path:
    """Download a wheel unless it exists.

    Raises:
        UserError: pip failed; the message quotes its last line.
    """
    name = package.replace('==', '-')
    if not list(folder.glob(f'{name}-*.whl')):
        print(f'downloading {package} into {folder}', flush=True)
        command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--quiet']
        command += ['--disable-pip-version-check', '--dest', str(folder), package]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ['no output'])[-1]
            raise UserError(
                f'pip could not download {package}: {reason}. Put the wheel into {folder} yourself'
            )
    (wheel, *_) = folder.glob(f'{name}-*.whl')
    return wheel


def tiles(width: int, height: int, side: int, *, overlap: bool) -> Iterator[Box]:
    """Cover an image with windows of at most `side`, side by side or overlapping by half."""
    if overlap:
        lefts, tops = ([*range(0, n - side, side // 2), n - side] for n in (width, height))
        yield from ((x, y, x + side, y + side) for y in tops for x in lefts)
        return
    xs, ys = (np.linspace(0, n, -(-n // side) + 1).round().astype(int) for n in (width, height))
    yield from (tuple(map(int, (x, y, right, bottom)))
                for y, bottom in pairwise(ys) for x, right in pairwise(xs))  # fmt: skip


def make_trees(package: zipfile.ZipFile, out: Path) -> str:
    """Write tiles with one class of boxes as COCO JSON, and the held-out photograph as a whole."""
    counts = []
    for split, names in {'train': TRAINED_ON, 'val': (HELD_OUT,)}.items():
        images: list[dict] = []
        annotations: list[dict] = []
        (out / split).mkdir(parents=True)
        for name in names:
            photograph = Image.open(io.BytesIO(package.read(f'deepforest/data/{name}.png')))
            boxes = read_boxes(package.read(f'deepforest/data/{name}.xml'))
            for tile in tiles(*photograph.size, TREE_SIDE, overlap=split == 'train'):
                here = [found for box in boxes if (found := cut(box, tile))]
                image = dict(id=len(images), file_name=f'{name}_{tile[0]}_{tile[1]}.png',
                             width=tile[2] - tile[0], height=tile[3] - tile[1])  # fmt: skip
                images.append(image)
                annotations += [dict(found, image_id=image['id'], id=len(annotations) + i + 1)
                                for i, found in enumerate(here)]  # fmt: skip
                photograph.convert('RGB').crop(tile).save(out / split / image['file_name'])
        if split == 'val':
            photograph.convert('RGB').save(out / 'held_out.png')
        counted = write_coco(out, split, images, annotations, 'tree')
        counts.append(f'{split} {len(images)} tiles with {counted} boxes')
    return ', '.join(counts)


def write_coco(
    out: Path, split: str, images: list[dict], annotations: list[dict], name: str
) -> int:
    """Write a split's annotations of one class, and return how many are not crowds."""
    file = out / 'annotations' / f'{split}.json'
    file.parent.mkdir(exist_ok=True)
    categories = [dict(id=1, name=name)]
    content = dict(images=images, annotations=annotations, categories=categories)
    file.write_text(json.dumps(content))
    return sum(not a['iscrowd'] for a in annotations)


def read_boxes(xml: bytes) -> np.ndarray:
    """Return (boxes, 4) zero-based corners in pixels of all trees, dead and alive."""
    corners = ('xmin', 'ymin', 'xmax', 'ymax')
    boxes = [[int(b.findtext(c)) for c in corners] for b in fromstring(xml).iter('bndbox')]
    return np.array(boxes) - (1, 1, 0, 0)  # Pascal VOC counts from 1


def cut(box: np.ndarray, tile: Box) -> dict | None:
    """Return the part of a box inside a tile as a COCO annotation."""
    left, top = np.maximum(box[:2], tile[:2])
    right, bottom = np.minimum(box[2:], tile[2:])
    if left >= right or top >= bottom:
        return None
    area = int((right - left) * (bottom - top))
    shown = area / int(np.prod(box[2:] - box[:2]))
    corner = [int(left - tile[0]), int(top - tile[1]), int(right - left), int(bottom - top)]
    return dict(bbox=corner, area=area, category_id=1, iscrowd=int(shown < VISIBLE))


def read_nuclei(package: zipfile.ZipFile) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return each split's part of the only image, and of its map of numbered nuclei."""
    parts = (Image.open(io.BytesIO(package.read(f'stardist/data/images/{name}2d.tif')))
             for name in ('img', 'mask'))  # fmt: skip
    image, mask = map(np.asarray, parts)
    middle = NUCLEI_TRAINED_ON
    columns = {'train': slice(0, middle), 'val': slice(middle, None)}
    return {  # the image's largest value is 235
        split: (image[:, part].astype(np.uint8), mask[:, part]) for split, part in columns.items()
    }


def make_nuclei(package: zipfile.ZipFile, out: Path) -> str:
    """Write tiles with label maps: 0 background, 1 nucleus."""
    counts = []
    for split, (pixels, numbers) in read_nuclei(package).items():
        cuts = list(tiles(*pixels.shape[::-1], NUCLEUS_SIDE, overlap=split == 'train'))
        names = (numbers > 0).astype(np.uint8)
        for kind, values in (('images', pixels), ('masks', names)):
            save_tiles(values, cuts, out / kind / split)
        counts.append(f'{split} {len(cuts)} tiles')
        if split == 'val':
            Image.fromarray(pixels).save(out / 'held_out.png')
    (out / 'classes.txt').write_text('background\nnucleus\n')
    return ', '.join(counts)


def make_nuclei_instances(package: zipfile.ZipFile, out: Path) -> str:
    """Write tiles, and a mask of each nucleus in COCO's layout."""
    counts = []
    for split, (pixels, numbers) in read_nuclei(package).items():
        cuts = list(tiles(*pixels.shape[::-1], NUCLEUS_SIDE, overlap=split == 'train'))
        save_tiles(pixels, cuts, out / split)
        whole = np.bincount(numbers.ravel())
        images, annotations = [], []
        for tile in cuts:
            left, top, right, bottom = tile
            image = dict(id=len(images) + 1, file_name=f'{left}_{top}.png', width=right - left,
                         height=bottom - top)  # fmt: skip
            images.append(image)
            for found in nuclei(numbers[top:bottom, left:right], whole):
                number = len(annotations) + 1
                annotations.append(dict(found, id=number, image_id=image['id']))
        counted = write_coco(out, split, images, annotations, 'nucleus')
        counts.append(f'{split} {len(images)} tiles with {counted} nuclei')
        if split == 'val':
            Image.fromarray(pixels).save(out / 'held_out.png')
    return ', '.join(counts)


def nuclei(numbers: np.ndarray, whole: np.ndarray) -> Iterator[dict]:
    """Yield the nuclei of a tile as COCO annotations.

    Args:
        numbers: the tile's map of numbered nuclei; 0 is background.
        whole: the pixels of each nucleus in the split, by its number.
    """
    from pycocotools import mask as coco_mask

    for number in np.unique(numbers[numbers > 0]):
        part = coco_mask.encode(np.asfortranarray(numbers == number).astype(np.uint8))
        area, box = int(coco_mask.area(part)), [float(v) for v in coco_mask.toBbox(part)]
        part['counts'] = part['counts'].decode()
        yield dict(bbox=box, area=area, category_id=1, segmentation=part,
                   iscrowd=int(area < VISIBLE * whole[number]))  # fmt: skip


def save_tiles(values: np.ndarray, cuts: list[Box], folder: Path) -> None:
    folder.mkdir(parents=True)
    for left, top, right, bottom in cuts:
        tile = Image.fromarray(values[top:bottom, left:right])
        tile.save(folder / f'{left}_{top}.png')


MAKERS = {
    'trees': make_trees,
    'nuclei': make_nuclei,
    'nuclei_instances': make_nuclei_instances,
}


if __name__ == '__main__':
    main()
