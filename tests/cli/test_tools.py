"""The tools as users call them, on small embedded data and on fake copies of the datasets."""

import ast
import copy
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, call, tool
from killable import Training
from mmengine.config import Config

from backbones.openmmlab import console
from backbones.openmmlab.runner import TextOnceConfig
from backbones.package_files import tools

DETECTION = 'mask_rcnn_dilateformer_nano_digits'
SEGMENTATION = 'upernet_dilateformer_nano_digits'
SHORT_RUN = ('train_cfg.max_iters=4', 'train_cfg.val_interval=4', 'default_hooks.logger.interval=1',
             'default_hooks.checkpoint.interval=2', 'train_dataloader.batch_size=2')  # fmt: skip


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'digits'
    tool('make_digits', '--out', folder, '--train', 8, '--val', 2)
    return folder


def losses(log: str) -> list[float]:
    return [float(x) for x in re.findall(r'Iter\(train\).* loss: ([\d.]+)', log)]


@pytest.mark.parametrize('config', [DETECTION, SEGMENTATION])
def test_train_resume_and_test(config: str, digits: Path, tmp_path: Path) -> None:
    leaf = f'configs/{config}.py'
    common = (leaf, '--data-root', digits, '--work-dir', tmp_path)
    log = tool('train', *common, '--amp', '--ema', '--cfg-options', *SHORT_RUN)
    assert len(losses(log)) == 4 and np.isfinite(losses(log)).all()
    for fact in ('task ', 'backbone    DilateFormer', 'parameters ', 'from scratch', 'fresh',
                 f'{digits}/images/train: 8 images', f'{digits}/images/val: 2 images',
                 'AdamW, lr', '2 = 1 process', 'dry run: train pipeline', 'eta:'):  # fmt: skip
        assert fact in log
    (first, rule, task, classes, *rest) = log.splitlines()  # nothing comes before the block
    assert set(rule) == {'-'} and task.startswith('task  ') and classes.startswith('classes  ')
    hidden = ('System environment:', 'Hooks will be executed', 'Config:', 'paramwise_options')
    (file,) = tmp_path.glob('*/*.log')
    for text in hidden:
        assert text not in log and text in file.read_text()
    assert 'WARNING' not in log and len(log.splitlines()) < 60
    assert log.count('AMP: a step in bfloat16 takes') == (0 if torch.cuda.is_available() else 1)

    longer = ('train_cfg.max_iters=6', *SHORT_RUN[1:])
    again = ('--resume', '--ema', '--no-dry-run')
    log = tool('train', *common, *again, '--cfg-options', *longer, page=True)
    assert 'resumed at' in log and 'iteration 4' in log and len(losses(log)) == 2
    page = (tmp_path / 'results/index.html').read_text()
    assert f'results page: {tmp_path}/results/index.html' in log
    assert 'Validation images with the weights of last.pth' in page  # the config keeps no best
    assert ('AP is for masks' in page) == (config == DETECTION)
    assert 'curves.png' in page and 'worst_2.jpg' in page and '>9</td>' in page

    if config == SEGMENTATION:
        tuned = f'load_from={tmp_path / "iter_6.pth"}'
        other = (*common[:3], '--work-dir', tmp_path / 'tuned', '--no-dry-run', '--cfg-options')
        assert 'fine-tuned from' in tool(
            'train', *other, *SHORT_RUN, 'train_cfg.max_iters=1', tuned
        )

    predictions, pictures = tmp_path / 'predictions.pkl', tmp_path / 'pictures'
    arguments = ('--out', predictions, '--show-dir', pictures)
    arguments += ('--results',) if config == SEGMENTATION else ()
    arguments += ('--cfg-options', 'load_from=not_there.pth')  # for training only
    out = tool('test', leaf, tmp_path / 'iter_6.pth', *common[1:], *arguments)
    assert predictions.is_file() and len([*pictures.glob('*.png')]) == 2
    result = json.loads((tmp_path / 'metrics.json').read_text())
    assert set(out.splitlines()[1]) == {'-'} and 'Hooks will be executed' not in out
    assert f'{digits}/images/val: 2 images' in out
    assert not [name for name in result['metrics'] if name.endswith('_precision')]
    if config == DETECTION:
        assert {'coco/bbox_mAP', 'coco/segm_mAP_50', 'coco/segm_mAP_s'} <= set(result['metrics'])
        assert re.search(r'\| *mAP \| *AP50 \| *AP75 \| *S \| *M \| *L \|', out)
    else:
        assert {'mIoU', 'mAcc', 'aAcc'} <= set(result['metrics'])
        assert len(result['class_iou']) == 11 and '| background |' in out
        page = (tmp_path / 'results/index.html').read_text()
        assert f'weights of {tmp_path}/iter_6.pth' in page

    if config == DETECTION:
        other = f'configs/{SEGMENTATION}.py'
        error = tool('test', other, tmp_path / 'iter_6.pth', *common[1:], fails=True)
        assert re.search(r'error: .*iter_6\.pth does not fit this config', error)
        assert 'Traceback' not in error


