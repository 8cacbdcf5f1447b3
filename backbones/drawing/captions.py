"""Titles above pictures and legends below them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
import supervision as sv
from PIL import Image, ImageDraw, ImageFont

Picture = npt.NDArray[np.uint8]
# OpenCV's font has no umlauts; matplotlib ships one with Latin, Greek and Cyrillic letters
FONT = str(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'))
PAPER = (255, 255, 255)
INK = (20, 20, 20)
ENTRIES = 24  # maximum number of entries in a legend; the rest are counted


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of all pictures.

    Args:
        size: line height in pixels.
    """
    return ImageFont.truetype(FONT, size)


def title(text: str, width: int, size: int) -> Picture:
    """Draw a strip with a centred line of text.

    Args:
        text: one line; shrunk if it is too long.
        width: width of the strip in pixels.
        size: font size in pixels.

    Returns:
        (2 * size, width, 3) RGB.
    """
    strip = Image.new('RGB', (width, 2 * size), PAPER)
    length = font(size).getlength(text)
    fitting = font(max(6, int(size * min(1, 0.95 * width / length))))
    ImageDraw.Draw(strip).text((width // 2, size), text, INK, fitting, anchor='mm')
    return np.asarray(strip)


def legend(entries: Sequence[tuple[str, sv.Color]], width: int, size: int) -> Picture:
    """Draw colour patches with their names, in as many lines as needed.

    Args:
        entries: text and colour.
        width: width of the strip in pixels.
        size: font size in pixels.

    Returns:
        (height, width, 3) RGB; without entries the height is 0.
    """
    more = len(entries) - ENTRIES
    shown = [*entries[:ENTRIES], *([(f'and {more} more', sv.Color(*PAPER))] if more > 0 else [])]
    places, x, y = [], size // 2, 0
    for text, _ in shown:
        taken = int(font(size).getlength(text)) + 3 * size
        if x > size and x + taken > width:
            x, y = size // 2, y + 2 * size
        places.append((x, y))
        x += taken
    strip = Image.new('RGB', (width, y + 2 * size if shown else 0), PAPER)
    brush = ImageDraw.Draw(strip)
    for (text, colour), (x, y) in zip(shown, places):
        brush.rectangle((x, y + size // 2, x + size, y + 3 * size // 2), fill=colour.as_rgb())
        brush.text((x + 3 * size // 2, y + size), text, INK, font(size), anchor='lm')
    return np.asarray(strip)


def on_paper(image: Picture, width: int, height: int) -> Picture:
    """Pad an image with white at the right and the bottom."""
    below, right = height - image.shape[0], width - image.shape[1]
    white = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
    return np.asarray(white, np.uint8)
