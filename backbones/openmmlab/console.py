"""Showing only a tool's lines on the console; MMEngine's start-up notes go to the log file."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

from mmengine.logging import MMLogger

NOISE = (
    # mmdet and mmseg look for a service of their maintainers, which this project does not use
    'Could not import OneDL',
    # MMEngine's checkpoint hook uses MMEngine's own deprecated file API
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    # pycocotools, each time an annotation file is read; the start block names the files
    'loading annotations into memory...',
    'Done (t=',
    'creating index...',
    'index created!',
    # LoggerHook, periodically: the name of the log folder
    'Exp name: ',
    # MMEngine, on metrics whose names are clear without a prefix
    'The prefix is not set in metric class',
    # MMEngine in each of several processes; one thread per process is intentional
    'Setting OMP_NUM_THREADS environment variable for each process',
    'Setting MKL_NUM_THREADS environment variable for each process',
    # MMEngine, on each frozen parameter; the start block counts them
    'is skipped since its requires_grad=False',
    # DDP copies the gradients of depthwise convolutions, whose strides differ in notation only
    'Grad strides do not match bucket view strides',
    # torch.utils.cpp_extension, with a CUDA toolkit but no GPU; nothing is compiled
    'No CUDA runtime is found, using CUDA_HOME',
    # mmseg, on its own default, which all published configs use
    'Default ``avg_non_ignore`` is False',
    # mmseg, on the way its own ADE20K configs set it
    '`reduce_zero_label` will be deprecated',
    # mmdet and mmseg, in tools/test.py, which draws all images or none
    'The draw is False, it means that the hook for visualization',
    # mmdet, on its own old name for a number
    '`num_anchors` is deprecated',
    # mmdet, on an argument that PyTorch will require by name
    'torch.meshgrid: in an upcoming release',
)


class WithoutNoise:
    """Wrap a stream and drop the messages in `NOISE`."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.dropped = False

    def write(self, text: str) -> int:
        ends_dropped = self.dropped and text == '\n'  # `print` writes the newline separately
        self.dropped = any(noise in text for noise in NOISE)
        if self.dropped or ends_dropped:
            return len(text)
        return self.stream.write(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress `NOISE`, and MMEngine's notes until `release`, but no warnings or errors."""
    out, errors = WithoutNoise(sys.stdout), WithoutNoise(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):  # type: ignore[type-var]
        hold(MMLogger.get_current_instance())
        yield


def hold(logger: MMLogger) -> None:
    """Pass only warnings and errors to the console."""
    for handler in _consoles(logger):
        handler.addFilter(_matters)


@contextlib.contextmanager
def warnings_only(logger: MMLogger) -> Iterator[None]:
    """Pass only warnings and errors to a logger's outputs, including its file."""
    logger.addFilter(_matters)
    try:
        yield
    finally:
        logger.removeFilter(_matters)


def to_the_file(logger: MMLogger, text: str) -> None:
    """Log text that is too long for the console, such as a traceback, only to the file."""
    hold(logger)
    logger.info(text)
    release(logger)


def release(logger: MMLogger) -> None:
    """Undo `hold`."""
    for handler in _consoles(logger):
        handler.removeFilter(_matters)


def _consoles(logger: MMLogger) -> list[logging.Handler]:
    return [h for h in logger.handlers if not isinstance(h, logging.FileHandler)]


def _matters(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING
