#!/usr/bin/env python
"""Make the embedded dataset: handwritten digits on photographs, as COCO instances and label maps.

Everything comes with scikit-learn: 1797 digits of 8 x 8 pixels and two photographs. No digit and no
piece of photograph is in both splits. A second call does nothing.
"""

import argparse
import json
import shutil
import time
from pathlib import Path

try:
    import cv2
    import numpy as np
    from numpy.random import Generator
    from pycocotools import mask as rle
    from sklearn.datasets import load_digits, load_sample_images
except ModuleNotFoundError:
    import backbones.cli.requirements  # noqa: F401, ends with what to install

    raise

SIDE = 96  # side of a scene; all lengths here are in pixels
HEIGHTS = (32, 46)  # height of a digit's 8 x 8 square before rotation, minimum and maximum
DIGITS = (2, 5)  # digits per scene, minimum and maximum
SPLITS = ('train', 'val')
VAL_DIGITS = 0.15  # share of the samples reserved for validation scenes
VAL_COLUMNS = 0.25  # share of each photograph, at its right, reserved for them
CONTRAST = 90  # minimum distance of a digit's colour from the mean behind it, RGB
TRIES = 100  # positions tried for a digit before a scene counts as full
SEED = 0


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('data/digits'),
        help='folder to create; default: data/digits',
    )
    parser.add_argument('--train', type=int, default=800, help='training scenes; default: 800')
    parser.add_argument('--val', type=int, default=60, help='validation scenes; default: 60')
    args = parser.parse_args(argv)
    counts = dict(train=args.train, val=args.val)
    if min(counts.values()) < 1:
        parser.error(f'--train is {args.train}, --val is {args.val}; allowed: at least 1')
    if args.out.is_dir() and any(args.out.iterdir()):
        if not is_made(args.out, counts):
            parser.error(f'{args.out} holds something else; remove it or choose another --out')
        print(f'{args.out} exists: {args.train} training and {args.val} validation scenes')
        return
    start = time.perf_counter()
    partial = args.out.with_name(args.out.name + '.partial')
    shutil.rmtree(partial, ignore_errors=True)  # left by an interrupted call
    for split in SPLITS:
        write_split(partial, split, counts)
    partial.rename(args.out)
    print(
        f'made {args.out}: {args.train} training and {args.val} validation scenes in '
        f'{time.perf_counter() - start:.0f} s'
    )


def describe(counts: dict[str, int]) -> dict:
    """Return the settings that determine the dataset, as stored in its annotation files."""
    return dict(
        description=__doc__.split('\n')[0],
        scenes=counts,
        side=SIDE,
        heights=list(HEIGHTS),
        digits=list(DIGITS),
        contrast=CONTRAST,
        seed=SEED,
    )


def is_made(folder: Path, counts: dict[str, int]) -> bool:
    """Return whether `folder` holds the dataset that these settings produce."""
    path = folder / 'annotations' / f'{SPLITS[-1]}.json'
    return path.is_file() and json.loads(path.read_text())['info'] == describe(counts)


def write_split(folder: Path, split: str, counts: dict[str, int]) -> None:
    """Write images, label maps (0 background, 1 + the digit) and COCO annotations of a split."""
    for kind in ('images', 'labels'):
        (folder / kind / split).mkdir(parents=True)
    images, annotations = [], []
    samples, photos = load_split(split)
    for i in range(counts[split]):
        rng = np.random.default_rng((SEED, SPLITS.index(split), i))
        scene, instances = compose(rng, samples, photos)
        labels = np.zeros((SIDE, SIDE), np.uint8)
        for sample, digit, mask in instances:
            labels[mask] = 1 + digit
            annotations.append(annotation(len(annotations) + 1, i, sample, digit, mask))
        cv2.imwrite(str(folder / 'images' / split / f'{i:04}.png'), scene[..., ::-1])
        cv2.imwrite(str(folder / 'labels' / split / f'{i:04}.png'), labels)
        images.append(dict(id=i, file_name=f'{i:04}.png', width=SIDE, height=SIDE))
    categories = [dict(id=1 + digit, name=str(digit)) for digit in range(10)]
    (folder / 'annotations').mkdir(exist_ok=True)
    (folder / 'annotations' / f'{split}.json').write_text(
        json.dumps(
            dict(
                info=describe(counts),
                images=images,
                annotations=annotations,
                categories=categories,
            )
        )
    )


