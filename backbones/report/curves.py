"""Curves of a whole training run, including all resumes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from backbones.errors import shown

BESIDE = {
    'data_time',
    'time',
    'step',
    'iter',
    'epoch',
    'memory',
}  # logged, but neither a loss nor a metric
SIZES = ('_s', '_m', '_l')  # COCO's metrics by size would hide the others

# a dollar sign in a name does not start a formula
PLAIN_TEXT = matplotlib.rc_context({'text.parse_math': False})

Curve = dict[int, float]  # iteration or epoch -> value


@dataclass
class Curves:
    """Logged values by name.

    Args:
        losses: by iteration.
        rates: the learning rate by iteration; empty or one curve.
        metrics: by `unit`.
        unit: 'epoch' or 'iteration'.
    """

    losses: dict[str, Curve] = field(default_factory=dict)
    rates: dict[str, Curve] = field(default_factory=dict)
    metrics: dict[str, Curve] = field(default_factory=dict)
    unit: str = 'iteration'


def read_curves(work_dir: Path) -> Curves:
    """Join the logs of all runs in a work dir; for repeated iterations, the later run counts.

    Source: `scalars.json` of MMEngine's LocalVisBackend, one per run.
    """
    curves = Curves()
    last = 0
    for record in _records(work_dir):
        if 'iter' in record:
            last = int(record['iter'])
            for name, value in record.items():
                if 'loss' in name:
                    curves.losses.setdefault(name, {})[last] = value
            if 'lr' in record:
                curves.rates.setdefault('lr', {})[last] = record['lr']
        else:
            # MMEngine counts epochs by default, which stay 0 in iteration-based training
            at = int(record['step']) or last
            curves.unit = 'epoch' if at < last else 'iteration'
            for name, value in record.items():
                if name not in BESIDE:
                    curves.metrics.setdefault(name, {})[at] = value
    return curves


def _records(work_dir: Path) -> Iterator[dict]:
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):  # the folders are named by time
        lines = file.read_text().split('\n')
        for line in lines[:-1]:  # a killed run may have left the last line incomplete
            yield json.loads(line)


@PLAIN_TEXT
def draw_curves(curves: Curves, path: Path) -> None:
    """Draw losses, metrics and learning rate side by side."""
    metrics = {
        name.rpartition('/')[2]: curve
        for name, curve in curves.metrics.items()
        if not name.endswith(SIZES) and min(curve.values()) >= 0  # COCO's -1: not measured
    }
    figure = Figure(figsize=(14, 4), layout='constrained')
    left, middle, right = figure.subplots(1, 3)
    # with a single part, the loss is that part
    losses = curves.losses if len(curves.losses) != 2 else {'loss': curves.losses['loss']}
    _panel(left, 'training loss', losses, 'iteration')
    _panel(middle, 'validation', metrics, curves.unit, marker='o')
    _panel(right, 'learning rate', curves.rates, 'iteration')
    figure.savefig(path, dpi=80)


def _label(name: str) -> str:
    """Return a curve's label; legends ignore names that begin with an underscore."""
    return shown(name).lstrip('_') or '-'


def _panel(
    axes: Axes, title: str, curves: dict[str, Curve], unit: str, marker: str | None = None
) -> None:
    for name, curve in curves.items():
        axes.plot(*zip(*sorted(curve.items())), marker=marker, markersize=3, label=_label(name))
    axes.set(title=title, xlabel=unit)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend(fontsize=8)
    if not curves:
        axes.text(0.5, 0.5, 'not logged', ha='center', transform=axes.transAxes)
