"""From a command line to a folder of results."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import track

from backbones.drawing.palette import Classes
from backbones.errors import UserError, shown
from backbones.inference.attempts import batched
from backbones.inference.image_files import Images, find_images, suffixes
from backbones.inference.memory import TooLargeError
from backbones.inference.predictor import Predictor
from backbones.inference.writers import Results, new_folder


def run(
    config: str,
    checkpoint: str,
    images: Sequence[str],
    *,
    out: str,
    score: float,
    tile: int | None,
    batch: int,
    device: str,
    backbone: str | None,
    amp: bool,
    resume: bool,
) -> int:
    """Predict on images, write the results, and say what they are.

    SIGTERM and Ctrl-C end it with what was done by then, and `resume` continues.

    Args: see tools/predict.py and `Predictor`.

    Returns:
        The exit code: 0, 1 if some images have no prediction, or 128 + the number of a signal.

    Raises:
        UserError: `out` lies in a folder of `images`; or see `find_images`, `new_folder`,
            `Results` and `Predictor`.
    """
    for folder in filter(os.path.isdir, images):
        if os.path.commonpath(map(os.path.abspath, (folder, out))) == os.path.abspath(folder):
            raise UserError(
                f'--out {out} lies in {folder}: the next call would take its pictures for images; '
                'name a folder outside'
            )
    chosen = find_images(images)
    predictor = Predictor(
        config,
        checkpoint,
        score=score,
        tile=tile,
        batch=batch,
        device=device,
        backbone=backbone,
        amp=amp,
    )
    about = dict(config=config, checkpoint=os.path.abspath(checkpoint), score=score, tile=tile,
                 backbone=backbone, amp=amp)  # fmt: skip
    results = Results(
        new_folder(out, resume=resume),
        Classes(predictor.meta),
        segments=predictor.segments,
        about=about,
    )
    start = time.perf_counter()
    failed: list[str] = []
    with Stop() as stop:
        _predict(chosen, predictor, results, failed, stop)
    print(_report(chosen, results, failed, time.perf_counter() - start))
    if results.done and not results.amounts:
        print(f'nothing has a score of {score:g}; the highest is {predictor.surest:.2f}')
    if stop.received:
        print(f'{signal.Signals(stop.received).name}: add --resume to the command to continue')
        return 128 + stop.received
    return 1 if failed else 0


class Stop:
    """While it is open, a signal ends what is being done, but not in the middle of `writing`."""

    def __init__(self) -> None:
        self.received = 0
        self.writes = False

    def __enter__(self) -> 'Stop':
        numbers = (signal.SIGTERM, signal.SIGINT)
        self.before = {number: signal.signal(number, self._receive) for number in numbers}
        return self

    def __exit__(self, kind: type | None, *_: object) -> bool:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        return kind is Stopped

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        self.writes = True
        yield
        self.writes = False
        if self.received:
            raise Stopped

    def _receive(self, number: int, frame: object) -> None:
        self.received = number
        if not self.writes:
            raise Stopped


class Stopped(BaseException):
    """A signal was received."""


def _predict(
    chosen: Images, predictor: Predictor, results: Results, failed: list[str], stop: Stop
) -> None:
    """Predict on every image that is not done; note why where that was not possible."""
    names = chosen.names()
    console = Console(stderr=True)
    hidden = not console.is_terminal
    left = [path for path, inside in chosen.inside.items() if inside.as_posix() not in results.done]
    parts = list(batched(left, predictor.batch))
    try:
        for paths in track(parts, 'predicting', console=console, disable=hidden):
            for path, outcome in zip(paths, predictor.attempt(paths)):
                if isinstance(outcome, TooLargeError):
                    failed.append(shown(f'{path}: {outcome}'))
                elif isinstance(outcome, Exception):
                    failed.append(shown(str(outcome)))
                else:
                    with stop.writing():
                        results.add(outcome, names[path], chosen.inside[path].as_posix())
    finally:
        stop.writes = True
        results.finish()  # also of an interrupted call


def _report(chosen: Images, results: Results, failed: list[str], seconds: float) -> str:
    number = len(results.done) - results.resumed
    lines = [results.summary(), ''] if results.amounts else []
    lines.append(f'images: {len(results.done)} of {len(chosen.inside)} in {seconds:.1f} s')
    if results.resumed:
        lines[-1] += f', {results.resumed} of them before'
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
