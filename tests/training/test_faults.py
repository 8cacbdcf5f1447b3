"""Faults as users meet them: tools/train.py is interrupted, killed or starved, and continues."""

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, tool
from killable import SECONDS, Training, die_evaluating, die_writing, limit_files

from backbones.checkpoints import read

LEAVES = {
    'detection': 'mask_rcnn_cloformer_nano_digits',
    'segmentation': 'upernet_cloformer_nano_digits',
}
# the digits' pipelines are not random: add random sizes, crops and flips, and drop path
CONFIG = """
_base_ = {leaf!r}
model = dict(backbone=dict(drop_path_rate=0.2))
train_dataloader = dict(
    batch_size=2,
    num_workers={workers},
    persistent_workers={workers} > 0,
    sampler=dict(type={sampler!r}, shuffle=True),
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            {load},
            dict(type='RandomResize', scale=(96, 96), ratio_range=(1.0, 1.5), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(96, 96)),
            dict(type='RandomFlip', prob=0.5),
            dict(type={pack!r}),
        ]
    ),
)
train_cfg = dict(_delete_=True, **{train_cfg})
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=6)]
custom_hooks = [dict(type='EMAHook')]
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(by_epoch={by_epoch}, interval=1, max_keep_ckpts=-1)
)
log_processor = dict(by_epoch={by_epoch})
"""
LOADS = {
    'detection': "dict(type='LoadAnnotations', with_bbox=True, with_mask=True)",
    'segmentation': "dict(type='LoadAnnotations')",
}
LOOPS = {
    'iterations': dict(type='IterBasedTrainLoop', max_iters=6, val_interval=6),
    'epochs': dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2),
}


@pytest.fixture(scope='module')
def digits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('data') / 'digits'
    tool('make_digits', '--out', folder, '--train', 6, '--val', 2)
    return folder


def write_config(path: Path, task: str, loop: str, workers: int) -> Path:
    by_epoch = loop == 'epochs'
    path.write_text(
        CONFIG.format(
            leaf=str(ROOT / f'configs/{LEAVES[task]}.py'),
            workers=workers,
            sampler='DefaultSampler' if by_epoch else 'InfiniteSampler',
            load=LOADS[task],
            pack='PackDetInputs' if task == 'detection' else 'PackSegInputs',
            train_cfg=LOOPS[loop],
            by_epoch=by_epoch,
        )
    )
    return path


