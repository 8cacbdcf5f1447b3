"""How an image's pixels become a model's input."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Preprocessing:
    """How an image's pixels become the model's input.

    Args:
        mean, std: one value per channel in the model's order, for pixels from 0 to 255.
        rgb: whether the model's order is RGB, not BGR.
        divisor: images are padded at the right and bottom to multiples of this, in pixels.
        colours: whether images are 8-bit RGB, and not any number of channels of any range.
    """

    mean: Sequence[float]
    std: Sequence[float]
    rgb: bool
    divisor: int
    colours: bool = True

    @property
    def channels(self) -> int:
        return len(self.mean)

    @property
    def as_they_are(self) -> bool:
        """Whether the model and the images have the same order of channels."""
        return self.rgb or not self.colours
