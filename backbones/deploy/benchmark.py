"""Comparing a model's cost and metric as a checkpoint and as exported files."""

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from backbones.deploy.bench_worker import BATCHES
from backbones.errors import UserError
from backbones.inference.sessions import runtime_of
from backbones.tables import table

REST = 0.05  # seconds between turns, in which the previous candidate's threads fall asleep
HEAD = ('model', 'threads', 'metric', 'median ms', 'of the first', 'p95 ms',
        *(f'images/s at {b}' for b in BATCHES), 'MB on disk', 'peak MiB', 'start s')  # fmt: skip
WHAT = dict(predictor='image to result', backbone='backbone alone', onnx='forward alone')
ROOT = Path(__file__).parents[2]


@dataclass
class Candidate:
    """One row of the table.

    Args:
        name: name in the table.
        kind: see `bench_worker`: 'predictor' from image to result, or a forward pass alone.
        model: config, exported file, or name of a rival.
        checkpoint: the config's checkpoint.
        threads: number of CPU threads.
        options: arguments of `Predictor`.
    """

    name: str
    kind: str
    model: str
    checkpoint: str | None
    threads: int
    options: dict = field(default_factory=dict)

    @property
    def megabytes(self) -> float | None:
        """Size on disk, with OpenVINO's weights beside its file; a backbone alone has no file."""
        if self.kind == 'backbone':
            return None
        path = Path(self.checkpoint or self.model)
        files = [path, path.with_suffix('.bin')] if runtime_of(path) == 'openvino' else [path]
        return sum(f.stat().st_size for f in files) / 1e6 if path.is_file() else None


class Process:
    """A candidate in a separate process; see `bench_worker`."""

    def __init__(self, candidate: Candidate, images: Sequence[str], size: Sequence[int]) -> None:
        self.candidate = candidate
        asked = dict(vars(candidate), images=images, size=size)
        # a file is timed as it would run without PyTorch installed
        without = runtime_of(candidate.model) not in (None, 'torch')
        alone = "sys.modules['torch'] = None; " if without else ''
        program = f'import sys; {alone}from backbones.deploy.bench_worker import main; main()'
        threads = str(candidate.threads)
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, '-c', program, json.dumps(asked)],
            env={**os.environ, 'OMP_NUM_THREADS': threads, 'PYTHONPATH': path},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        ready = self._answer()
        self.start_s = time.perf_counter() - start
        self.size: list[int] | None = ready.get('size')  # size of the noise that a rival gets
        self.batches = [b for b in BATCHES if ready['batches'] is None or b in ready['batches']]
        self.times: dict[int, list[float]] = {batch: [] for batch in self.batches}
        self.peak_mib: float | None = None

    def run(self, image: int, batch: int, *, counts: bool) -> None:
        """Time one call."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(dict(image=image, batch=batch)) + '\n')
        self.process.stdin.flush()
        answer = self._answer()
        self.peak_mib = answer['peak_mib']
        if counts:
            self.times[batch].append(answer['ms'])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout and self.process.stderr
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {}
        if 'error' in answer:
            raise UserError(f'{self.candidate.name}: {answer["error"]}')
        if not answer:
            raise RuntimeError(f'{self.candidate.name}: {self.process.stderr.read()[-3000:]}')
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def measure(
    candidates: Sequence[Candidate],
    images: Sequence[str],
    *,
    size: Sequence[int],
    rounds: int,
) -> list[dict]:
    """Time candidates in turns, one call each.

    Args:
        candidates: at least one.
        images: files.
        size: height and width of the rivals' inputs.
        rounds: how often each candidate gets each image, and a batch of each size.

    Returns:
        A row per candidate: times in ms, images per second, memory in MiB, seconds to start. Rows
        of a forward pass alone also have `size`, the height and width of the input.
    """
    with contextlib.ExitStack() as stack:
        processes = []
        for candidate in candidates:
            processes.append(Process(candidate, images, size))
            stack.callback(processes[-1].close)
        for number in range(-1, rounds):  # the first round does not count
            for image, batch in _turns(len(images)):
                for process in processes:
                    if batch in process.batches:
                        process.run(image, batch, counts=number >= 0)
                        time.sleep(REST)
        return [_row(process) for process in processes]


def _turns(images: int) -> Iterator[tuple[int, int]]:
    yield from ((image, 1) for image in range(images))
    yield from ((0, batch) for batch in BATCHES[1:])


def _row(process: Process) -> dict[str, Any]:
    own = process.candidate
    times = process.times.get(1) or []
    return dict(
        name=own.name,
        what=WHAT[own.kind],
        size=process.size,
        threads=own.threads,
        median_ms=statistics.median(times) if times else None,
        p95_ms=float(np.percentile(times, 95)) if times else None,
        images_per_s={b: 1000 * b / statistics.median(t) for b, t in process.times.items() if t},
        megabytes=own.megabytes,
        peak_mib=process.peak_mib,
        start_s=process.start_s,
    )


def environment() -> dict[str, str]:
    """Return the processor, and the versions of the measured packages."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    flags = next((line for line in lines if line.startswith('flags')), '').split()
    kinds = [k for k in ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16') if k in flags]
    found = dict(processor=names[0] if names else platform.processor(),
                 instructions=' '.join(kinds))  # fmt: skip
    for name in ('torch', 'onnxruntime', 'openvino'):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def text(rows: Sequence[dict]) -> str:
    """Format the rows as a table; beside a rival's name, it says what was timed."""
    first: dict[str, float | None] = {}  # first median among rows timed in the same way
    cells = []
    for row in rows:
        name, base = row['name'], first.setdefault(row['what'], row['median_ms'])
        share = row['median_ms'] / base if row['median_ms'] and base else ''
        if row['size']:
            name += f', {row["what"]}, {row["size"][0]} x {row["size"][1]}'
        if row['what'] == WHAT['onnx']:  # these are not comparable with anything else
            share = ''
        cells.append([
            name,
            row['threads'],
            _short(row.get('metric'), 3),
            _short(row['median_ms'], 1),
            _short(share, 2),
            _short(row['p95_ms'], 1),
            *(_short(row['images_per_s'].get(b), 1) for b in BATCHES),
            _short(row['megabytes'], 1),
            _short(row['peak_mib'], 0),
            _short(row['start_s'], 1),
        ])  # fmt: skip
    return table(HEAD, cells)


def _short(number: object, digits: int) -> str:
    return f'{number:.{digits}f}' if isinstance(number, int | float) else '-'


def plot(rows: Sequence[dict], path: Path) -> None:
    """Draw the time per image, with the metric where it was measured."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    shown = [row for row in rows if row['median_ms']]
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.4 * len(shown)), layout='constrained')
    names = [f'{row["name"]}, {row["threads"]} threads' for row in shown]
    bars = axes.barh(names, [row['median_ms'] for row in shown])
    metrics = [row.get('metric') for row in shown]
    axes.bar_label(bars, [f' {m:.3f}' if m is not None else '' for m in metrics], label_type='edge')
    axes.invert_yaxis()
    axes.set_xlabel('ms per image, median; at the bars: the metric on the validation images')
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
