"""From a command line to a folder of results."""

import os
import time
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.progress import track

from backbones.errors import UserError, shown
from backbones.openmmlab.palette import Classes
from backbones.predict.finding import Images, find_images, suffixes
from backbones.predict.memory import TooLargeError
from backbones.predict.predictor import Predictor
from backbones.predict.reading import UnreadableError
from backbones.predict.results import Results, new_folder


def run(
    config: str,
    checkpoint: str,
    images: Sequence[str],
    *,
    out: str,
    score: float,
    tile: int | None,
    device: str,
    backbone: str | None,
    amp: bool,
) -> int:
    """Predict on images, write the results, and say what they are.

    Args: see tools/predict.py and `Predictor`.

    Returns:
        How many images have no prediction.

    Raises:
        UserError: `out` lies in a folder of `images`; or see `find_images`, `new_folder` and
            `Predictor`.
    """
    for folder in filter(os.path.isdir, images):
        if os.path.commonpath(map(os.path.abspath, (folder, out))) == os.path.abspath(folder):
            raise UserError(
                f'--out {out} lies in {folder}: the next call would take its pictures for images; '
                'name a folder outside'
            )
    chosen = find_images(images)
    predictor = Predictor(
        config, checkpoint, score=score, tile=tile, device=device, backbone=backbone, amp=amp
    )
    results = Results(new_folder(out), Classes(predictor.meta), segments=predictor.segments)
    start = time.perf_counter()
    failed = _predict(chosen, predictor, results)
    print(_report(chosen, results, failed, time.perf_counter() - start))
    if results.images and not results.amounts:
        print(f'nothing has a score of {score:g}; the highest is {predictor.surest:.2f}')
    return len(failed)


def _predict(chosen: Images, predictor: Predictor, results: Results) -> list[str]:
    """Predict on every image; return why that was not possible where it was not."""
    names, failed = chosen.names(), []
    console = Console(stderr=True)
    hidden = not console.is_terminal
    try:
        for path in track(chosen.inside, 'predicting', console=console, disable=hidden):
            try:
                prediction = predictor.predict(path)
            except UnreadableError as error:
                failed.append(shown(error))
            except TooLargeError as error:
                failed.append(shown(f'{path}: {error}'))
            except torch.OutOfMemoryError:
                failed.append(f'{path}: the memory of the GPU is too small for it; try --tile N')
            else:
                results.add(prediction, names[path], chosen.inside[path].as_posix())
    finally:
        results.finish()  # also of an interrupted call
    return failed


def _report(chosen: Images, results: Results, failed: list[str], seconds: float) -> str:
    number = len(results.images)
    lines = [results.summary(), ''] if results.amounts else []
    lines.append(f'images: {number} of {len(chosen.inside)} in {seconds:.1f} s')
    if number:
        rates = number / seconds, number / results.seconds
        lines[-1] += ', {:.3g} a second; the model alone {:.3g}'.format(*rates)
    lines += [f'  {count}: {note}' for note, count in results.notes.items()]
    if chosen.others:
        lines.append(f'no images, by their suffixes: {suffixes(chosen.others)}')
    lines.append(f'results: {results.folder}/ with {", ".join(results.files)}')
    if failed:
        lines += [f'{len(failed)} without a prediction:', *(f'  {line}' for line in failed)]
    return '\n'.join(lines)
