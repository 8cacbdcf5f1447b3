"""Which values or colours of a label map mean which class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

IGNORED = 255  # the label that MMSegmentation excludes from loss and metric
Value = int | tuple[int, int, int]


@dataclass(frozen=True)
class LabelMapping:
    """The raw value of each class.

    Args:
        values: the value of label 0, 1, ...: numbers, or colours (red, green, blue).
        ignored: raw values that become 255.
        threshold: the least grey value of label 1, if all smaller ones are label 0.
    """

    values: tuple[Value, ...] = ()
    ignored: tuple[Value, ...] = ()
    threshold: int | None = None

    @property
    def in_colours(self) -> bool:
        return any(isinstance(value, tuple) for value in (*self.values, *self.ignored))

    def labels(self) -> dict[int, int]:
        """Return raw value -> label, with colours packed as by `raw_values`; 255 stays ignored."""
        found = {} if self.in_colours else {IGNORED: IGNORED}
        found |= {_packed(value): label for label, value in enumerate(self.values)}
        return found | dict.fromkeys(map(_packed, self.ignored), IGNORED)

    def apply(self, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the labels of raw values of any shape, and whether each is known."""
        if self.threshold is not None:
            return (raw >= self.threshold).astype(np.uint8), np.ones(raw.shape, bool)
        known = self.labels()
        keys = np.array(sorted(known))
        place = np.searchsorted(keys, raw).clip(max=len(keys) - 1)
        labels = np.array([known[key] for key in keys], np.uint8)[place]
        there = keys[place] == raw
        return np.where(there, labels, IGNORED), there


def raw_values(image: Image.Image, *, in_colours: bool) -> np.ndarray:
    """Return an image's values: (H, W), or (H, W, C) for colours without `in_colours`.

    With `in_colours`, colours are packed into 24 bits, a palette counts as colours, and grey as
    equal red, green and blue. Without, equal red, green and blue count as one value.
    """
    if not in_colours:
        values = np.asarray(image)
        return values[..., 0] if has_equal_channels(values) else values
    colours = np.asarray(image.convert('RGB'), np.int32)
    return colours[..., 0] << 16 | colours[..., 1] << 8 | colours[..., 2]


def has_equal_channels(values: np.ndarray) -> bool:
    """Return whether red, green and blue are equal everywhere, as those of grey with alpha are."""
    return values.ndim > 2 and (
        values.shape[2] == 2 or bool((values[..., :1] == values[..., 1:3]).all())
    )


def read_raw(path: Path, *, in_colours: bool) -> np.ndarray:
    """Read a file's values; see `raw_values`. Pillow's errors are passed on."""
    with Image.open(path) as image:
        return raw_values(image, in_colours=in_colours)


def _packed(value: Value) -> int:
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def unpacked(value: int) -> tuple[int, int, int]:
    """Return the colour of a packed value."""
    return value >> 16, value >> 8 & 255, value & 255


def without(ignored: Sequence[int], number: int) -> LabelMapping:
    """Return the mapping that numbers the values in order, except those that are ignored."""
    left = (value for value in range(number + len(ignored)) if value not in ignored)
    return LabelMapping(tuple(v for v, _ in zip(left, range(number))), tuple(ignored))


def mapping_of(step: dict) -> LabelMapping:
    """Return the mapping in a pipeline's `LoadMappedAnnotations` step."""
    values, ignored = (
        tuple(tuple(v) if isinstance(v, list | tuple) else v for v in step.get(key) or ())
        for key in ('values', 'ignored')
    )
    return LabelMapping(values, ignored, step.get('threshold'))
