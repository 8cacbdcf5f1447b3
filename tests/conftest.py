"""Options and fixtures; the helpers that tests import from here are in `shared`.

`shared` takes seconds to import, and the process that distributes the tests (`-n 2`) does not need
it, while the workers start only after that process.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest


def __getattr__(name: str) -> object:
    """Let tests import helpers from here; pytest also looks up its own names here."""
    if name.startswith(('pytest', 'collect', '_')):
        raise AttributeError(name)
    import shared

    return getattr(shared, name)


def pytest_addoption(parser: pytest.Parser) -> None:
    text = 'of the tests marked gpu; on the CPU they use small sizes'
    parser.addoption('--device', choices=('cuda', 'cpu'), default='cuda', help=text)


def pytest_collection_finish() -> None:
    from shared import allow_forks, let_stay

    let_stay()
    allow_forks()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Make each fixture and test draw the same numbers, whatever ran before in this process."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get('torch'):  # tests of exported files also run without it
        torch.manual_seed(0)


pytest_runtest_call = pytest_fixture_setup


@pytest.fixture(scope='session')
def trees(tmp_path_factory) -> Path:
    """COCO, ADE20K and Cityscapes with a few random images."""
    from mmdet.datasets import CocoDataset
    from PIL import Image

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


@pytest.fixture(scope='session')
def device(request: pytest.FixtureRequest) -> str:
    """The device for tests marked gpu; without one, the session ends at once."""
    import torch

    from backbones.errors import UserError
    from backbones.training.devices import require_cuda

    name = request.config.getoption('--device')
    try:
        require_cuda(name)
    except UserError as error:
        pytest.exit(str(error), returncode=1)
    # float32 is compared, not TensorFloat-32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return name
