"""Training runs in forked processes, so that each starts in a second, and ways to break them."""

import contextlib
import fnmatch
import itertools
import os
import re
import resource
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from conftest import ROOT

SECONDS = 120  # a run that should have ended by then is a failure


class Training:
    """tools/train.py with `arguments`, in a separate process.

    Args:
        log: where its output goes.
        arguments: command-line arguments.
        sabotage: called in the process before training starts.
    """

    def __init__(
        self, log: Path, arguments: list[str], sabotage: Callable[[], None] = lambda: None
    ) -> None:
        import mmseg.models  # once, in the parent  # noqa: F401

        self.log = log
        log.touch()
        self.process = os.fork()
        if self.process == 0:
            self._run(arguments, sabotage)

    def _run(self, arguments: list[str], sabotage: Callable[[], None]) -> None:
        code = 1
        try:
            sys.stdout = sys.stderr = self.log.open('w', buffering=1)
            os.dup2(sys.stdout.fileno(), 1)
            os.dup2(sys.stdout.fileno(), 2)
            sys.argv = ['tools/train.py', *arguments]
            sabotage()
            runpy.run_path(str(ROOT / 'tools/train.py'), run_name='__main__')
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            print(end.code)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)

    @property
    def output(self) -> str:
        return self.log.read_text()

    def wait(self) -> int:
        """The exit code; minus the signal's number if a signal ended it."""
        for _ in range(SECONDS * 100):
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(self.process, signal.SIGKILL)
        raise TimeoutError(self.output[-3000:])

    def kill_at(self, pattern: str, delay: float) -> None:
        """Kill it so many seconds after the pattern appears in its output."""
        for _ in range(SECONDS * 200):
            if re.search(pattern, self.output) or os.waitid(
                os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT
            ):
                break
            time.sleep(0.005)
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)

    @property
    def iterations(self) -> int:
        """The last iteration in the log."""
        return max(map(int, re.findall(r'Iter\(train\) \[ *(\d+)/', self.output)), default=0)

    @property
    def start(self) -> int:
        """The iteration at which it was resumed."""
        return max(map(int, re.findall(r'resumed at iteration (\d+)', self.output)), default=0)


def die_writing(pattern: str, count: int, part: float) -> Callable[[], None]:
    """Be killed at the `count`-th write to such a name, after that share of the bytes."""
    matches = itertools.count(1)

    class Dying:
        def __init__(self, file: IO[bytes]) -> None:
            self.file = file

        def __enter__(self) -> 'Dying':
            return self

        def __exit__(self, *_: object) -> None:
            raise AssertionError('not killed')

        def write(self, content: bytes) -> None:
            self.file.write(content[: int(len(content) * part)])
            self.file.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    def sabotage() -> None:
        original = Path.open

        def opened(self: Path, mode: str = 'r', *args: object, **kwargs: object) -> object:
            file = original(self, mode, *args, **kwargs)
            hit = mode == 'wb' and fnmatch.fnmatch(self.name, f'.{pattern}.[0-9]*.partial')
            return Dying(file) if hit and next(matches) == count else file

        Path.open = opened

    return sabotage


def die_evaluating(count: int) -> Callable[[], None]:
    """Be killed at the `count`-th evaluated batch."""

    def sabotage() -> None:
        from mmengine.runner import ValLoop

        original, batches = ValLoop.run_iter, itertools.count(1)

        def run_iter(self: ValLoop, *args: object) -> None:
            if next(batches) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            original(self, *args)

        ValLoop.run_iter = run_iter

    return sabotage


def limit_files(size: int) -> Callable[[], None]:
    """Let no file grow beyond so many bytes, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