def losses(log: str) -> list[str]:
    """Return what the log says about each iteration, without times."""
    lines = re.findall(r'(?:Iter|Epoch)\(train\) .*', log)
    return [re.sub(r' (eta|time|data_time|memory): \S+', '', line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize('task', LEAVES)
def test_the_log_of_a_resumed_training_is_the_uninterrupted_one(
    task: str, loop: str, workers: int, digits: Path, tmp_path: Path
) -> None:
    """Augmentations, drop path, sampled proposals, schedule and averaged weights agree exactly."""
    config = write_config(tmp_path / 'config.py', task, loop, workers)
    common = ('train', config, '--data-root', digits, '--work-dir')
    whole = losses(tool(*common, tmp_path / 'whole'))
    middle = 'epoch_1.pth' if loop == 'epochs' else 'iter_3.pth'
    rest = losses(tool(*common, tmp_path / 'again', '--resume', tmp_path / 'whole' / middle))
    assert len(whole) == 6 and len(set(whole)) == 6
    assert rest == whole[3:]


ITERATIONS, INTERVAL, EVALUATION = 8, 2, 4
KEEP = {  # options of the checkpoint hook
    'keep 1': ('max_keep_ckpts=1', 'save_best=None'),
    'keep 3': ('max_keep_ckpts=3', 'save_best=None'),
    'keep 1, best': ('max_keep_ckpts=1', 'save_best=mIoU'),
    'keep 3, best': ('max_keep_ckpts=3', 'save_best=mIoU'),
}


def arguments(digits: Path, work_dir: Path, keep: str) -> list[str]:
    hook = [f'default_hooks.checkpoint.{option}' for option in KEEP[keep]]
    return [
        *(f'configs/{LEAVES["segmentation"]}.py', '--resume', '--work-dir', str(work_dir)),
        *('--data-root', str(digits), '--cfg-options', f'train_cfg.max_iters={ITERATIONS}'),
        *(f'train_cfg.val_interval={EVALUATION}', 'train_dataloader.batch_size=1'),
        *('val_dataloader.batch_size=1', 'default_hooks.logger.interval=1'),
        *(f'default_hooks.checkpoint.interval={INTERVAL}', *hook),
    ]


def check_that_it_goes_on(command: list[str], work_dir: Path, reached: int) -> Training:
    """The same command finishes training; at most an interval is lost, and no file is partial."""
    again = Training(work_dir.with_suffix('.again'), command)
    assert again.wait() == 0, again.output[-3000:]
    assert again.start >= reached - INTERVAL
    assert (again.iterations or again.start) == ITERATIONS
    assert not [*work_dir.glob('.*')]
    for name in ['last.pth'] + ['best.pth'] * ('save_best=mIoU' in ' '.join(command)):
        state = read(str(work_dir / name))
        assert state['meta']['iter'] in (ITERATIONS, EVALUATION)
    return again


def places() -> list:
    """Yield where and how to kill a training run: at random moments, and while writing."""
    draw, found = random.Random(0), []
    keeps = itertools.cycle(KEEP)
    for _ in range(8):
        found.append(('start', r'^', round(draw.uniform(0, 3), 2), next(keeps)))
    for _ in range(12):
        pattern = rf'Iter\(train\) \[{draw.randint(1, ITERATIONS)}/'
        found.append(('training', pattern, round(draw.uniform(0, 0.3), 2), next(keeps)))
    for count in (1, 2, 3, 4):
        found.append(('evaluating', count, 0, next(keeps)))
    for count, part in itertools.product((1, 2, 4), (0, 0.001, 0.5, 0.99, 1)):
        found.append(('writing iter_*.pth', count, part, next(keeps)))
    for count, part in itertools.product((1, 2), (0, 0.5, 1)):
        found.append(('writing best_*.pth', 1, part, ('keep 1, best', 'keep 3, best')[count - 1]))
    for count, part in ((1, 0), (2, 0.5), (3, 0.9)):
        found.append(('writing last_checkpoint', count, part, next(keeps)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize('place, when, part, keep', places())
def test_a_killed_training_goes_on(
    place: str, when: object, part: float, keep: str, digits: Path, tmp_path: Path
) -> None:
    work_dir = tmp_path / 'run'
    command = arguments(digits, work_dir, keep)
    kind, _, name = place.partition(' ')
    if kind == 'writing':
        training = Training(tmp_path / 'log', command, die_writing(name, when, part))
    elif kind == 'evaluating':
        training = Training(tmp_path / 'log', command, die_evaluating(when))
    else:
        training = Training(tmp_path / 'log', command)
        training.kill_at(str(when), part)
    assert training.wait() in (-signal.SIGKILL, 0)  # 0: it had ended before
    check_that_it_goes_on(command, work_dir, training.iterations)


KILLS = int(os.environ.get('KILLS', 8))  # tests with two competing runs; 40 in reliability.md


def moments() -> list:
    """When a second run starts, and how many seconds after that the owner is killed."""
    draw = random.Random(1)
    return [(round(draw.uniform(0, 3), 2), round(draw.uniform(0, 2), 2)) for _ in range(KILLS)]


@pytest.mark.slow
@pytest.mark.parametrize('later, killed', moments())
def test_of_two_trainings_one_owns_the_folder_and_a_copy_is_on_its_own(
    later: float, killed: float, digits: Path, tmp_path: Path
) -> None:
    work_dir, copy = tmp_path / 'run', tmp_path / 'copy'
    command = ['--no-dry-run', '--no-results', *arguments(digits, work_dir, 'keep 3')]
    command[command.index(f'train_cfg.max_iters={ITERATIONS}')] = 'train_cfg.max_iters=500'
    first = Training(tmp_path / 'first', command)
    time.sleep(later)
    second = Training(tmp_path / 'second', command)
    for _ in range(SECONDS * 20):
        ended = [t for t in (first, second) if 'is in use by another' in t.output]
        if ended:
            break
        time.sleep(0.05)
    (refused,) = ended
    owner = second if refused is first else first
    assert refused.wait() == 1 and f'process {owner.process} on' in refused.output
    assert 'Traceback' not in refused.output
    owner.kill_at(r'Saving checkpoint at [4-9] iterations', killed)
    assert owner.wait() == -signal.SIGKILL
    shutil.copytree(work_dir, copy)  # gets new times in any order
    before = {path: path.stat().st_mtime_ns for path in work_dir.rglob('*.pth')}
    reached = owner.iterations
    last = ['train_cfg.max_iters=' + str(reached + 2) if 'max_iters' in word else word
            for word in command]  # fmt: skip
    for folder in (copy, work_dir):
        mine = [str(folder) if word == str(work_dir) else word for word in last]
        again = Training(tmp_path / f'again_{folder.name}', mine)
        assert again.wait() == 0, again.output[-3000:]
        assert reached - INTERVAL <= again.start and again.iterations == reached + 2
        assert f'from {folder}/iter_' in again.output and 'taken over' in again.output
        assert read(str(folder / 'last.pth'))['meta']['iter'] == reached + 2
        assert not [*folder.glob('.*')] and not (folder / 'owner.lock').exists()
        if folder is copy:
            assert before == {path: path.stat().st_mtime_ns for path in work_dir.rglob('*.pth')}


@pytest.mark.slow
@pytest.mark.parametrize('keep', KEEP)
def test_a_full_disk_is_one_line_and_the_training_goes_on(
    keep: str, digits: Path, tmp_path: Path
) -> None:
    work_dir = tmp_path / 'run'
    command = arguments(digits, work_dir, keep)
    Training(tmp_path / 'first', [*command, 'train_cfg.max_iters=2']).wait()
    training = Training(tmp_path / 'log', command, limit_files(1 << 20))
    assert training.wait() == 1
    error = training.output.strip().splitlines()[-1]
    assert error.startswith('error: cannot write') and 'iter_4.pth (17.6 MiB)' in error
    assert 'Traceback' not in training.output
    check_that_it_goes_on(command, work_dir, 4)


@pytest.mark.slow
@pytest.mark.parametrize('damage', ['truncated', 'zeroed', 'flipped'])
@pytest.mark.parametrize('keep', ['keep 3', 'keep 3, best'])
def test_a_torn_checkpoint_is_skipped(damage: str, keep: str, digits: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / 'run'
    command = arguments(digits, work_dir, keep)
    Training(tmp_path / 'first', [*command, 'train_cfg.max_iters=6']).wait()
    newest = work_dir / 'iter_6.pth'
    content = bytearray(newest.read_bytes())
    middle = len(content) // 2
    if damage == 'truncated':
        del content[middle:]
    elif damage == 'zeroed':
        content[middle : middle + 4096] = bytes(4096)
    else:
        content[middle] ^= 1
    newest.write_bytes(content)
    again = check_that_it_goes_on(command, work_dir, 6)
    assert again.start == 4 and f'{newest} is damaged' in again.output


def launch(log: Path, config: str, *arguments: object, **environment: str) -> subprocess.Popen:
    """tools/dist_train.sh with two processes, whose output goes to `log`."""
    paths = dict(PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}', PYTHONPATH=str(ROOT))
    command = ['bash', 'tools/dist_train.sh', config, '2', *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'VIRTUAL_ENV': 'x', **paths, **environment},
        stdout=log.open('w'),
        stderr=subprocess.STDOUT,
    )


def wait_for(log: Path, pattern: str) -> None:
    for _ in range(1200):
        if re.search(pattern, log.read_text()):
            return
        time.sleep(0.1)
    raise TimeoutError(log.read_text()[-3000:])


def workers_of(agent: subprocess.Popen) -> list[int]:
    children = Path(f'/proc/{agent.pid}/task/{agent.pid}/children').read_text().split()
    training = [c for c in children if 'train.py' in Path(f'/proc/{c}/cmdline').read_text()]
    return list(map(int, training))


def distributed(digits: Path, work_dir: Path, iterations: int) -> list[object]:
    return [
        *('--work-dir', work_dir, '--data-root', digits, '--cfg-options'),
        *(f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}'),
        *('default_hooks.checkpoint.interval=4', 'default_hooks.logger.interval=1'),
        'train_dataloader.batch_size=1',
    ]


CONFIG_FILE = f'configs/{LEAVES["segmentation"]}.py'


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_after_the_same_iteration(
    digits: Path, tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    arguments = distributed(digits, tmp_path / 'run', 500)
    agent = launch(log, CONFIG_FILE, *arguments, PORT='29621')
    wait_for(log, r'\[ *6/500\]')
    os.kill(workers_of(agent)[1], signal.SIGTERM)
    assert agent.wait(60) != 0  # torchrun's own code
    stopped = int(re.search(r'SIGTERM: stopped after iteration (\d+)', log.read_text())[1])
    assert read(str(tmp_path / 'run/last.pth'))['meta']['iter'] == stopped
    assert re.search(rf'tools/dist_train\.sh {CONFIG_FILE} 2 .* --resume', log.read_text())


@pytest.mark.slow
def test_torchrun_restarts_a_killed_process_and_it_resumes(digits: Path, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    arguments = distributed(digits, tmp_path / 'run', 12)
    agent = launch(log, CONFIG_FILE, *arguments, PORT='29622', MAX_RESTARTS='1')
    wait_for(log, r'\[ *6/12\]')
    os.kill(workers_of(agent)[1], signal.SIGKILL)
    assert agent.wait(180) == 0
    assert re.search(r'resumed at iteration (4|8) from', log.read_text())
    assert re.findall(r'\[ *(\d+)/12\]', log.read_text())[-1] == '12'


@pytest.mark.slow
def test_two_machines_train_as_one_and_a_killed_one_ends_the_other(
    digits: Path, tmp_path: Path
) -> None:
    """Two torchrun agents of two processes each on loopback; the second is killed."""
    logs = [tmp_path / 'first', tmp_path / 'second']
    arguments = distributed(digits, tmp_path / 'run', 500)
    agents = [
        launch(log, CONFIG_FILE, *arguments, NNODES='2', NODE_RANK=str(rank), PORT='29623')
        for rank, log in enumerate(logs)
    ]
    wait_for(logs[0], r'\[ *6/500\]')
    assert '4 = 4 process(es) x 1' in logs[0].read_text()
    for process in [*workers_of(agents[1]), agents[1].pid]:
        os.kill(process, signal.SIGKILL)
    start = time.time()
    assert agents[0].wait(60) != 0
    print(f'the other ended after {time.time() - start:.1f} s')
    assert read(str(tmp_path / 'run/last.pth'))['meta']['iter'] >= 4
