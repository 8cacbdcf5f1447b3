"""What limits a model, in one sentence each: for the results page and the terminal."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from backbones.errors import listed, shown
from backbones.report.doubts import ANY, CERTAIN, SURE
from backbones.report.scores import SCORE, Scores, iou

OFTEN = 0.05  # share of a class above which a mistake is worth a sentence
FEW = 3  # fewer boxes are chance
WORSE = 0.75  # AP of small objects relative to the AP of all
RARE = 0.1  # if a larger share of the labels looks wrong, the model is to blame
NAMED = 3  # images that a sentence names


def limits(
    scores: Scores, metrics: Mapping[str, float], class_ap: Mapping[str, float]
) -> list[str]:
    """Return what limits a model, the most important first; none if nothing stands out.

    Args:
        scores: gathered from all processes.
        metrics: what the evaluator returned.
        class_ap: average precision by class, if it was measured.
    """
    if scores.matrix is None:
        return []
    return [
        *_mistakes(scores),
        *_small(metrics),
        *_classes(scores, class_ap),
        *(_boxes(scores) if scores.detection else _pixels(scores)),
    ]


def _mistakes(scores: Scores) -> Iterator[str]:
    """Say which class is most often mistaken for another, and which one is most often missed."""
    matrix, names = scores.matrix, [*map(shown, scores.classes)]
    assert matrix is not None
    number, sums = len(names), matrix.sum(1)
    unit, least = ('boxes', FEW) if scores.detection else ('pixels', 1)
    between = np.where(np.eye(number, dtype=bool), 0, matrix[:number, :number])
    i, j = np.unravel_index(between.argmax(), between.shape)
    if between[i, j] >= max(least, OFTEN * sums[i]):
        share = _share(between[i, j], sums[i], unit)
        yield f'Confusion: {names[i]} is mistaken for {names[j]}, {share}.'
    if scores.detection:
        missed = matrix[:number, number]
        i = missed.argmax()
        if missed[i] >= max(least, OFTEN * sums[i]):
            share = _share(missed[i], sums[i], unit)
            yield f'Missed: {names[i]} is not found with a score of at least {SCORE:g}, {share}.'


def _share(part: float, whole: float, unit: str) -> str:
    return f'{part} of {whole} {unit} ({part / whole:.0%})'


def _small(metrics: Mapping[str, float]) -> Iterator[str]:
    for kind in ('segm', 'bbox'):
        small, whole = (metrics.get(f'coco/{kind}_mAP{size}', -1) for size in ('_s', ''))
        if 0 <= small < WORSE * whole:
            yield (
                f'Small objects: AP {small:.3f} for those below 32 x 32 pixels, {whole:.3f} for '
                'all; use larger images, or --tile for predictions, to make them larger.'
            )
            return


def _classes(scores: Scores, class_ap: Mapping[str, float]) -> Iterator[str]:
    matrix, names = scores.matrix, [*map(shown, scores.classes)]
    assert matrix is not None
    number = matrix.sum(1)[: len(names)]
    if unseen := [name for name, n in zip(names, number) if not n]:
        yield f'Not measured, because these images have no examples: {listed(unseen)}.'
    if scores.detection:
        right = np.diag(matrix)[: len(names)]
        values = np.array([class_ap.get(name, np.nan) for name in scores.classes])
        zero = np.where(np.isnan(values), right == 0, values == 0)
    else:
        zero = iou(matrix) == 0
    never = [
        f'{name} ({n} in these images)' for name, n, at in zip(names, number, zero) if at and n
    ]
    if never:
        yield f'Never predicted correctly: {listed(never)}.'


def _boxes(scores: Scores) -> Iterator[str]:
    doubts = scores.doubts
    labels = sum(doubt.labels for doubt in doubts.values())
    for what, counts in (
        (
            'Labels that may be missing, {} in all (no label is near a prediction with a score of '
            f'at least {SURE:g})',
            {path: doubt.missing for path, doubt in doubts.items()},
        ),
        (
            'Labels that may name a wrong class, {} in all (another class is predicted with a '
            f'score of at least {SURE:g})',
            {path: doubt.other for path, doubt in doubts.items()},
        ),
        (
            'Labels that may be wrong, {} in all (no prediction is near, even with a score of '
            f'{ANY:g})',
            {path: doubt.unfound for path, doubt in doubts.items()},
        ),
    ):
        total = sum(counts.values())
        if 0 < total <= RARE * max(labels, 1):
            most = sorted(filter(counts.get, counts), key=lambda path: (-counts[path], path))
            yield f'{what.format(total)}: {_named(most, (counts[path] for path in most))}.'


def _pixels(scores: Scores) -> Iterator[str]:
    doubts = {path: doubt for path, doubt in scores.doubts.items() if doubt.labels}
    labels = sum(doubt.labels for doubt in doubts.values())
    other = sum(doubt.other for doubt in doubts.values())
    shares = {path: doubt.other / doubt.labels for path, doubt in doubts.items()}
    most = sorted((p for p in shares if shares[p] >= OFTEN), key=lambda p: (-shares[p], p))
    if most and other <= RARE * labels:
        yield (
            f'Labels that may be wrong: these images have the most pixels where another class '
            f'has a probability of at least {CERTAIN:g}: '
            f'{_named(most, (f"{shares[path]:.0%}" for path in most))}.'
        )


def _named(paths: list[str], numbers: Iterable[object]) -> str:
    some = [f'{shown(Path(path).name)} ({n})' for path, n in zip(paths, numbers)][:NAMED]
    more = f' and {len(paths) - NAMED} more images' if len(paths) > NAMED else ''
    return f'{", ".join(some)}{more}'
