"""Wherever a checkpoint is loaded, its class names match the config's, or an error says so."""

import os
import re
from pathlib import Path

import pytest
import torch
from conftest import tool
from mmengine.config import Config
from mmengine.registry import init_default_scope

from backbones.checkpoints.classes import classes_in, same_classes
from backbones.errors import CheckpointError
from backbones.openmmlab.registries import import_scope
from backbones.package_files import config_file
from backbones.training.preflight import tensors_of_classes

CONFIG = 'mask_rcnn_cloformer_nano_digits'
SHORT = ('train_cfg.max_iters=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=1')
NAMES = tuple('0123456789')
OTHER_ORDER = tuple('0123456798')
OTHERS = tuple('abcdefghij')


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'digits'
    tool('make_digits', '--out', folder, '--train', 2, '--val', 1)
    return folder


@pytest.fixture(scope='module')
def trained(digits: Path, tmp_path_factory) -> Path:
    """A folder with three checkpoints: the same names, another order, other names."""
    work = tmp_path_factory.mktemp('work')
    tool('train', CONFIG, '--data-root', digits, '--work-dir', work, '--no-dry-run',
         '--cfg-options', *SHORT)  # fmt: skip
    file = torch.load(work / 'last.pth')
    for name, classes in (('order', OTHER_ORDER), ('others', OTHERS)):
        file['meta']['dataset_meta']['classes'] = classes
        torch.save(file, work / f'{name}.pth')
    return work


@pytest.mark.parametrize(
    'meta, expected',
    [
        (dict(dataset_meta=dict(classes=['a', 'b'])), ('a', 'b')),
        (dict(CLASSES=('a', 'b')), ('a', 'b')),
        (dict(dataset_meta=None), None),
        (dict(dataset_meta=dict(classes='ab')), None),
        ([], None),
        (None, None),
    ],
)
def test_names_in_a_file(meta: object, expected: tuple | None) -> None:
    assert classes_in(dict(meta=meta)) == expected


def test_names_are_compared() -> None:
    assert same_classes(NAMES, NAMES, 'x.pth') and same_classes(None, NAMES, 'x.pth')
    assert same_classes(NAMES, None, 'x.pth')
    told = r"order.*; class 8 is '9' there, but '8' here.*'9', '8'\. Label maps .* values="
    for fresh in (True, False):
        with pytest.raises(CheckpointError, match=told):
            same_classes(OTHER_ORDER, NAMES, 'x.pth', fresh=fresh)
    with pytest.raises(CheckpointError, match=r'x\.pth was trained on 10 classes.* class 0 is'):
        same_classes(OTHERS, NAMES, 'x.pth')
    assert not same_classes(OTHERS, NAMES, 'x.pth', fresh=True)


