"""Another process that owns a folder of results, or requests it."""

import os
import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from backbones.errors import UserError
from backbones.folder_lock import owning


def _own(folder: Path, pipe: Connection) -> None:
    """The work of another process: own the folder until told to end."""
    try:
        with owning(str(folder)) as notices:
            pipe.send(notices)
            pipe.recv()
    except UserError as error:
        pipe.send(str(error))


class Owner:
    """Such a process; `said` are its notices, or why it was refused."""

    def __init__(self, folder: Path) -> None:
        context = get_context('fork')
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_own, args=(folder, theirs))
        self.process.start()
        self.said = self.pipe.recv()

    def end(self) -> None:
        self.pipe.send('end')
        self.process.join()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
