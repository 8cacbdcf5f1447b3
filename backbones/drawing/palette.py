"""Names and colours of a dataset's classes."""

from collections.abc import Mapping
from colorsys import hsv_to_rgb

import numpy as np
import supervision as sv

from backbones.errors import shown

# lower-case names of the background class
BACKGROUND = ('background', '_background_', '__background__', 'bg', 'unlabeled', 'unlabelled')


class Classes:
    """A name and a colour for each class.

    Args:
        meta: a dataset's metainfo: `classes`, the names, and perhaps `palette`, RGB from 0 to 255,
            which is used if it belongs to these classes; otherwise the colours are fixed ones.
    """

    def __init__(self, meta: Mapping) -> None:
        self.names = [str(name) for name in meta.get('classes') or ()]
        self.colours = _given(meta.get('palette'), len(self.names)) or _fixed(self.names)
        dark = [0.299 * c.r + 0.587 * c.g + 0.114 * c.b < 140 for c in self.colours.colors]
        #: black or white, whichever is readable on each colour
        self.letters = sv.ColorPalette([sv.Color.WHITE if d else sv.Color.BLACK for d in dark])

    def name(self, number: int) -> str:
        """Return a class's name on one line, or 'class NUMBER' if it has no name."""
        return shown(self.names[number]) if number < len(self.names) else f'class {number}'

    def shows(self, label: int) -> bool:
        """Return whether pixels with a label are painted; "ignore" and background are not.

        Labels beyond the classes, such as 255, are "ignore". Background is recognised by its name,
        not its number: in a dataset without one, label 0 is a normal class, like ADE20K's wall.
        """
        if not 0 <= label < (len(self.names) or 255):
            return False
        return self.name(label).lower() not in BACKGROUND


def _given(palette: object, number: int) -> sv.ColorPalette | None:
    """Return a dataset's own palette; None if it has none."""
    colours = np.asarray(palette).tolist() if isinstance(palette, list | tuple | np.ndarray) else []
    # COCO's 80 colours remain on datasets that name other classes, and MMSegmentation draws random
    # colours if a dataset has none
    lots = np.random.RandomState(42).randint(0, 255, (number, 3)).tolist()
    if not colours or len(colours) != (number or len(colours)) or colours == lots:
        return None
    return sv.ColorPalette([sv.Color(*map(int, colour)) for colour in colours])


def _fixed(names: list[str]) -> sv.ColorPalette:
    """Return one colour per class; background does not use one up."""
    number = sum(name.lower() not in BACKGROUND for name in names)
    colours = sv.ColorPalette.DEFAULT.colors
    if number > len(colours):
        wheel = (hsv_to_rgb(i / number, 1, 1 - i % 2 / 3) for i in range(number))
        colours = [sv.Color(*(round(255 * v) for v in colour)) for colour in wheel]
    left = iter(colours)
    grey = sv.Color.GREY
    own = [grey if name.lower() in BACKGROUND else next(left) for name in names]
    return sv.ColorPalette(own or colours)