def test_what_says_nothing_to_a_user_is_left_out() -> None:
    out = io.StringIO()
    stream = console.WithoutNoise(out)
    print('Could not import OneDL. Skipping OneDL datasets.', file=stream)
    print('Done', file=stream)
    print('\nloading annotations into memory...', file=stream)
    print(file=stream)
    assert out.getvalue() == 'Done\n\n'


def test_a_config_is_formatted_once_and_again_when_it_changed(monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(
        'yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (seen.append(text) or text, True)
    )
    cfg = copy.deepcopy(TextOnceConfig.of(Config(dict(model=dict(type='A')))))
    first, second = cfg.pretty_text, cfg.pretty_text
    cfg.model.type = 'B'
    assert "type='B'" in cfg.pretty_text
    assert first == second and "type='A'" in first and len(seen) == 2


def by_script(arguments: list, folder: Path, port: int) -> str:
    return call('bash', 'tools/dist_train.sh', arguments[0], 2, *arguments[1:], PORT=str(port))


def forked(arguments: list, folder: Path, port: int) -> str:
    """Two processes like those that torch.distributed.run starts, without the imports."""

    def place(rank: int) -> Callable[[], None]:
        variables = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_PORT=port)
        variables = {name: str(value) for name, value in variables.items()}
        return lambda: os.environ.update(variables, MASTER_ADDR='127.0.0.1')

    arguments = [*map(str, arguments), '--launcher', 'pytorch']
    two = [Training(folder / f'{rank}.log', arguments, place(rank)) for rank in (0, 1)]
    assert [each.wait() for each in two] == [0, 0], two[0].output[-4000:]
    return two[0].output


@pytest.mark.skipif(torch.cuda.is_available(), reason='gloo on CPU')
@pytest.mark.parametrize('start', [forked, pytest.param(by_script, marks=pytest.mark.slow)])
def test_two_processes_train_as_one(start: Callable, digits: Path, tmp_path: Path) -> None:
    """The scenes per iteration are the same, so gradients, weights and final evaluation agree."""
    options = (
        'train_cfg.max_iters=3',
        'train_cfg.val_interval=3',
        'train_dataloader.dataset.indices=[0,1,2,3]',
        'train_dataloader.sampler.shuffle=False',
        'optim_wrapper.optimizer.eps=10',  # otherwise Adam amplifies rounding of small gradients
        'optim_wrapper.optimizer.lr=0.01',
        'model.backbone.norm_eval=True',  # batch statistics would differ
        'model.decode_head.norm_cfg.type=GN',
        'model.decode_head.norm_cfg.num_groups=4',
    )
    config = f'configs/{SEGMENTATION}.py'
    common = ('--data-root', digits, '--cfg-options', *options)
    batch = 'train_dataloader.batch_size={}'.format
    one = tool('train', config, '--work-dir', tmp_path / 'one', *common, batch(4))
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    two = start([config, '--work-dir', tmp_path / 'two', *common, batch(2)], tmp_path, port)
    assert '2 processes on CPU, over gloo' in two
    assert '4 = 2 process(es) x 2' in two and '4 = 1 process(es) x 4' in one
    weights = [torch.load(tmp_path / name / 'iter_3.pth')['state_dict'] for name in ('one', 'two')]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-3, atol=1e-5, msg=key)
    assert 'over 2 images' in (tmp_path / 'two/results/index.html').read_text()
    scores = [re.search(r'mIoU: ([\d.]+)', log)[1] for log in (one, two)]
    assert float(scores[0]) == pytest.approx(float(scores[1]), abs=0.2)


