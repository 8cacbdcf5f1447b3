"""What a tool shows: its own lines; what MMEngine adds about the start is in the log file alone."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from mmengine.logging import MMLogger

NOISE = (
    # mmdet and mmseg look for a service of their maintainers, which nothing here uses
    'Could not import OneDL',
    # MMEngine's checkpoint hook calls its own older interface to files
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    # pycocotools, each time an annotation file is read; the start block names the files
    'loading annotations into memory...',
    'Done (t=',
    'creating index...',
    'index created!',
    # LoggerHook, now and then: the name of the folder that has the log
    'Exp name: ',
    # MMEngine, of metrics whose names are clear without
    'The prefix is not set in metric class',
    # MMEngine in each of several processes; one thread each is what is meant
    'Setting OMP_NUM_THREADS environment variable for each process',
    'Setting MKL_NUM_THREADS environment variable for each process',
    # DDP copies gradients of depthwise convolutions, whose strides are only written differently
    'Grad strides do not match bucket view strides',
    # torch.utils.cpp_extension, where a toolkit is installed and no GPU is there; nothing compiles
    'No CUDA runtime is found, using CUDA_HOME',
    # mmseg, of its own default, which all published configs have
    'Default ``avg_non_ignore`` is False',
    # mmseg, of how its own configs for ADE20K say it
    '`reduce_zero_label` will be deprecated',
    # mmdet and mmseg, of tools/test.py, which draws all images or none
    'The draw is False, it means that the hook for visualization',
    # mmdet, of its own older name for a number
    '`num_anchors` is deprecated',
    # mmdet, of an argument that PyTorch wants named one day
    'torch.meshgrid: in an upcoming release',
)


class WithoutNoise:
    """A stream without the messages in `NOISE`; in all else the stream itself."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.dropped = False

    def write(self, text: str) -> int:
        ends_dropped = self.dropped and text == '\n'  # `print` writes it by itself
        self.dropped = any(noise in text for noise in NOISE)
        if self.dropped or ends_dropped:
            return len(text)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave `NOISE` out, and MMEngine's notes until `release`; warnings and errors come through."""
    out, errors = WithoutNoise(sys.stdout), WithoutNoise(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # type: ignore[type-var]
        hold(MMLogger.get_current_instance())
        yield


def hold(logger: MMLogger) -> None:
    """Let only warnings and errors through to the console."""
    for handler in _consoles(logger):
        handler.addFilter(_matters)


@contextlib.contextmanager
def warnings_only(logger: MMLogger) -> Iterator[None]:
    """Let a logger pass warnings and errors alone, to its file, too."""
    logger.addFilter(_matters)
    try:
        yield
    finally:
        logger.removeFilter(_matters)


def to_the_file(logger: MMLogger, text: str) -> None:
    """Log what is too long for the console, such as a traceback."""
    hold(logger)
    logger.info(text)
    release(logger)


def release(logger: MMLogger) -> None:
    """End `hold`."""
    for handler in _consoles(logger):
        handler.removeFilter(_matters)


def _consoles(logger: MMLogger) -> list[logging.Handler]:
    return [h for h in logger.handlers if not isinstance(h, logging.FileHandler)]


def _matters(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
