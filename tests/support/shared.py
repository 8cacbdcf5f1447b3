"""What the tests share: every variant, files with the published layout, and tools."""

import contextlib
import copy
import functools
import gc
import importlib.util
import io
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest
import torch
from torch.utils.data import _utils as loaders
from weights import weight

from backbones import BACKBONES, variant
from backbones.checkpoints.match import _skeleton as skeleton  # noqa: F401, for the tests
from backbones.registry import variants
from backbones.variants import Variant

HERE = Path(__file__).parents[1]  # the folder `tests`
ROOT = HERE.parent
NANO = {cls: cls.NANO for cls in BACKBONES}
ROWS = list(variants().values())
GOLDENS = sorted((HERE / 'golden').glob('*.npz'))
SMALLEST = [next(iter(cls.ARCHS.values())) for cls in BACKBONES]
# all variants; the default suite uses only the smallest of each backbone
SMALLEST_FIRST = [
    pytest.param(row, id=row.name, marks=[] if row in SMALLEST else [pytest.mark.slow])
    for row in ROWS
]

torch.set_num_threads(1)
if importlib.util.find_spec('mmengine'):  # the core's tests also run without it
    from mmengine.runner import runner

    # it calls git, the compiler and PyTorch at each start of a training run
    runner.collect_env = functools.cache(runner.collect_env)
    from mmengine.config import Config

    read_file, read_once = Config._file2dict, functools.cache(Config._file2dict)

    def read_bases_once(filename: str, *options: object, **more: object) -> tuple:
        """Files that many configs inherit from; reading them takes most of a config's time."""
        if '/_base_/' not in filename:
            return read_file(filename, *options, **more)
        return copy.deepcopy(read_once(filename, *options, **more))

    Config._file2dict = staticmethod(read_bases_once)
# seconds that a garbage-collected loader waits for each of its workers; 5 by default
for module in (loaders, loaders.worker):
    module.MP_STATUS_CHECK_INTERVAL = 0.1


def variant_id(value: object) -> str | None:
    """Names of classes and variants as test ids."""
    return getattr(value, 'name', None) or getattr(value, '__name__', None)


def file_name(row: Variant) -> str:
    """Return a variant's name in the files of `golden` and `keys`, such as 'cswin_base_384'."""
    return f'{row.cls.__name__.lower()}_{row.arch}'


FILE_NAMES = {file_name(row): row for row in ROWS}


def twin(row: Variant) -> Variant:
    """Return the first variant with the same tensors, or the variant itself.

    Names and shapes do not distinguish the two, so they share the published layout; and nothing was
    published on a task with the second, so it has no leaves.
    """
    return next(r for r in row.cls.ARCHS.values() if r.parameters == row.parameters)


def split_leaf(name: str) -> tuple[str, Variant, str]:
    """Split a leaf's name into method, variant and the rest, such as '640_ade20k'."""
    names = sorted((row.name for row in ROWS), key=len, reverse=True)
    method, found, rest = re.split(rf'_({"|".join(names)})_', name)
    return method, variant(found), rest


@functools.cache
def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a published state dict, such as 'cswin_tiny_dense'."""
    return {k: tuple(s) for k, s in json.loads((HERE / f'keys/{name}.json').read_text()).items()}


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Deterministic weights, exact in float32, that depend on names and shapes only."""
    state = {k: torch.from_numpy(weight(k, s)).float() for k, s in shapes.items()}
    return {k: v.long() if k.endswith('num_batches_tracked') else v for k, v in state.items()}


def published_state(name: str) -> dict[str, torch.Tensor]:
    """A published state dict of `published_shapes` with deterministic weights."""
    return drawn(published_shapes(name))


def draw(*shape: int) -> torch.Tensor:
    """Normal float64 numbers, always the same for a shape."""
    seed = torch.Generator().manual_seed(sum(shape) + len(shape))
    return torch.randn(*shape, generator=seed, dtype=torch.float64)


def call(*command: object, fails: bool = False, **environment: str) -> str:
    """Run a command in the repository; return everything it printed."""
    paths = {
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}',
    }
    done = subprocess.run(
        [str(c) for c in command],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', **paths, **environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout


def tool(name: str, *arguments: object, fails: bool = False, page: bool = False) -> str:
    """Run a tool in this process as if in a new one; return everything it printed.

    A new process would import MMDetection and MMSegmentation, which takes longer than most tools.
    To save time, a training run writes its results page only with `page`.
    """
    if name == 'train' and not page:
        arguments = (*arguments, '--no-results')
    out, failed = io.StringIO(), False
    with as_a_process(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            load_tool(name).main([str(a) for a in arguments])
        except SystemExit as end:
            failed = end.code not in (None, 0)
            if isinstance(end.code, str):
                print(end.code)
        except Exception:
            failed = True
            traceback.print_exc()
    assert failed == fails, out.getvalue()[-4000:]
    return out.getvalue()


@contextlib.contextmanager
def as_a_process() -> Iterator[None]:
    """Remove what earlier runs left, before and after."""
    # formatting the config, which MMEngine writes to several places, takes longer than a short run
    plain = patch('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, True))
    with patch.dict(os.environ), contextlib.chdir(ROOT), plain:
        forget_instances()
        let_stay()
        yield
    forget_instances()
    gc.collect()  # ends the data loaders' workers


def let_stay() -> None:
    """Exclude existing objects from later garbage collections, by Python and by MMEngine.

    Otherwise the libraries' half a million objects take a third of a second each time.
    """
    gc.collect()
    gc.freeze()


def allow_forks() -> None:
    """Let tests fork after tests that compute gradients.

    With its first gradient, PyTorch starts a thread per device and then refuses gradients in
    forked processes, but not if only the CPU is known; fake tensors make others known.
    """
    if not torch.cuda.is_available():
        torch.ones((), requires_grad=True).backward()


def forget_instances(cls: type | None = None) -> None:
    """Drop MMEngine's loggers, message hubs, visualizers and default scopes."""
    from mmengine.utils import ManagerMixin

    cls = cls or ManagerMixin
    cls._instance_dict.clear()
    for child in cls.__subclasses__():
        forget_instances(child)


def load_tool(name: str) -> ModuleType:
    """Import a fresh copy of tools/NAME.py."""
    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
