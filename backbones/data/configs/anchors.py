"""Anchor boxes of a detector, and those that fit a dataset's boxes."""

from collections.abc import Iterator

import numpy as np

NEEDED = 0.5  # IoU at which MMDetection's detectors assign an anchor to a box
ENOUGH = 0.98  # share of boxes with an anchor beyond which more anchors are not worth it
BASES = (1.5, 2, 2.5, 3, 4, 5, 6, 8)  # sides of the smallest anchor of a level, in strides
SQUARE = [1.0]
USUAL = [0.5, 1.0, 2.0]


def shapes(generator: dict) -> np.ndarray:
    """Return the widths and heights of all anchors, in pixels: (k, 2).

    Args:
        generator: settings of MMDetection's AnchorGenerator.

    Source: mmdet/models/task_modules/prior_generators/anchor_generator.py.
    """
    scales = generator.get('scales')
    if scales is None:
        octaves = generator['scales_per_octave']
        scales = [generator['octave_base_scale'] * 2 ** (i / octaves) for i in range(octaves)]
    strides = [stride if isinstance(stride, int) else stride[0] for stride in generator['strides']]
    sides = np.outer(generator.get('base_sizes') or strides, scales).ravel()
    roots = np.sqrt(np.array(generator['ratios']))  # ratios are height / width
    return np.stack([np.outer(sides, 1 / roots), np.outer(sides, roots)], -1).reshape(-1, 2)


def best_overlaps(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Return each box's largest IoU with an anchor at the same centre: (m, 2), (k, 2) -> (m,)."""
    both = np.minimum(boxes[:, None], anchors).prod(-1)
    return (both / (boxes.prod(-1)[:, None] + anchors.prod(-1) - both)).max(1)


def share_without(boxes: np.ndarray, generator: dict) -> float:
    """Return the share of boxes that have no anchor of IoU `NEEDED`."""
    return float((best_overlaps(boxes, shapes(generator)) < NEEDED).mean())


def fitted_anchors(boxes: np.ndarray, generator: dict) -> dict:
    """Return the generator settings that leave the fewest boxes without an anchor.

    The levels stay. Among settings that leave few enough, those with the fewest shapes win.

    Args:
        boxes: (m, 2) widths and heights at the model's scale.
        generator: the base's.
    """
    return min(_candidates(boxes, generator), key=lambda made: _order(boxes, made))


def _order(boxes: np.ndarray, made: dict) -> tuple[float, int, float]:
    overlaps = best_overlaps(boxes, shapes(made))
    missed = max(float((overlaps < NEEDED).mean()), 1 - ENOUGH)
    return missed, len(made['ratios']), -float(overlaps.mean())


def _candidates(boxes: np.ndarray, generator: dict) -> Iterator[dict]:
    tall = boxes[:, 1] / boxes[:, 0]
    own = [float(f'{ratio:.2g}') for ratio in np.quantile(tall, (0.15, 0.5, 0.85))]
    key = 'scales' if generator.get('scales') else 'octave_base_scale'
    for ratios in (SQUARE, own[1:2], USUAL, own):
        for base in BASES:
            scales = [base] if key == 'scales' else base
            yield dict(generator, ratios=ratios, **{key: scales})
