"""The core's tests with other versions of Python and PyTorch: make test-matrix.

Each environment gets the wheel of this checkout, pytest and the packages of its row; environments
of earlier calls, in `.matrix`, are used again. Prints the table of docs/compatibility.md.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from backbones.openmmlab.extra import RUNTIME_COMMAND

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / '.matrix'
# tests that need only torch, numpy and pytest
CORE = (
    *('test_core.py', 'test_backbones.py', 'test_cloformer.py', 'test_cswin.py'),
    *('test_moganet.py', 'test_volo.py', 'checkpoints/test_checkpoints.py'),
    *('checkpoints/test_files.py', 'checkpoints/test_torch_files.py'),
    *('checkpoints/test_downloads.py', 'ops'),
)
LEFT_OUT = ('ops/test_triton.py',)  # its kernels have no range of versions
# what a PyTorch release does differently than later ones, without effect on a model
OTHERWISE = {
    'oldest': (
        'tests/ops/test_linear.py::test_its_operations_are_counted',  # in a backward pass
        # before 2.7, recording by `torch.export` cannot be distinguished from compiling
        'tests/ops/test_ops.py::test_what_a_compiler_records_is_traced_but_not_exported',
    )
}


@dataclass(frozen=True)
class Environment:
    """What is installed beside the wheel.

    Args:
        python: version of the interpreter, such as '3.10'.
        packages: arguments of pip, in the order of the calls.
        tests: files and folders in `tests`.
        alone: whether to leave out the wheel's requirements, including PyTorch.
    """

    python: str
    packages: tuple[tuple[str, ...], ...]
    tests: tuple[str, ...] = CORE
    alone: bool = False


RUNTIME = tuple(shlex.split(RUNTIME_COMMAND.removeprefix('pip install ')))
OPENMMLAB = (
    ('torch==2.4.*', 'torchvision==0.19.*', 'numpy<2', 'opencv-python<4.12'),
    ('mmengine==0.10.7', 'mmcv-lite==2.1.0', 'mmdet==3.3.0', 'mmsegmentation==1.2.2'),
    ('ftfy', 'regex'),  # mmsegmentation imports them without requiring them
)
ENVIRONMENTS = {
    'oldest': Environment(
        '3.10', (('torch==2.4.*', 'numpy<2', 'safetensors==0.4.5', 'huggingface_hub==0.25.*'),)
    ),
    'middle': Environment('3.12', (('torch==2.8.*', 'numpy'),)),
    'newest': Environment('3.13', (('torch', 'numpy'),)),
    'openmmlab': Environment('3.10', OPENMMLAB, ('test_core.py', 'support/matrix_openmmlab.py')),
    'runtime': Environment(
        '3.10', (RUNTIME, ('onnx',)), ('support/matrix_runtime.py',), alone=True
    ),
}
VERSIONS = """
import importlib.metadata as metadata, sys
names = ('torch', 'numpy', 'onnxruntime', 'mmengine', 'mmcv-lite', 'mmdet', 'mmsegmentation')
found = {d.metadata['Name'].lower(): d.version for d in metadata.distributions()}
rest = ', '.join(f'{name} {found[name]}' for name in names[1:] if name in found)
print(f'{sys.version.split()[0]} | {found.get("torch", "-")} | {rest}')
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('names', nargs='*', help=f'of {", ".join(ENVIRONMENTS)}; default all')
    names = parser.parse_args().names or list(ENVIRONMENTS)
    if unknown := set(names) - set(ENVIRONMENTS):
        parser.error(f'no environment {", ".join(unknown)}; allowed: {", ".join(ENVIRONMENTS)}')
    missing = {v for v in (ENVIRONMENTS[n].python for n in names) if interpreter(v) is None}
    if missing:
        sys.exit(f'no interpreter of Python {", ".join(sorted(missing))} on PATH or in pyenv')
    package = wheel()
    results = {name: check(name, package) for name in names}
    print('\n| environment | Python | PyTorch | others | tests |\n| :-- | :-- | :-- | :-- | :-- |')
    for name, (versions, outcome, _) in results.items():
        print(f'| {name} | {versions} | {outcome} |')
    sys.exit(any(code for *_, code in results.values()))