def load_split(split: str) -> tuple[list[tuple[int, int, np.ndarray]], list[np.ndarray]]:
    """Load the material for a split's scenes.

    Returns:
        (sample number, digit, (8, 8) ink from 0 to 1) of each sample, and (H, W, 3) photographs.
    """
    digits = load_digits()
    order = np.random.default_rng(SEED).permutation(len(digits.target))
    cut = round(len(order) * VAL_DIGITS)
    samples = [
        (int(i), int(digits.target[i]), (digits.images[i] / 16).astype(np.float32))
        for i in (order[:cut] if split == 'val' else order[cut:])
    ]
    photos = []
    for photo in load_sample_images().images:
        column = round(photo.shape[1] * (1 - VAL_COLUMNS))
        photos.append(photo[:, column:] if split == 'val' else photo[:, :column])
    return samples, photos


def compose(
    rng: Generator, samples: list[tuple[int, int, np.ndarray]], photos: list[np.ndarray]
) -> tuple[np.ndarray, list[tuple[int, int, np.ndarray]]]:
    """Paste non-touching digits on a crop of a photograph; blur and add noise.

    Returns:
        The (SIDE, SIDE, 3) RGB scene, and (sample number, digit, (SIDE, SIDE) mask) of each digit.
    """
    photo = photos[rng.integers(len(photos))]
    top, left = (rng.integers(size - SIDE + 1) for size in photo.shape[:2])
    scene = photo[top : top + SIDE, left : left + SIDE].astype(np.float32)
    taken, instances = np.zeros((SIDE, SIDE), bool), []
    for _ in range(rng.integers(DIGITS[0], DIGITS[1] + 1)):
        sample, digit, ink = samples[rng.integers(len(samples))]
        alpha = place(rng, enlarge(rng, ink), taken)
        if alpha is None:
            break
        mask = alpha > 0.5
        scene += alpha[..., None] * (paint(rng, scene[mask].mean(0)) - scene)
        taken |= cv2.dilate(alpha, np.ones((3, 3))) > 0
        instances.append((sample, digit, mask))
    scene = cv2.GaussianBlur(scene, (3, 3), rng.uniform(0.1, 0.7))
    scene += rng.normal(0, rng.uniform(0, 8), scene.shape)
    return scene.clip(0, 255).round().astype(np.uint8), instances


def enlarge(rng: Generator, ink: np.ndarray) -> np.ndarray:
    """Enlarge, rotate and shear (8, 8) ink into a digit's (H, W) opacity, 0 to 1, with a margin."""
    angle, shear = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(-0.15, 0.15)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = rng.uniform(*HEIGHTS) / 8 * turn @ [[rng.uniform(0.85, 1.15), shear], [0, 1]]
    offset = SIDE / 2 - matrix @ [3.5, 3.5]
    ink = cv2.warpAffine(ink, np.c_[matrix, offset], (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    alpha = ((ink - 0.4) / 0.2).clip(0, 1)  # sharpens the strokes of the enlarged grey image
    y, x = np.nonzero(alpha)
    return alpha[y.min() - 1 : y.max() + 2, x.min() - 1 : x.max() + 2]


def place(rng: Generator, patch: np.ndarray, taken: np.ndarray) -> np.ndarray | None:
    """Place `patch` so that none of its pixels is `taken`.

    Returns:
        (SIDE, SIDE) opacity from 0 to 1, or None if no free position was found.
    """
    height, width = patch.shape
    for _ in range(TRIES):
        y, x = rng.integers(SIDE - height + 1), rng.integers(SIDE - width + 1)
        if not (taken[y : y + height, x : x + width] & (patch > 0)).any():
            alpha = np.zeros((SIDE, SIDE), np.float32)
            alpha[y : y + height, x : x + width] = patch
            return alpha
    return None


def paint(rng: Generator, behind: np.ndarray) -> np.ndarray:
    """Draw a colour gradient, (SIDE, SIDE, 3), unlike the mean colour `behind`."""
    while True:
        first = rng.uniform(0, 255, 3)
        ends = first, first + rng.uniform(-50, 50, 3)
        if min(np.linalg.norm(end.clip(0, 255) - behind) for end in ends) > CONTRAST:
            break
    direction = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    share = (x * np.cos(direction) + y * np.sin(direction) + 0.5).clip(0, 1)[..., None]
    return ((1 - share) * ends[0] + share * ends[1]).clip(0, 255)


def annotation(number: int, image: int, sample: int, digit: int, mask: np.ndarray) -> dict:
    """Return the COCO annotation of one digit, with its mask run-length encoded."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(
        id=number,
        image_id=image,
        category_id=1 + digit,
        bbox=rle.toBbox(code).tolist(),
        area=int(rle.area(code)),
        iscrowd=0,
        segmentation=dict(size=code['size'], counts=code['counts'].decode()),
        sample=sample,  # number in scikit-learn's digits
    )


if __name__ == '__main__':
    main()
