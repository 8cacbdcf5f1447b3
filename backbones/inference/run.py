"""Predicting from a command line, and writing a folder of results."""

import math
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from backbones.data.files.listing import SUFFIXES
from backbones.drawing.palette import Classes
from backbones.errors import UserError, shown
from backbones.inference.as_dataset import check_format
from backbones.inference.attempts import batched
from backbones.inference.clips import SUFFIXES as CLIPS
from backbones.inference.image_files import Images, find_images, suffixes
from backbones.inference.memory import TooLargeError, only_free_memory
from backbones.inference.predictor import Predictor
from backbones.inference.run_clips import are_clips, run_clips
from backbones.inference.stop import Stop
from backbones.inference.writers import Results, owned_folder


def run(
    config: str,
    images: Sequence[str],
    *,
    checkpoint: str | None = None,
    out: str,
    score: float,
    tile: int | None,
    batch: int,
    device: str,
    backbone: str | None,
    amp: bool,
    compile: bool = False,
    resume: bool,
    as_labels: str | None = None,
    fps: float | None = None,
) -> int:
    """Predict on images or videos, write the results, and print a summary.

    SIGTERM and Ctrl-C stop it and keep the results so far; `resume` continues.

    Args: see tools/predict.py and `Predictor`.

    Returns:
        The exit code: 0, 1 if some images have no prediction, or 128 + the signal's number.

    Raises:
        UserError: `out` is in a folder of `images`; or see `find_images`, `owned_folder`,
            `Results` and `Predictor`.
    """
    for source in filter(os.path.isdir, images):
        # links to folders are followed
        if Path(out).resolve().is_relative_to(Path(source).resolve()):
            raise UserError(
                f'--out {out} is in {source}, so the next call would read the pictures in it as '
                'images; choose a folder outside'
            )
    clips = are_clips(images)
    _check_options(clips, resume=resume, as_labels=as_labels, fps=fps)
    chosen = find_images(images, CLIPS if clips else SUFFIXES)
    predictor = Predictor(
        config,
        checkpoint,
        score=score,
        tile=tile,
        batch=batch,
        device=device,
        backbone=backbone,
        amp=amp,
        compile=compile,
    )
    if as_labels:
        number = len(predictor.meta['classes'])
        check_format(as_labels, segments=predictor.segments, classes=number, images=chosen.inside)
    weights = os.path.abspath(checkpoint or config)
    about = dict(config=config, checkpoint=weights, score=score, tile=tile, backbone=backbone,
                 amp=amp, as_labels=as_labels, model=predictor.model.digest())  # fmt: skip
    if clips:
        if predictor.channels:
            raise UserError(
                f'{config} reads images of {predictor.channels} channels as they are, but frames '
                'of a video are RGB'
            )
        return run_clips(predictor, [*chosen.inside], out=out, fps=fps, about=about)
    with owned_folder(out, resume=resume) as folder:
        results = Results(
            folder,
            Classes(predictor.meta),
            segments=predictor.segments,
            about=about,
            layout=as_labels,
        )
        return _run(chosen, predictor, results)


def _run(chosen: Images, predictor: Predictor, results: Results) -> int:
    """Predict, write and print a summary; return the exit code."""
    start = time.perf_counter()
    failed: list[str] = []
    with Stop() as stop:
        _predict(chosen, predictor, results, failed, stop)
    print(_report(chosen, results, failed, time.perf_counter() - start))
    if results.done and not results.amounts:
        surest = predictor.surest
        print(f'nothing reached the score {predictor.score:g}; the highest score is {surest:.2f}')
    if stop.received:
        print(f'{signal.Signals(stop.received).name}: add --resume to the command to continue')
        return 128 + stop.received
    return 1 if failed else 0


def _check_options(clips: bool, *, resume: bool, as_labels: str | None, fps: float | None) -> None:
    faults = []
    if clips and resume:
        faults.append('--resume is for images: videos always start from the beginning')
    if clips and as_labels:
        faults.append('--as-labels is for images')
    if fps is not None and not clips:
        faults.append('--fps is for videos')
    if fps is not None and not 0 < fps < math.inf:
        faults.append(f'--fps {fps:g}; allowed: above 0')
    if faults:
        raise UserError('; '.join(faults))


def _predict(
    chosen: Images, predictor: Predictor, results: Results, failed: list[str], stop: Stop
) -> None:
    """Predict on every image that is not done yet; record why an image fails."""
    names = chosen.names()
    console = Console(stderr=True)
    hidden = not console.is_terminal
    left = [path for path, inside in chosen.inside.items()
            if not results.has(path, names[path], inside.as_posix())]  # fmt: skip
    parts = list(batched(left, predictor.batch))
    try:
        for paths in track(parts, 'predicting', console=console, disable=hidden):
            with only_free_memory(predictor.model.on_cpu):
                outcomes = predictor.attempt(paths)
            for path, outcome in zip(paths, outcomes):
                if isinstance(outcome, TooLargeError):
                    failed.append(shown(f'{path}: {outcome}'))
                elif isinstance(outcome, Exception):
                    failed.append(shown(str(outcome)))
                else:
                    with stop.writing():
                        results.add(outcome, names[path], chosen.inside[path].as_posix())
    finally:
        stop.writes = True
        results.finish()  # even after an interruption


def _report(chosen: Images, results: Results, failed: list[str], seconds: float) -> str:
    number = len(results.done) - results.resumed
    done = sum(inside.as_posix() in results.done for inside in chosen.inside.values())
    lines = [results.summary(), ''] if results.amounts else []
    lines.append(f'images: {done} of {len(chosen.inside)} in {seconds:.1f} s')
    if done > number:
        lines[-1] += f', including {done - number} from before'
    if number:
        rates = number / seconds, number / results.seconds
        lines[-1] += '; {:.3g} images/s, {:.3g} images/s for the model alone'.format(*rates)
    lines += [f'  {count}: {note}' for note, count in results.notes.items()]
    if others := len(results.done) - done:
        images = 'image' if others == 1 else 'images'
        lines.append(f'  {others} {images} of an earlier call that this call does not name')
    if chosen.others:
        lines.append(f'not images, by suffix: {suffixes(chosen.others)}')
    lines.append(f'results: {results.folder}/ with {", ".join(results.files)}')
    if results.dataset:
        folder = results.dataset.root
        lines += [
            f'labels to correct: {folder}/; tools/check_data.py {folder} reads them, and '
            f'tools/new_config.py {folder} writes a config for them'
        ]
    if failed:
        lines += [f'{len(failed)} without a prediction:', *(f'  {line}' for line in failed)]
    return '\n'.join(lines)
