"""An exported file's metadata, checked before anything relies on them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from backbones.data.files.numbers import is_id, is_number
from backbones.errors import UserError

FORMAT = 1  # version of these facts; see docs/export.md
MOST = dict(scale=1 << 16, scale_factor=1 << 10)  # limits for arguments of Resize: pixels, ratio
LARGEST_DIVISOR = 4096  # of a side, in pixels
Check = tuple[Callable[[Any], bool], str]  # whether a value is allowed, and what is allowed


def _is_count(value: object, least: int = 1) -> bool:
    return is_id(value) and value >= least


def _is_divisor(value: Any) -> bool:
    return _is_count(value) and value <= LARGEST_DIVISOR


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: Any, each: Callable[[Any], bool], length: int | None = None) -> bool:
    return isinstance(value, list) and length in (None, len(value)) and all(map(each, value))


def _is_colour(value: Any) -> bool:
    return _is_list(value, lambda v: _is_count(v, 0) and v < 256, 3)


def _is_window(value: Any) -> bool:
    sides = ('size', 'stride')
    if not isinstance(value, dict) or not all(_is_list(value.get(k), _is_count, 2) for k in sides):
        return False
    return all(step <= side for side, step in zip(value['size'], value['stride']))


def _is_step(value: Any) -> bool:
    """Return whether a value is a transform; its relevant arguments must be numbers."""
    if not isinstance(value, dict) or not isinstance(value.get('type'), str):
        return False
    said = {key: value[key] for key in MOST if value.get(key) is not None}
    if value['type'].endswith('Resize') and not said:
        return False
    for key, sides in said.items():
        numbers = sides if isinstance(sides, list) else [sides, sides]
        if len(numbers) != 2 or not all(is_number(v) and 0 < v <= MOST[key] for v in numbers):
            return False
    return _is_divisor(value.get('size_divisor', 1))


TEXT: Check = _is_text, 'text'
KNOWN: dict[str, Check] = dict(
    format=(_is_count, f'a number from 1 to {FORMAT}'),
    version=TEXT,
    task=TEXT,
    input=TEXT,
    values=TEXT,
    classes=(lambda v: _is_list(v, _is_text), 'a list of names'),
    class_count=(_is_count, 'a number from 1'),
    palette=(lambda v: _is_list(v, _is_colour), 'a list of [red, green, blue] from 0 to 255'),
    bands=(lambda v: _is_list(v, lambda n: _is_count(n, 0), 3), 'three numbers of channels'),
    mean=(lambda v: _is_list(v, is_number), 'a list of numbers'),
    pad_to_multiples_of=(_is_divisor, f'a number from 1 to {LARGEST_DIVISOR}'),
    mask_threshold=(_is_share, '0 to 1'),
    foreground_threshold=(_is_share, '0 to 1'),
    mask_frame=(lambda v: v in ('box', 'image'), 'box, image'),
    sliding_window=(_is_window, 'size and stride in pixels, the latter not larger'),
    transforms=(lambda v: _is_list(v, _is_step), "a list of a config's transforms"),
)


def read_about(path: str, stored: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts that predictions use, without those that are missing or null.

    Args:
        path: the file's path, for errors.
        stored: its metadata, text or JSON; other programs' keys are ignored.

    Raises:
        UserError: a fact has the wrong type.
    """
    found, faults = {}, []
    for key, (is_allowed, allowed) in KNOWN.items():
        said = stored.get(key, 'null')
        try:
            value = said if is_allowed is _is_text or key == 'mask_frame' else json.loads(said)
        except (ValueError, RecursionError):
            value = said
        if value is None or said == 'null':
            continue
        if not is_allowed(value):
            faults.append(f'{key} is {said[:60]}; allowed: {allowed}')
        found[key] = value
    newer: Any = found.get('format')
    if _is_count(newer, FORMAT + 1):
        version = found.get('version')
        raise UserError(f'{path} was written by version {version} of this package: update to it')
    if faults:
        raise UserError(
            f'{path}: its metadata are not those of tools/export.py: {"; ".join(faults)}. Export '
            'it again'
        )
    return found
