"""Programs in forked processes, since importing what they need takes longer than most of them."""

import functools
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fresh(program: str, *arguments: object) -> str:
    """Run a program's text in the repository, like `python -c`; return everything it printed.

    Of the modules that the tests use, its process has imported only torch.
    """
    server = _server()
    server.stdin.write(json.dumps([program, [str(a) for a in arguments]]) + '\n')
    server.stdin.flush()
    code, out = json.loads(server.stdout.readline())
    assert code == 0, out[-4000:]
    return out


def forked(program: str, folder: Path, *arguments: str) -> str:
    """Run a program's text in a folder, with everything that this process has imported."""
    code, out = _in_child(program, [*arguments], folder)
    assert code == 0, out[-4000:]
    return out


@functools.cache
def _server() -> subprocess.Popen:
    """The process that forks; it ends with its input when the tests end."""
    path = f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': path}
    return subprocess.Popen(
        [sys.executable, __file__],
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def serve() -> None:
    import torch  # noqa: F401

    sys.path[0] = ''  # not the tests' folder
    for line in sys.stdin:
        print(json.dumps(_in_child(*json.loads(line))), flush=True)


def _in_child(program: str, arguments: list[str], folder: Path = ROOT) -> tuple[int, str]:
    """Return its exit code and what it printed."""
    output, end = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(end, 1)
        os.dup2(end, 2)
        os.close(end)
        os.chdir(folder)
        _run(program, arguments)
    os.close(end)
    with open(output, errors='replace') as printed:
        out = printed.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), out


def _run(program: str, arguments: list[str]) -> None:
    sys.argv, code = ['-c', *arguments], 1
    sys.stdout = os.fdopen(1, 'w', closefd=False)  # pytest may have replaced it
    sys.stderr = sys.stdout
    try:
        exec(compile(program, '<string>', 'exec'), {'__name__': '__main__'})
        code = 0
    except SystemExit as end:
        if end.code:
            print(end.code)
        code = int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == '__main__':
    serve()
