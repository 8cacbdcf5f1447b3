"""The context of every tool."""

import contextlib
import gc
from collections.abc import Iterator

from backbones.errors import plain_errors
from backbones.openmmlab.console import quiet
from backbones.openmmlab.safe_loading import safe_loading
from backbones.training.devices import closing_processes


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Errors on one line, no noise, safe loading of files, and processes that end together."""
    # what is imported stays: looking for garbage in it takes 0.3 s, for each dataset
    if freezes := not gc.get_freeze_count():  # else a caller has done so
        gc.freeze()
    try:
        with plain_errors(), closing_processes(), quiet(), safe_loading():
            yield
    finally:
        if freezes:
            gc.unfreeze()
