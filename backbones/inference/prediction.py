"""What a model found in one image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.drawing.pictures import Half, picture


@dataclass
class Prediction:
    """The instances or the label map found in one image.

    Args:
        path: the file.
        image: (H, W, 3) RGB, uint8. For models that read all channels, it shows three of them,
            stretched.
        found: instances, supervision's Detections with `xyxy` in pixels, `class_id`, `confidence`
            and perhaps `mask`; or an (H, W) label map.
        meta: the class names, `classes`, and perhaps their `palette`.
        notes: surprising steps in reading the image, if any.
        seconds: time that the model took.
    """

    path: Path
    image: Picture
    found: Found
    meta: Mapping
    notes: list[str]
    seconds: float

    def picture(self) -> Picture:
        """Draw the result on the image, (H, W, 3) RGB; a small image is enlarged."""
        return picture(self.image, [Half('', self.found)], self.meta)
