"""Names and colours of a dataset's classes."""

from collections.abc import Mapping
from colorsys import hsv_to_rgb

import numpy as np
import supervision as sv

from backbones.errors import shown

# names, in lower case, of the class of pixels that show nothing
BACKGROUND = ('background', '_background_', '__background__', 'bg', 'unlabeled', 'unlabelled')


class Classes:
    """One name and one colour for each class.

    Args:
        meta: a dataset's metainfo: `classes`, the names, and perhaps `palette`, RGB from 0 to 255,
            which is taken if it is of these classes; else the colours are fixed ones.
    """

    def __init__(self, meta: Mapping) -> None:
        self.names = [str(name) for name in meta.get('classes') or ()]
        self.colours = _given(meta.get('palette'), len(self.names)) or _fixed(self.names)
        dark = [0.299 * c.r + 0.587 * c.g + 0.114 * c.b < 140 for c in self.colours.colors]
        #: black or white, whichever can be read on each of the colours
        self.letters = sv.ColorPalette([sv.Color.WHITE if d else sv.Color.BLACK for d in dark])

    def name(self, number: int) -> str:
        """The name of a class, as one line; a number without a name stands for itself."""
        return shown(self.names[number]) if number < len(self.names) else f'class {number}'

    def shows(self, label: int) -> bool:
        """Whether pixels with a label are painted: "ignore" and background are not.

        Labels beyond the classes, such as 255, are "ignore". Background is told by its name, not by
        its number: label 0 of a dataset without one, such as ADE20K's wall, is a class like others.
        """
        if not 0 <= label < (len(self.names) or 255):
            return False
        return self.name(label).lower() not in BACKGROUND


def _given(palette: object, number: int) -> sv.ColorPalette | None:
    """A dataset's own palette; None if it has none."""
    colours = np.asarray(palette).tolist() if isinstance(palette, list | tuple | np.ndarray) else []
    # 80 of COCO stay with a dataset that names other classes, and MMSegmentation draws lots where
    # a dataset has none
    lots = np.random.RandomState(42).randint(0, 255, (number, 3)).tolist()
    if not colours or len(colours) != (number or len(colours)) or colours == lots:
        return None
    return sv.ColorPalette([sv.Color(*map(int, colour)) for colour in colours])


def _fixed(names: list[str]) -> sv.ColorPalette:
    """As many colours as classes; background takes none from the others."""
    number = sum(name.lower() not in BACKGROUND for name in names)
    colours = sv.ColorPalette.DEFAULT.colors
    if number > len(colours):
        wheel = (hsv_to_rgb(i / number, 1, 1 - i % 2 / 3) for i in range(number))
        colours = [sv.Color(*(round(255 * v) for v in colour)) for colour in wheel]
    left = iter(colours)
    grey = sv.Color.GREY
    own = [grey if name.lower() in BACKGROUND else next(left) for name in names]
    return sv.ColorPalette(own or colours)
