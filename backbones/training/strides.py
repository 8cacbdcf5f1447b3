"""Checking that the configured strides of a detector's parts match the maps that they get."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

Sides = tuple[int, int]


@contextlib.contextmanager
def watched(model: nn.Module) -> Iterator[list[str]]:
    """Compare strides during a call of the model, and yield a list that receives differences.

    It covers heads with anchors or points (`prior_generator.strides`) and the parts that cut
    regions out of maps (`featmap_strides`). With wrong strides nothing else fails: boxes would be
    learnt, or features taken, in the wrong places.
    """
    said: dict[str, str] = {}
    image: list[Sides] = []  # height and width of the batch

    def remember(_: nn.Module, inputs: tuple) -> None:
        image[:] = [inputs[0].shape[-2:]]

    def compare(name: str, strides: Sequence, _: nn.Module, inputs: tuple) -> None:
        known = image and inputs and isinstance(inputs[0], list | tuple)
        if known and (differs := contradiction(strides, image[0], inputs[0])):
            said.setdefault(name, f'model.{name} {differs}')

    with contextlib.ExitStack() as hooks:
        for name, part in model.named_modules():
            if name.rpartition('.')[2] == 'backbone':
                hooks.callback(part.register_forward_pre_hook(remember).remove)
            key, strides = _strides_of(part)
            if strides is not None:
                look = partial(compare, f'{name}.{key}', strides)
                hooks.callback(part.register_forward_pre_hook(look).remove)
        found: list[str] = []
        try:
            yield found
        finally:
            found += said.values()


def _strides_of(part: Any) -> tuple[str, Sequence | None]:
    generator: Any = getattr(part, 'prior_generator', None)
    if hasattr(generator, 'strides'):
        return 'prior_generator.strides', generator.strides
    return 'featmap_strides', getattr(part, 'featmap_strides', None)


def contradiction(strides: Sequence, image: Sides, maps: Sequence[Tensor]) -> str:
    """Describe configured strides that differ from the maps' by more than a cell; '' if none do.

    Args:
        strides: for each map, a number or (horizontal, vertical).
        image: height and width of the images in pixels.
        maps: (N, C, h, w) each.
    """
    told = [s if isinstance(s, list | tuple) else (s, s) for s in strides]
    pairs = [(side / step, cells) for (across, down), level in zip(told, maps)
             for side, step, cells in zip(image, (down, across), level.shape[-2:])]  # fmt: skip
    if all(abs(expected - cells) <= 1 for expected, cells in pairs):
        return ''
    measured = ', '.join(f'{image[1] / level.shape[-1]:g}' for level in maps)
    said = ', '.join(f'{across:g}' for across, _ in told)
    return f'is {said}, but images of {image[1]} pixels give maps of the strides {measured}'
