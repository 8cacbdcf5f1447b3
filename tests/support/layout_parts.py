"""Shared by the generators of layouts: a tiny dataset, and what a reader must find in it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from own_data import SIZE, noise
from PIL import Image

NAMES = ('cat', 'dög')
BOTH = {'train': 4, 'val': 2}
WHOLE = {'train': 4}  # undivided
W, H = SIZE


@dataclass
class Layout:
    """A folder as a program writes it.

    Args:
        make: writes it; returns the folder to pass to a command if it is a different one.
        splits: number of images in each split.
        masks: whether a reader finds masks of the instances.
        maps: whether it holds label maps.
        classes: the names that a reader finds.
        options: arguments of `check` without which it is refused.
        warns: kinds of expected warnings, besides missing splits and classes.
    """

    make: Callable[[Path], Path | None]
    splits: dict[str, int]
    masks: bool = False
    maps: bool = False
    classes: tuple[str, ...] = NAMES
    options: dict = field(default_factory=dict)
    warns: set[str] = field(default_factory=set)


LAYOUTS: dict[str, Layout] = {}


def layout(name: str, splits: dict[str, int] = BOTH, **more: object) -> Callable:
    """Register the generator of a layout."""

    def keep(make: Callable) -> Callable:
        LAYOUTS[name] = Layout(make, splits, **more)
        return make

    return keep


def names_of(split: str, splits: dict[str, int] = BOTH) -> list[str]:
    return [f'{split}_{i}' for i in range(splits[split])]


def objects(i: int) -> list[tuple[int, list[int]]]:
    """Return class and box [x, y, width, height] of the one or two objects in image i."""
    return [((i + j) % 2, [8 + 24 * j, 8 + i, 16, 20]) for j in range(1 + i % 2)]


def number_of_objects(images: int) -> int:
    return sum(len(objects(i)) for i in range(images))


def hexagon(box: list[int]) -> list[float]:
    """The corners x1 y1 x2 y2 ... of a polygon that touches the four sides of a box."""
    x, y, w, h = box
    return [x, y + h / 2, x + w / 4, y, x + 3 * w / 4, y, x + w, y + h / 2,
            x + 3 * w / 4, y + h, x + w / 4, y + h]  # fmt: skip


def pairs(flat: list[float]) -> list[list[float]]:
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def photo(path: Path) -> str:
    """Write an image unlike any other."""
    noise(path)
    return path.name


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding='utf-8')


def save(path: Path, content: object) -> None:
    text(path, json.dumps(content))


def label_map(i: int, values: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    """The label map of image i: 0 is background, 1 and 2 are the classes of its objects."""
    labels = np.full((H, W), values[0], np.uint8)
    for kind, (x, y, w, h) in objects(i):
        labels[y : y + h, x : x + w] = values[1 + kind]
    return labels


def instance_map(i: int) -> np.ndarray:
    """The instance map of image i, with 1, 2, ... for its objects."""
    labels = np.zeros((H, W), np.uint8)
    for number, (_, (x, y, w, h)) in enumerate(objects(i), 1):
        labels[y : y + h, x : x + w] = number
    return labels


def save_map(path: Path, labels: np.ndarray, colours: list | None = None, *,
             indexed: bool = False) -> None:  # fmt: skip
    """Write a label map: grey, in colours, or with a palette of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if indexed:
        image = Image.fromarray(labels).convert('P')
        image.putdata(labels.ravel().tolist())
        palette = [*(colours or []), *[(9, 9, 9)] * 256][:255]
        image.putpalette([v for colour in [*palette, (224, 224, 192)] for v in colour])
        image.save(path)
    elif colours:
        Image.fromarray(np.array(colours, np.uint8)[labels]).save(path)
    else:
        Image.fromarray(labels).save(path)
