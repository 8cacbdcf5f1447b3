"""Whether the masks or scores of an image fit into memory, before the system ends the process."""

import sys
from pathlib import Path

from mmengine.config import Config

from backbones.errors import UserError
from backbones.openmmlab.config_tree import has_mask_head

SCORE = 4  # bytes of a score of a class at a pixel; a mask's pixel takes one
GIB = 1 << 30
INFO = Path('/proc/meminfo')


class TooLargeError(UserError):
    """An image whose result would not fit into memory."""


def bytes_per_pixel(cfg: Config, classes: int) -> int:
    """What a model's result takes for each pixel of the image, before the best of it are kept.

    Args:
        cfg: of a detector or segmentor.
        classes: their number.
    """
    if cfg.default_scope == 'mmseg':
        return SCORE * classes
    if not has_mask_head(cfg.model):
        return 0
    rules = cfg.model.get('test_cfg') or {}
    rules = rules.get('rcnn', rules)
    masks = rules.get('max_per_img', rules.get('max_per_image', 100))
    return masks * (SCORE if cfg.model.get('panoptic_head') else 1)  # Mask2Former's are scores


def check_memory(pixels: int, each: float, *, remedy: str) -> None:
    """Compare what a result takes with what is free.

    Args:
        pixels: of the image.
        each: see `bytes_per_pixel`.
        remedy: what to do about it.

    Raises:
        TooLargeError: it does not fit.
    """
    need, free = pixels * each, available()
    if need > free:
        raise TooLargeError(
            f'its {pixels / 1e6:.0f} megapixels need {need / GIB:.2f} GiB of memory for what is '
            f'found, and {free / GIB:.2f} GiB are free; {remedy}'
        )


def available() -> int:
    """Bytes of memory that can be used without swapping, as Linux estimates it.

    Other systems do not tell; there nothing is refused.
    """
    if not INFO.is_file():
        return sys.maxsize
    lines = INFO.read_text().splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith('MemAvailable:'))
    return int(kib) << 10
