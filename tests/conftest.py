"""What the tests share: every variant, files with the published layout, tools and data trees."""

import contextlib
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

import numpy as np
import pytest
import torch
from mmengine.utils import ManagerMixin
from PIL import Image
from torch.utils.data import _utils as loaders
from weights import weight

from backbones import BACKBONES, variant
from backbones.checkpoints.match import _skeleton as skeleton  # noqa: F401, for the tests
from backbones.commands.devices import require_cuda
from backbones.errors import UserError
from backbones.registry import variants
from backbones.variants import Variant

HERE = Path(__file__).parent
ROOT = HERE.parent
NANO = {cls: cls.NANO for cls in BACKBONES}
ROWS = list(variants().values())
GOLDENS = sorted((HERE / 'golden').glob('*.npz'))
SMALLEST = [next(iter(cls.ARCHS.values())) for cls in BACKBONES]
# all variants, of which the default suite takes the smallest of each backbone only
SMALLEST_FIRST = [
    pytest.param(row, id=row.name, marks=[] if row in SMALLEST else [pytest.mark.slow])
    for row in ROWS
]

torch.set_num_threads(1)
# seconds that a loader which is collected in a cycle waits for each of its workers; 5 by default
for module in (loaders, loaders.worker):
    module.MP_STATUS_CHECK_INTERVAL = 0.1


def pytest_addoption(parser: pytest.Parser) -> None:
    text = 'of the tests marked gpu; on the CPU they use small sizes'
    parser.addoption('--device', choices=('cuda', 'cpu'), default='cuda', help=text)


def variant_id(value: object) -> str | None:
    """Names of classes and variants as test ids."""
    return getattr(value, 'name', None) or getattr(value, '__name__', None)


def file_name(row: Variant) -> str:
    """What the files in `golden` and `keys` call a variant, e.g. 'cswin_base_384'."""
    return f'{row.cls.__name__.lower()}_{row.arch}'


FILE_NAMES = {file_name(row): row for row in ROWS}


def twin(row: Variant) -> Variant:
    """The first variant with the same tensors, itself if there is none.

    Names and shapes do not tell the two apart, so they share their published layout; and no task
    was published for the second, so it has no leaves.
    """
    return next(r for r in row.cls.ARCHS.values() if r.parameters == row.parameters)


def split_leaf(name: str) -> tuple[str, Variant, str]:
    """Method, variant and the rest, e.g. '640_ade20k', of a leaf's name."""
    names = sorted((row.name for row in ROWS), key=len, reverse=True)
    method, found, rest = re.split(rf'_({"|".join(names)})_', name)
    return method, variant(found), rest


@functools.cache
def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published state dict, e.g. 'cswin_tiny_dense'."""
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
    """Run a command in the repository; return all that it printed."""
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
    """Run a tool in this process as if it were in one of its own; return all that it printed.

    A process imports MMDetection and MMSegmentation first, which takes longer than most tools do.
    A training writes its results page only if `page` asks for it, for time.
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
    """Begin without what earlier runs left, and leave nothing."""
    # MMEngine writes the config half a dozen times, and formatting it takes longer than a short run
    plain = patch('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, True))
    with patch.dict(os.environ), contextlib.chdir(ROOT), plain:
        forget_instances()
        gc.freeze()  # MMEngine collects, too: let it look at the run's own objects only
        yield
    forget_instances()
    gc.collect()  # ends the workers of data loaders
    gc.unfreeze()


def forget_instances(cls: type = ManagerMixin) -> None:
    """Drop MMEngine's loggers, message hubs, visualizers and default scopes."""
    cls._instance_dict.clear()
    for child in cls.__subclasses__():
        forget_instances(child)


def load_tool(name: str) -> ModuleType:
    """Import tools/NAME.py, anew each time."""
    spec = importlib.util.spec_from_file_location(name, ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='session')
def trees(tmp_path_factory) -> Path:
    """COCO, ADE20K and Cityscapes with a few random images."""
    from mmdet.datasets import CocoDataset

    root, rng = tmp_path_factory.mktemp('trees'), np.random.default_rng(0)

    def image(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(path)

    for split, count in (('training', 4), ('validation', 2)):
        for i in range(count):
            image(root / f'ade/images/{split}/{i}.jpg')
            labels = root / f'ade/annotations/{split}/{i}.png'
            labels.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 151, (48, 64), np.uint8)).save(labels)
    for split, town, count in (('train', 'aachen', 4), ('val', 'munster', 2)):
        for i in range(count):
            image(root / f'cityscapes/leftImg8bit/{split}/{town}/{i}_leftImg8bit.png')
            labels = root / f'cityscapes/gtFine/{split}/{town}/{i}_gtFine_labelTrainIds.png'
            labels.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.choice([*range(19), 255], (48, 64)).astype(np.uint8)).save(labels)
    names = [dict(id=i, name=n) for i, n in enumerate(CocoDataset.METAINFO['classes'], 1)]
    box = dict(
        bbox=[8, 8, 40, 36], area=1440, iscrowd=0, segmentation=[[8, 8, 48, 8, 48, 44, 8, 44]]
    )
    for split, count in (('train2017', 4), ('val2017', 2)):
        for i in range(count):
            image(root / f'coco/{split}/{i}.jpg')
        images = [dict(id=i, file_name=f'{i}.jpg', height=48, width=64) for i in range(count)]
        boxes = [dict(box, id=i + 1, image_id=i, category_id=i + 1) for i in range(count)]
        path = root / f'coco/annotations/instances_{split}.json'
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(dict(images=images, annotations=boxes, categories=names)))
    return root


@pytest.fixture
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope='session')
def device(request: pytest.FixtureRequest) -> str:
    """What the tests marked gpu run on; the session ends at once where there is none."""
    name = request.config.getoption('--device')
    try:
        require_cuda(name)
    except UserError as error:
        pytest.exit(str(error), returncode=1)
    # float32 is compared, not TensorFloat-32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return name