def check(name: str, package: Path) -> tuple[str, str, int]:
    """Run an environment's tests; return its versions, pytest's summary, and the exit code."""
    environment = ENVIRONMENTS[name]
    python = install(name, environment, package)
    # a copy without the package beside it, so that the installed one is imported
    copy = FOLDER / 'tests-of' / name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / 'tests', copy / 'tests', ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'pyproject.toml', copy)
    command = [python, '-P' if environment.python > '3.10' else '-I', '-m', 'pytest', '-q']
    command += ['--override-ini=pythonpath=tests/support', '-rf']
    command += [f'tests/{path}' for path in environment.tests]
    command += [f'--ignore=tests/{path}' for path in LEFT_OUT]
    command += ['--noconftest'] if environment.alone else []  # it imports torch
    command += [f'--deselect={test}' for test in OTHERWISE.get(name, ())]
    print(f'{name}: {" ".join(environment.tests)}', flush=True)
    done = subprocess.run(
        command,
        cwd=copy,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': ''},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    (FOLDER / f'{name}.log').write_text(done.stdout)
    lines = done.stdout.splitlines()
    print('\n'.join(line for line in lines if line.startswith(('FAILED', 'ERROR'))))
    versions = subprocess.run([python, '-c', VERSIONS], text=True, capture_output=True, check=True)
    outcome = re.sub(r'=| in .*|, \d+ warnings?', '', lines[-1] if lines else '').strip()
    print(f'{name}: {outcome}', flush=True)
    return versions.stdout.strip(), outcome, done.returncode


def install(name: str, environment: Environment, package: Path) -> Path:
    """Create the environment, or update the wheel in it; return its interpreter."""
    folder = FOLDER / name
    python, marker = folder / 'bin/python', folder / 'packages'
    wanted = repr(environment.packages)
    pip = [str(python), '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    if not marker.is_file() or marker.read_text() != wanted:
        subprocess.run([interpreter(environment.python), '-m', 'venv', folder], check=True)
        for packages in environment.packages:
            subprocess.run([*pip, *packages], check=True)
        subprocess.run([*pip, 'pytest'], check=True)
        marker.write_text(wanted)
    before = frozen(python)
    subprocess.run([*pip, '--no-deps', '--force-reinstall', package], check=True)
    if not environment.alone:
        subprocess.run([*pip, package], check=True)  # installs what is missing
    if changed := before - frozen(python):
        sys.exit(f'{name}: the package changed what was installed: {", ".join(sorted(changed))}')
    return python


def frozen(python: Path) -> set[str]:
    command = [str(python), '-m', 'pip', 'list', '--format=freeze', '--disable-pip-version-check']
    listed = subprocess.run(command, text=True, capture_output=True, check=True).stdout
    return {line for line in listed.splitlines() if not line.startswith('dense-backbones')}


def wheel() -> Path:
    """Build the wheel of this checkout."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob('*.whl'):
        old.unlink()
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', FOLDER, ROOT]
    subprocess.run(command, check=True)
    (path,) = FOLDER.glob('*.whl')
    return path


def interpreter(version: str) -> str | None:
    """Return an interpreter of that version on PATH, or else pyenv's."""
    versions = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'), 'versions')
    found = [shutil.which(f'python{version}'), *sorted(versions.glob(f'{version}.*/bin/python'))]
    for path in filter(None, found):  # pyenv has shims even for versions that are not active
        answer = subprocess.run([path, '--version'], text=True, capture_output=True)
        if answer.stdout.startswith(f'Python {version}.'):
            return str(path)
    return None


if __name__ == '__main__':
    main()
