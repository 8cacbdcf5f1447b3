"""Letting SIGTERM and Ctrl-C end the work at a point where nothing is lost."""

import contextlib
import signal
from collections.abc import Iterator


class Stop:
    """Context in which a signal interrupts the work, except within `writing`."""

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
