"""Reading and writing videos frame by frame with PyAV, which supervision requires."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from backbones.drawing.captions import Picture
from backbones.errors import UnreadableError

SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')
TICK = Fraction(1, 90000)  # seconds; unit of time in a written video
LATE = 0.5  # seconds by which a video may be shorter than its header says
MOST = 0.9  # least share of the frames expected from length and rate
ROUNDED = 0.1  # the same for times that a file rounds to milliseconds
SLACK = 0.02  # tolerance for rounded times, relative to the time between frames


@dataclass
class Frame:
    """One frame.

    Args:
        number: its number in the video, from 0.
        seconds: when it is shown.
        image: (H, W, 3) RGB, upright.
    """

    number: int
    seconds: float
    image: Picture


class Clip:
    """A video, read frame by frame to use little memory.

    Args:
        path: the file.

    Raises:
        UnreadableError: it is not a video, or holds no frames.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.container = av.open(str(path))
        except av.error.FFmpegError as error:
            raise UnreadableError(f'{path}: not a readable video ({error.strerror})') from error
        if not self.container.streams.video:
            raise UnreadableError(f'{path}: it has no images, only {self._kinds()}')
        self.stream = self.container.streams.video[0]
        self.stream.thread_type = 'AUTO'
        self.fps = float(self.stream.average_rate or self.stream.guessed_rate or 25)
        self.length = self._length()
        self.read = 0
        self.last, self.end = -1.0, 0.0  # begin and end of the last frame, in seconds
        self.regular = 0  # frames that follow the one before by the time of the rate
        self.damaged = 0  # parts that could not be decoded

    def frames(self, fps: float | None) -> Iterator[Frame]:
        """Yield frames in order.

        Args:
            fps: at most so many frames a second of the video; None for all.
        """
        due = 0.0
        for frame in self._decoded():
            number, self.read = self.read, self.read + 1
            seconds = self.end if frame.time is None else float(frame.time)
            if seconds <= self.last:  # happens after a damaged part
                seconds = self.end
            self.regular += abs((seconds - self.last) * self.fps - 1) < ROUNDED
            self.last, self.end = seconds, seconds + 1 / self.fps
            if fps:
                if seconds < due - SLACK / fps:
                    continue
                due = max(due + 1 / fps, seconds)
            yield Frame(number, seconds, upright(frame.to_ndarray(format='rgb24'), frame.rotation))

    def _decoded(self) -> Iterator[Any]:
        try:
            for packet in self.container.demux(self.stream):
                try:
                    yield from packet.decode()
                except av.error.InvalidDataError:
                    self.damaged += 1
        except av.error.FFmpegError:  # the file ends in the middle of something
            self.damaged += 1

    def fault(self) -> str:
        """Describe what was wrong with the video after reading it; '' if nothing was."""
        if not self.read:
            return f'{self.path}: no frame could be decoded'
        if self.damaged:
            return f'{self.path}: damaged; {self.read} frames could be read'
        expected: float = self.stream.frames
        if not expected and self.regular >= self.read / 2:  # otherwise its rate varies
            expected = MOST * self.length * self.fps  # a rate is an average
        if self.end > self.length - LATE and self.read < expected - 1:
            return f'{self.path}: damaged; only {self.read} of {expected:.0f} frames could be read'
        if self.end < self.length - LATE:
            return f'{self.path}: it ends after {self.end:.1f} of {self.length:.1f} seconds'
        return ''

    def close(self) -> None:
        self.container.close()

    def _length(self) -> float:
        """Return the length in seconds according to the header; 0 if it does not state any."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        alone = len(self.container.streams) == 1  # otherwise it may be the length of the sound
        return (self.container.duration or 0) / av.time_base if alone else 0.0

    def _kinds(self) -> str:
        return ' and '.join(sorted({s.type for s in self.container.streams})) or 'nothing'


def upright(image: np.ndarray, rotation: int) -> Picture:
    """Rotate a frame as its video says.

    Args:
        rotation: counter-clockwise, in degrees.
    """
    return np.ascontiguousarray(np.rot90(image, round(rotation / 90)), np.uint8)


@contextlib.contextmanager
def writing(path: Path, fps: float) -> Iterator['Sink']:
    """Open a video for writing; it is complete even if the work ends early."""
    with av.open(str(path), 'w') as container:
        sink = Sink(container, fps)
        try:
            yield sink
        finally:
            sink.finish()


class Sink:
    """A video to which frames are appended; all have the size of the first."""

    def __init__(self, container: Any, fps: float) -> None:
        self.container = container
        self.fps = fps
        self.stream: Any = None

    def add(self, image: Picture, seconds: float) -> None:
        """Append a frame (H, W, 3) RGB that is shown at a time."""
        if self.stream is None:
            self.stream = self._open(image)
        size = (self.stream.height, self.stream.width)
        wide = np.full((*size, 3), 255, np.uint8)  # H.264 needs even sides
        part = image[: size[0], : size[1]]
        wide[: part.shape[0], : part.shape[1]] = part
        frame = av.VideoFrame.from_ndarray(wide, format='rgb24')
        frame.pts, frame.time_base = round(seconds / TICK), TICK
        self.container.mux(self.stream.encode(frame))

    def _open(self, image: Picture) -> Any:
        codec = 'libx264' if 'libx264' in av.codecs_available else 'mpeg4'
        stream = self.container.add_stream(codec, rate=Fraction(self.fps).limit_denominator(1001))
        stream.height, stream.width = (n + n % 2 for n in image.shape[:2])
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.time_base = TICK
        return stream

    def finish(self) -> None:
        if self.stream is not None:
            self.container.mux(self.stream.encode(None))
