"""Predicting on videos from a command line, and writing a folder of results."""

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import supervision as sv
from rich.console import Console
from rich.progress import track

from backbones import atomic_write
from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found, are_readable, paint
from backbones.drawing.palette import Classes
from backbones.errors import UnreadableError, UserError, listed, shown
from backbones.inference.attempts import attempt, batched
from backbones.inference.clips import SUFFIXES, Clip, Frame, Sink, writing
from backbones.inference.memory import only_free_memory
from backbones.inference.predictor import Predictor
from backbones.inference.stop import Stop
from backbones.inference.writers import instance, owned_folder, rle
from backbones.tables import table


def are_clips(paths: Sequence[str]) -> bool:
    """Return whether the named files are videos, by their suffixes.

    Raises:
        UserError: some are, and others are not.
    """
    clips = [path for path in paths if Path(path).suffix.lower() in SUFFIXES]
    if clips and len(clips) < len(paths):
        others = [path for path in paths if path not in clips]
        raise UserError(
            f'{listed(clips)} are videos, and {listed(others)} are not: predict on them in two '
            'calls, each with its own folder'
        )
    return bool(clips)


def run_clips(
    predictor: Predictor, paths: Sequence[Path], *, out: str, fps: float | None, about: dict
) -> int:
    """Predict on videos, and print a summary.

    For each video, `NAME.mp4` shows the results, and `NAME.jsonl` has a line about the call and one
    for each frame. On SIGTERM and Ctrl-C, both end with a complete frame.

    Args:
        predictor: predicts on the frames.
        paths: the videos.
        out: a new folder.
        fps: see `Clip.frames`.
        about: the call.

    Returns:
        The exit code: 0, 1 if a video or a part of one could not be read, or 128 + the signal's
        number.

    Raises:
        UserError: two files have the same name; or see `owned_folder`.
    """
    names = Counter(path.stem for path in paths)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UserError(
            f'several videos are called {listed(twice)}: predict on them in separate calls'
        )
    with owned_folder(out, resume=False) as folder:
        work = _Work(predictor, folder, fps, about)
        with Stop() as stop:
            for path in paths:
                work.predict(path, stop)
        print(work.summary())
    if stop.received:
        print(f'{signal.Signals(stop.received).name}: the results end here; run it again for all')
        return 128 + stop.received
    return 1 if work.failed else 0


class _Work:
    """The videos of one call; see `run_clips`."""

    def __init__(self, predictor: Predictor, folder: Path, fps: float | None, about: dict) -> None:
        self.predictor, self.folder, self.fps, self.about = predictor, folder, fps, about
        self.classes = Classes(predictor.meta)
        self.failed: list[str] = []
        self.counts = Counter[int]()  # instances, or frames in which a label occurs, by class

    def predict(self, path: Path, stop: Stop) -> None:
        """Predict on one video, and record what is wrong with it."""
        try:
            clip = Clip(path)
        except UnreadableError as error:
            self.failed.append(shown(error))
            return
        start, done = time.perf_counter(), 0
        try:
            with self._files(clip) as (lines, sink):
                for frames in self._progress(clip):
                    with stop.writing():
                        with only_free_memory(self.predictor.model.on_cpu):
                            found = attempt(self.predictor.find_all, [f.image for f in frames])
                        if isinstance(found, Exception):
                            self.failed.append(f'{path}, frame {frames[0].number}: {found}')
                            return
                        for frame, one in zip(frames, found):
                            sink.add(self._drawn(frame.image, one), frame.seconds)
                            lines.write(json.dumps(self._entry(frame, one)) + '\n')
                        lines.flush()
                        done += len(frames)
            if fault := clip.fault():
                self.failed.append(shown(fault))
        finally:
            clip.close()
            seconds = time.perf_counter() - start
            print(f'{path}: {done} frames in {seconds:.1f} s, {done / seconds:.3g} frames/s')

    @contextlib.contextmanager
    def _files(self, clip: Clip) -> Iterator[tuple[TextIO, Sink]]:
        name, rate = clip.path.stem, min(self.fps or clip.fps, clip.fps)
        path = self.folder / f'{name}.jsonl'
        with (
            atomic_write.plainly(path),
            path.open('w', encoding='utf-8') as lines,
            writing(self.folder / f'{name}.mp4', rate) as sink,
        ):
            lines.write(json.dumps(dict(self.about, video=str(clip.path), fps=rate)) + '\n')
            yield lines, sink

    def _progress(self, clip: Clip) -> Iterator[list[Frame]]:
        batch, console = self.predictor.batch, Console(stderr=True)
        total = int(clip.length * min(self.fps or clip.fps, clip.fps) / batch) or None
        parts = batched(clip.frames(self.fps), batch)
        hidden = not console.is_terminal
        yield from track(parts, clip.path.name, total=total, console=console, disable=hidden)

    def _drawn(self, image: Picture, found: Found) -> Picture:
        letters = max(13, max(image.shape[:2]) // 80)
        named = are_readable(image, found, self.classes, letters)
        return paint(image, found, 1, self.classes, letters if named else None)

    def _entry(self, frame: Frame, found: Found) -> dict:
        entry: dict = dict(frame=frame.number, seconds=round(frame.seconds, 3))
        if isinstance(found, sv.Detections):
            entry['instances'] = [instance(found, i, frame.number) for i in range(len(found))]
            self.counts.update(one['category_id'] - 1 for one in entry['instances'])
            return entry
        present = np.unique(found).tolist()
        self.counts.update(present)
        entry['labels'] = [dict(label=n, segmentation=rle(found == n)) for n in present]
        return entry

    def summary(self) -> str:
        unit = 'frames' if self.predictor.segments else 'found'
        rows = [[self.classes.name(c), n] for c, n in self.counts.most_common()]
        lines = [table(['class', unit], rows)] if rows else []
        lines.append(f'results: {self.folder}/ with NAME.mp4 and NAME.jsonl for each video')
        if self.failed:
            lines += [f'{len(self.failed)} not complete:', *(f'  {f}' for f in self.failed)]
        return '\n'.join(lines)
