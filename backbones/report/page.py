"""Writing the results page: one HTML file with its pictures beside it, readable offline."""

import html
from collections.abc import Sequence
from numbers import Real
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from backbones import atomic_write
from backbones.drawing.pictures import save
from backbones.drawing.samples import side_by_side
from backbones.errors import shown
from backbones.pixels import view
from backbones.report.curves import PLAIN_TEXT, draw_curves, read_curves
from backbones.report.scores import IOU, SCORE, Example, Scores, f1, iou, mean_iou

NUMBERED = 15  # maximum number of classes for which the confusion matrix shows numbers
NAMED = 150  # maximum number of classes with readable names beside it
CONFUSIONS = 10  # number of confusions to list
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .2rem .8rem; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% } figure { margin: 1rem 0 } figcaption { color: #555 }
"""


def write_page(
    work_dir: Path,
    *,
    about: str,
    metrics: dict[str, float],
    scores: Scores,
    class_ap: dict[str, float],
    meta: dict,
    limits: Sequence[str] = (),
) -> Path:
    """Write `results/index.html` and its pictures.

    Args:
        work_dir: the run's work dir, which holds its logs.
        about: what was evaluated, in one sentence.
        metrics: what the evaluator returned.
        scores: scores of the same images, from all processes.
        class_ap: average precision by class, 0 to 1; empty for label maps.
        meta: the dataset's metainfo.
        limits: what limits the model; see `backbones.report.weaknesses`.

    Returns:
        The path of the page.
    """
    folder = work_dir / 'results'
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob('*.jpg'):
        old.unlink()
    title = shown(f'Results: {work_dir.resolve().name}')
    parts = [f'<h1>{html.escape(title)}</h1>', f'<p>{html.escape(shown(about))}</p>']
    if limits:
        items = ''.join(f'<li>{html.escape(shown(line))}</li>' for line in limits)
        parts += ['<h2>What limits the model</h2>', f'<ul>{items}</ul>']
    if metrics:
        parts += ['<h2>Metrics</h2>', _metrics(metrics)]
    curves = read_curves(work_dir)
    if curves.losses or curves.metrics:
        draw_curves(curves, folder / 'curves.png')
        parts += ['<h2>Training</h2>', _image('curves.png', 'all runs in this work dir')]
    if scores.matrix is None:
        parts.append('<p>No evaluated image has boxes or label maps both as ground truth and as '
                     'prediction, so there are no results by class or image.</p>')  # fmt: skip
    else:
        draw_matrix(scores, folder / 'confusion.png')
        parts += [*_classes(scores, class_ap, metrics), *_confusions(scores)]
        parts += _examples('Worst images', 'worst', scores.worst, folder, scores, meta)
        parts += _examples('Best images', 'best', scores.best, folder, scores, meta)
    page = folder / 'index.html'
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    text = '\n'.join(['<!doctype html>', f'<html lang="en"><head>{head}</head><body>', *parts])
    atomic_write.write(page, f'{text}\n</body></html>\n'.encode())
    return page


def _metrics(metrics: dict[str, float]) -> str:
    # COCO reports -1 if there was nothing to measure
    measured = {k: v for k, v in metrics.items() if isinstance(v, Real) and v >= 0}
    rows = [[name.rpartition('/')[2], f'{value:.4g}'] for name, value in measured.items()]
    return _table(['metric', 'value'], rows)


def _classes(scores: Scores, class_ap: dict[str, float], metrics: dict[str, float]) -> list[str]:
    """Format the results by class, worst first."""
    matrix, names = scores.matrix, scores.classes
    assert matrix is not None
    if not scores.detection:
        values, title = iou(matrix), ['class', 'IoU', 'recall', 'precision', 'share of pixels']
        whole = (
            f'IoU by class over {len(scores.counts)} images; the mean is {mean_iou(matrix):.3f}.'
        )
    else:
        values = np.array([class_ap.get(name, np.nan) for name in names])
        title = ['class', 'AP', 'recall', 'precision', 'true boxes']
        kind = 'masks' if any('segm' in name for name in metrics) else 'boxes'
        whole = (
            f'{len(scores.counts)} images. AP is for {kind}, averaged over IoU from 0.5 to 0.95. '
            f'Recall and precision are for boxes with a score of at least {SCORE:g} and an IoU '
            f'above {IOU:g} with the ground truth; F1 over all classes is {f1(matrix):.3f}.'
        )
    true, found = matrix.sum(1), matrix.sum(0)
    rows = []
    for i in np.argsort(values, kind='stable'):  # NaN last
        amount = f'{true[i]}' if scores.detection else f'{true[i] / max(1, true.sum()):.1%}'
        right = matrix[i, i]
        shares = (_number(right / n if n else np.nan) for n in (true[i], found[i]))
        rows.append([names[i], _number(values[i]), *shares, amount])
    return ['<h2>Classes</h2>', f'<p>{whole}</p>', _table(title, rows)]


def _number(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.3f}'


def _labels(scores: Scores) -> tuple[list[str], list[str]]:
    """Return the names of the rows (true classes) and of the columns (found classes)."""
    names = [*map(shown, scores.classes)]
    if not scores.detection:
        return names, names
    return [*names, '(no object)'], [*names, '(missed)']


def _confusions(scores: Scores) -> list[str]:
    matrix = scores.matrix
    assert matrix is not None
    unit = 'boxes' if scores.detection else 'pixels'
    caption = f'Each row is a true class and shows what share of its {unit} is found as each class'
    picture = _image('confusion.png', caption)
    parts = ['<h2>Confusions</h2>', f'<a href="confusion.png">{picture}</a>']  # shows the full size
    wrong = np.where(np.eye(len(matrix), dtype=bool), 0, matrix)
    between = wrong.copy()
    if scores.detection:  # misses and false positives would outnumber and hide these
        between[-1] = between[:, -1] = 0
    for what, mistakes in (
        ('Most often mistaken for another class', between),
        ('Most often missed, or found where there is no object', wrong - between),
    ):
        rows = _largest(mistakes, *_labels(scores))
        parts += [f'<p>{what}:</p>', _table(['true class', 'found as', unit], rows)] if rows else []
    return parts if wrong.any() else [*parts, '<p>There were no mistakes.</p>']


def _largest(mistakes: np.ndarray, true: list[str], found: list[str]) -> list[list[str]]:
    """Return table rows with the most frequent mistakes."""
    order = np.argsort(-mistakes, axis=None, kind='stable')[:CONFUSIONS]
    pairs = [np.unravel_index(i, mistakes.shape) for i in order]
    return [[true[i], found[j], f'{mistakes[i, j]}'] for i, j in pairs if mistakes[i, j]]


@PLAIN_TEXT
def draw_matrix(scores: Scores, path: Path) -> None:
    """Draw the confusion matrix, with each row divided by its sum."""
    matrix = scores.matrix
    assert matrix is not None
    true, found = _labels(scores)
    sums = matrix.sum(1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros(matrix.shape), where=sums > 0)
    number = len(true)
    side = 4 + max(0.45 * min(number, 30), 0.2 * min(number, NAMED))  # inches
    figure = Figure(figsize=(side, side), layout='constrained')
    axes = figure.subplots()
    axes.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    small = 9 * min(1, NAMED / number)
    axes.set_xticks(range(len(found)), found, rotation=90, fontsize=small)
    axes.set_yticks(range(len(true)), true, fontsize=small)
    axes.set(xlabel='found', ylabel='true')
    if len(scores.classes) <= NUMBERED:
        for (i, j), share in np.ndenumerate(shares):
            if matrix[i, j]:
                colour = 'white' if share > 0.5 else 'black'
                axes.text(j, i, f'{share:.2f}', ha='center', va='center', color=colour)
    figure.savefig(path, dpi=80)


def _examples(
    title: str, name: str, examples: list[Example], folder: Path, scores: Scores, meta: dict
) -> list[str]:
    parts = [f'<h2>{title}</h2>'] if examples else []
    for i, example in enumerate(examples, 1):
        sample = example.sample
        image = view(sample.img_path, meta.get('bands'))
        picture = side_by_side(image, sample, meta, score=SCORE)
        file = folder / f'{name}_{i}.jpg'
        save(file, picture[..., ::-1])
        measure = 'F1' if scores.detection else 'mean IoU'
        caption = f'{Path(sample.img_path).name}: {measure} {example.score:.3f}'
        parts.append(_image(f'{name}_{i}.jpg', caption))
    return parts


def _image(file: str, caption: str) -> str:
    text = html.escape(shown(caption))
    return f'<figure><img src="{file}" alt="{text}"><figcaption>{text}</figcaption></figure>'


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f'<tr>{"".join(f"<th>{html.escape(shown(t))}</th>" for t in titles)}</tr>']
    lines += [
        f'<tr>{"".join(f"<td>{html.escape(shown(c))}</td>" for c in row)}</tr>' for row in rows
    ]
    return '\n'.join(['<table>', *lines, '</table>'])
