"""Programs in processes that have imported torch and nothing else of what the tests use.

They are forked from one that waits for them: importing torch takes longer than most of them do.
"""

import functools
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[2]


def fresh(program: str, *arguments: object) -> str:
    """Run a program's text in the repository, as `python -c` does; return all that it printed."""
    server = _server()
    server.stdin.write(json.dumps([program, [str(a) for a in arguments]]) + '\n')
    server.stdin.flush()
    code, out = json.loads(server.stdout.readline())
    assert code == 0, out[-4000:]
    return out


@functools.cache
def _server() -> subprocess.Popen:
    """The process that forks; it ends when its input does, with the tests."""
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
        output, end = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(end, 1)
            os.dup2(end, 2)
            os.close(end)
            _run(*json.loads(line))
        os.close(end)
        with open(output, errors='replace') as printed:
            out = printed.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps([code, out]), flush=True)


def _run(program: str, arguments: list[str]) -> None:
    sys.argv, code = ['-c', *arguments], 1
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