@pytest.mark.parametrize(
    'command, name',
    [
        *((command, 'order') for command in ('test', 'export', 'predict', 'resume', 'resume=True')),
        ('test', 'others'),
        *(pytest.param(command, 'others', marks=pytest.mark.slow)
          for command in ('export', 'predict', 'resume')),
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_classes_is_refused(
    command: str, name: str, trained: Path, digits: Path, tmp_path: Path
) -> None:
    file = trained / f'{name}.pth'
    arguments = {
        'test': ('test', CONFIG, file, '--data-root', digits),
        'export': ('export', CONFIG, file, '--out', tmp_path / 'x.onnx', '--size', 64, 64),
        'predict': ('predict', CONFIG, file, digits / 'images/val', '--out', tmp_path / 'x'),
        'resume': ('train', CONFIG, '--data-root', digits, '--resume', file),
        'resume=True': ('train', CONFIG, '--data-root', digits, '--cfg-options', 'resume=True',
                        f'load_from={file}'),
    }[command]  # fmt: skip
    if arguments[0] in ('test', 'train'):
        arguments = (*arguments[:2], '--work-dir', tmp_path, *arguments[2:])
    said = tool(*arguments, fails=True)
    first = {'order': "class 8 is '9' there, but '8' here", 'others': "class 0 is 'a' there"}[name]
    assert 'error: ' in said and first in said and 'Traceback' not in said


def test_fine_tuning_refuses_another_order_and_begins_anew_for_other_classes(
    trained: Path, digits: Path, tmp_path: Path
) -> None:
    common = ('train', CONFIG, '--data-root', digits, '--no-dry-run', '--work-dir')
    said = tool(*common, tmp_path / 'a', '--cfg-options', *SHORT,
                f'load_from={trained / "order.pth"}', fails=True)  # fmt: skip
    assert "class 8 is '9' there" in said and 'Set metainfo.classes to the order' in said
    log = tool(*common, tmp_path / 'b', '--cfg-options', *SHORT, 'optim_wrapper.optimizer.lr=0',
               f'load_from={trained / "others.pth"}')  # fmt: skip
    assert 're-initialised for other classes (a, b, ' in log
    before = torch.load(trained / 'others.pth')['state_dict']
    after = torch.load(tmp_path / 'b/last.pth')['state_dict']
    moved = {
        key
        for key in before
        if not torch.equal(before[key], after[key]) and not re.search('running_|num_batches', key)
    }
    heads = ('bbox_head.fc_cls', 'bbox_head.fc_reg', 'mask_head.conv_logits')
    assert moved and all(key.startswith(tuple(f'roi_head.{h}.' for h in heads)) for key in moved)


@pytest.mark.parametrize(
    'config, some',
    [
        ('upernet_cswin_nano_digits', 'decode_head.conv_seg.weight'),
        ('retinanet_cloformer_nano_small', 'bbox_head.retina_cls.weight'),
    ],
)
def test_tensors_of_classes_are_found_by_building(config: str, some: str) -> None:
    cfg = Config.fromfile(config_file(config))
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    found = tensors_of_classes(cfg)
    assert some in found and not [key for key in found if key.startswith(('backbone.', 'neck.'))]


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


slow = [pytest.mark.slow]
HEAD = 'model.roi_head.bbox_head.init_cfg'
WAYS = {
    'load_from': ('--cfg-options', 'load_from={}'),
    'resume': ('--resume', '{}'),
    'pretrained': ('--pretrained', '{}'),
    'of a head': ('--cfg-options', f'{HEAD}.type=Pretrained', f'{HEAD}.checkpoint={{}}'),
    'resume by the config': ('--cfg-options', 'resume=True', 'load_from={}'),
}


@pytest.mark.parametrize(
    'way',
    [
        pytest.param(way, marks=[] if way in ('load_from', 'resume', 'of a head') else slow)
        for way in WAYS
    ],
)
def test_a_training_executes_no_file(way: str, trained: Path, digits: Path, tmp_path: Path) -> None:
    file = torch.load(trained / 'last.pth')
    mark, path = tmp_path / 'mark', tmp_path / 'evil.pth'
    file['args'] = Touch(mark)
    torch.save(file, path)
    options = [part.format(path) for part in WAYS[way]]
    said = tool('train', CONFIG, '--data-root', digits, '--work-dir', tmp_path / 'work',
                '--no-dry-run', *options, fails=True)  # fmt: skip
    assert 'is rejected: reading it would call posix.mkdir' in said and not mark.exists()


@pytest.mark.parametrize(
    'mean, std, bgr, differs',
    [
        ([1.0, 2, 3], [4, 5, 6], True, False),
        ((1, 2.5, 3), [4, 5, 6], True, True),
        ([1, 2, 3], [4, 5, 6], False, True),
    ],
)
def test_other_preprocessing_than_in_the_training_is_told(mean, std, bgr, differs) -> None:
    from mmengine.logging import MMLogger

    from backbones.data.checks.training_record import warn_of_preprocessing

    part = dict(type='DetDataPreprocessor', mean=[1, 2, 3], std=[4, 5, 6], bgr_to_rgb=True)
    model = dict(backbone=dict(type='CSWin'), data_preprocessor=part)
    text = Config(dict(model=model)).pretty_text
    now = Config(
        dict(model=dict(model, data_preprocessor=dict(part, mean=mean, std=std, bgr_to_rgb=bgr)))
    )
    said = []
    logger = MMLogger.get_current_instance()
    logger.addFilter(lambda record: said.append(record.getMessage()) or True)
    warn_of_preprocessing(now, dict(meta=dict(cfg=text)), 'x.pth')
    logger.filters.clear()
    assert bool(said) == differs
    for broken in (dict(meta=[]), {}, dict(meta=dict(cfg=3)), dict(meta=dict(cfg='(('))):
        warn_of_preprocessing(now, broken, 'x.pth')