@pytest.mark.parametrize(
    'config, data, options, metric',
    [
        pytest.param(
            'mask_rcnn_dilateformer_t_coco',
            'coco',
            ('train_cfg.max_epochs=1', 'model.test_cfg.rcnn.score_thr=0.001',
             'model.test_cfg.rcnn.max_per_img=5', 'model.test_cfg.rpn.max_per_img=50',
             'model.train_cfg.rcnn.sampler.num=32',
             'train_dataloader.dataset.pipeline.2.scale=(96,72)',
             'val_dataloader.dataset.pipeline.1.scale=(96,72)'),
            'coco/segm_mAP',
            marks=pytest.mark.slow,
        ),
        (
            'upernet_dilateformer_t_ade20k',
            'ade',
            ('train_cfg.max_iters=2', 'train_cfg.val_interval=2',
             'train_dataloader.dataset.pipeline.2.scale=(96,72)',
             'train_dataloader.dataset.pipeline.3.crop_size=(64,64)',
             'model.data_preprocessor.size=(64,64)',
             'model.decode_head.channels=32', 'model.auxiliary_head.channels=32',
             'val_dataloader.dataset.pipeline.1.scale=(96,72)'),
            'mIoU',
        ),
        pytest.param(
            'upernet_volo_d1_cityscapes',
            'cityscapes',
            ('train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'model.backbone.init_cfg=None',
             'train_dataloader.dataset.pipeline.2.scale=(128,64)',
             'train_dataloader.dataset.pipeline.3.crop_size=(32,64)',
             'model.data_preprocessor.size=(32,64)',
             'model.test_cfg.crop_size=(32,64)', 'model.test_cfg.stride=(22,43)',
             'val_dataloader.dataset.pipeline.1.scale=(128,64)'),
            'mIoU',
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_real_leaves_train_and_evaluate(
    config: str, data: str, options: tuple, metric: str, trees: Path, tmp_path: Path
) -> None:
    log = tool('train', f'configs/{config}.py', '--data-root', trees / data, '--work-dir', tmp_path,
               '--cfg-options', 'default_hooks.logger.interval=1', 'train_dataloader.num_workers=0',
               'default_hooks.checkpoint.save_optimizer=False',
               'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
               'val_dataloader.persistent_workers=False', *options)  # fmt: skip
    assert 'Saving checkpoint' in log and metric in log
    assert len(re.findall(r'(?:Iter|Epoch)\(train\)', log)) == 2


@pytest.mark.parametrize(
    'arguments, message',
    [
        (('configs/upernet_dilateformer_b_ade20k.py', '--data-root', '/nowhere'),
         r'/nowhere/images/training; /nowhere/annotations/training'),
        (('configs/upernet_volo_d4_cityscapes.py', '--data-root', '/nowhere'),
         r'/nowhere/leftImg8bit/train;.*README\.md .* section "Datasets"'),
        (('configs/upernet_dilateformer_q_ade20k.py',), 'does not exist; did you mean'),
        (('upernet_dilateformer_q_ade20k',), r"does not exist; did you mean 'upernet_dil"),
        (('configs',), r'configs is a folder, not a config; tools/new_config\.py'),
    ],
)  # fmt: skip
def test_bad_input_ends_with_one_plain_message(arguments: tuple, message: str) -> None:
    out = tool('train', *arguments, fails=True)
    assert re.search(f'(?s)error: .*{message}', out) and 'Traceback' not in out


def test_a_broken_checkpoint_is_an_error(digits: Path, tmp_path: Path) -> None:
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(b'PK\x03\x04' + bytes(300))
    common = (f'configs/{DETECTION}.py', broken, '--data-root', digits)
    out = tool('test', *common, fails=True)
    assert 'truncated or damaged' in out and 'Traceback' not in out
    out = tool(
        'test', f'configs/{DETECTION}.py', tmp_path / 'gone.pth', '--data-root', digits, fails=True
    )
    assert 'gone.pth does not exist' in out


@pytest.mark.parametrize('part, files', [('train', ['a.py']), ('test', ['a.py', 'x.pth'])])
def test_dist_scripts_start_as_many_processes_as_they_are_told(
    part: str, files: list, tmp_path: Path
) -> None:
    """A script in the place of Python prints its arguments."""
    python = tmp_path / 'python'
    python.write_text('#!/bin/sh\necho "$@" threads $OMP_NUM_THREADS\n')
    python.chmod(0o755)
    command = ['bash', f'tools/dist_{part}.sh', *files, '3', '--amp']
    path = f'{tmp_path}:{os.environ["PATH"]}'
    environment = {**os.environ, 'PATH': path, 'VIRTUAL_ENV': str(tmp_path), 'PORT': '29611'}
    out = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert out.stdout.decode().split() == [
        *('-m', 'torch.distributed.run', '--nnodes=1', '--nproc_per_node=3', '--node_rank=0'),
        *('--master_addr=127.0.0.1', '--master_port=29611', f'tools/{part}.py', *files, '--amp'),
        *('--launcher', 'pytorch', 'threads', '1'),
    ]


def test_scripts_say_how_they_are_used() -> None:
    for script in ('dist_train', 'dist_test', 'slurm_train', 'slurm_test'):
        out = call('bash', f'tools/{script}.sh', 'configs/x.py', fails=True)
        assert re.search(r'tools/\w+\.sh (PARTITION JOB_NAME )?CONFIG ', out)


@pytest.mark.slow
def test_backbones_work_in_a_project_outside(tmp_path: Path) -> None:
    """A user's MMDetection config outside the repository uses a backbone by custom_imports."""
    (tmp_path / 'own.py').write_text(
        "_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'\n"
        "custom_imports = dict(imports=['backbones'], allow_failed_imports=False)\n"
        "model = dict(backbone=dict(_delete_=True, type='CSWin', arch='tiny'),\n"
        '             neck=dict(in_channels=[64, 128, 256, 512]))\n'
    )
    code = (
        'from mmengine.config import Config; from mmengine.registry import init_default_scope\n'
        "cfg = Config.fromfile('own.py'); init_default_scope('mmdet')\n"
        'from mmdet.registry import MODELS; from mmdet.utils import register_all_modules\n'
        'register_all_modules(False); model = MODELS.build(cfg.model); print(type(model.backbone))'
    )
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    out = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env=env, text=True,
                         capture_output=True)  # fmt: skip
    assert "<class 'backbones.cswin.CSWin'>" in out.stdout, out.stderr[-2000:]


def test_create_names_the_allowed_backbones() -> None:
    import backbones

    with pytest.raises(
        ValueError, match=r"no backbone 'cswin_tiny'; allowed: .* timm:NAME, .*mean 'cswin_t'"
    ):
        backbones.create('cswin_tiny')


@pytest.mark.parametrize('path', tools(), ids=lambda path: path.stem)
def test_help_explains_every_argument(path: Path) -> None:
    added = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument'
    ]
    assert added
    for node in added:
        assert 'help' in {keyword.arg for keyword in node.keywords}, ast.unparse(node)
