"""--resume uses the newest intact checkpoint of the same training run, and reports skipped ones."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from backbones.errors import CheckpointError, UserError
from backbones.training.resume import command, set_resume

MODEL = dict(type='Segmentor', head=dict(channels=8), backbone=dict(type='CSWin', with_cp=False))
TORN = {
    'truncated': lambda data: data[: len(data) // 2],
    'empty': lambda data: b'',
    'zeroed': lambda data: bytes(len(data)),
    'a flipped byte': lambda data: data.replace(b'weights', b'weighty', 1),
}


def config(work_dir: Path, **changes) -> Config:
    settings = dict(
        model=MODEL, load_from=None, resume=False, work_dir=str(work_dir), train_cfg=dict(iters=4)
    )
    return Config(settings | changes)


def save(cfg: Config, iteration: int, *, optimizer: bool = True) -> Path:
    """Write a checkpoint like MMEngine; later ones are newer."""
    path = Path(cfg.work_dir, f'iter_{iteration}.pth')
    content = dict(
        meta=dict(cfg=cfg.pretty_text, seed=7, epoch=0, iter=iteration),
        state_dict=dict(x=torch.frombuffer(bytearray(b'weights '), dtype=torch.uint8)),
        **(dict(optimizer={}) if optimizer else {}),
    )
    torch.save(content, path)
    os.utime(path, (iteration, iteration))
    (path.parent / 'last_checkpoint').write_text(path.name)
    return path


def test_takes_the_one_with_most_iterations_and_its_seed(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    save(cfg, 2)
    newest = save(cfg, 10)
    assert set_resume(cfg, 'auto') == []
    assert cfg.resume and cfg.load_from == str(newest) and cfg.randomness.seed == 7


@pytest.mark.parametrize('damage', TORN)
def test_skips_a_torn_checkpoint_and_says_so(damage: str, tmp_path: Path) -> None:
    cfg = config(tmp_path)
    whole, torn = save(cfg, 2), save(cfg, 4)
    data = torn.read_bytes()
    assert TORN[damage](data) != data
    torn.write_bytes(TORN[damage](data))
    (notice,) = set_resume(cfg, 'auto')
    assert notice.startswith('skipped a checkpoint: ') and f'{torn} is damaged' in notice
    assert cfg.load_from == str(whole)
    with pytest.raises(CheckpointError, match='is damaged'):
        set_resume(config(tmp_path), str(torn))


ODD = {  # contents of `last_checkpoint`, and the message about them
    'names nothing': (b'iter_4.pth', 'names a file that does not exist (iter_4.pth)'),
    'binary': (b'\xff\xfe\x00', 'names a file that does not exist'),
    'overlong': (b'x' * 100_000, 'names a file that does not exist'),
    'a NUL': (b'\0', r'names a file that does not exist (\x00)'),
    'a folder': (None, 'is not a file'),
    'missing': ('missing', 'is missing'),
}


@pytest.mark.parametrize('kind', ODD)
def test_any_last_checkpoint_is_survived_with_a_notice(kind: str, tmp_path: Path) -> None:
    cfg = config(tmp_path)
    whole, named = save(cfg, 2), tmp_path / 'last_checkpoint'
    named.unlink()
    content, said = ODD[kind]
    if content is None:
        named.mkdir()
    elif isinstance(content, bytes):
        named.write_bytes(content)
    (notice,) = set_resume(cfg, 'auto')
    assert cfg.load_from == str(whole)
    assert said in notice and 'using iter_2.pth (most iterations)' in notice


def test_a_younger_file_with_fewer_iterations_is_not_taken_and_told(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    few, most = save(cfg, 2), save(cfg, 6)
    save(cfg, 4)
    os.utime(few, (10, 10))
    notices = set_resume(cfg, 'auto')
    assert cfg.load_from == str(most)
    assert notices[0].startswith('iter_2.pth is newer, but has fewer iterations than iter_6.pth')
    assert 'last_checkpoint names iter_4.pth; using iter_6.pth, which is intact' in notices[1]


def test_a_name_does_not_count_but_what_the_file_says(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    save(cfg, 2).rename(tmp_path / 'iter_9.pth')
    most = save(cfg, 6)
    set_resume(cfg, 'auto')
    assert cfg.load_from == str(most)


def test_a_copied_folder_never_resumes_from_the_original(tmp_path: Path) -> None:
    """With an absolute path, as MMEngine and earlier versions of this project write it."""
    original = config(tmp_path / 'a')
    (tmp_path / 'a').mkdir()
    os.link(save(original, 2), tmp_path / 'a/last.pth')
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    further = save(original, 4)
    (tmp_path / 'b/last_checkpoint').write_text(str(further))
    copy = config(tmp_path / 'b')
    (notice,) = set_resume(copy, 'auto')
    assert copy.load_from == str(tmp_path / 'b/iter_2.pth')
    assert f'names a file in another folder, {further}, so this folder may be a copy' in notice


def test_the_folder_that_the_hook_writes_to_counts(tmp_path: Path) -> None:
    hook = dict(checkpoint=dict(type='DurableCheckpointHook', out_dir=str(tmp_path / 'out')))
    cfg = config(tmp_path / 'run', default_hooks=hook)
    (tmp_path / 'run').mkdir()
    (tmp_path / 'out/run').mkdir(parents=True)
    saved = save(config(tmp_path / 'out/run'), 2)
    (tmp_path / 'run/last_checkpoint').write_text('../out/run/iter_2.pth')
    assert set_resume(cfg, 'auto') == [] and cfg.load_from == str(saved)


@pytest.mark.parametrize('meta', [[], None, 'x', dict(cfg=3), dict(iter='4', epoch=0)])
def test_a_checkpoint_that_does_not_say_where_it_was_is_skipped(meta, tmp_path: Path) -> None:
    cfg = config(tmp_path)
    whole, other = save(cfg, 2), tmp_path / 'iter_4.pth'
    torch.save(dict(meta=meta, state_dict={}, optimizer={}), other)
    (notice,) = set_resume(cfg, 'auto')
    assert 'in its meta' in notice and cfg.load_from == str(whole)


@pytest.mark.parametrize('text', ['(' * 3000, 'a = \0', '-' * 200_000, 'x' * (2 << 20), 7])
def test_any_config_in_a_checkpoint_is_compared_or_passed_over(text, tmp_path: Path) -> None:
    cfg = config(tmp_path)
    path = save(cfg, 2)
    content = torch.load(path)
    content['meta']['cfg'] = text
    torch.save(content, path)
    assert set_resume(cfg, 'auto') == [] and cfg.load_from == str(path)


def test_starts_afresh_where_nothing_is(tmp_path: Path) -> None:
    cfg = config(tmp_path, load_from='start.pth')
    (notice,) = set_resume(cfg, 'auto')
    assert 'no checkpoint in' in notice and not cfg.resume and cfg.load_from == 'start.pth'


def test_the_config_may_ask_for_it_as_in_mmengine(tmp_path: Path) -> None:
    cfg = config(tmp_path, resume=True)
    older, newest = save(cfg, 2), save(cfg, 4)
    assert set_resume(cfg, None) == [] and cfg.load_from == str(newest)
    cfg = config(tmp_path, resume=True, load_from=str(older))
    assert set_resume(cfg, None) == [] and cfg.load_from == str(older)
    other = config(tmp_path, resume=True, model=dict(MODEL, type='Other'))
    with pytest.raises(UserError, match=r'from a training run with another config'):
        set_resume(other, None)


def test_what_has_no_optimizer_is_skipped(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    whole = save(cfg, 2)
    weights = save(cfg, 4, optimizer=False)
    assert f'load_from={weights}' in set_resume(cfg, 'auto')[0] and cfg.load_from == str(whole)


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    save(config(tmp_path), 2)
    other = config(tmp_path, model=dict(MODEL, head=dict(channels=16), neck=dict(type='FPN')))
    with pytest.raises(UserError) as error:
        set_resume(other, 'auto')
    assert 'model.head.channels 8 -> 16, model.neck.type absent -> FPN' in str(error.value)
    assert '--work-dir DIR' in str(error.value)


def test_what_changes_no_weights_may_change_and_is_told(tmp_path: Path) -> None:
    save(config(tmp_path), 2)
    backbone = dict(type='CSWin', with_cp=True, init_cfg=dict(checkpoint='x'))
    longer = config(tmp_path, model=dict(MODEL, backbone=backbone), train_cfg=dict(iters=6))
    (notice,) = set_resume(longer, 'auto')
    assert notice.endswith('changed settings: train_cfg.iters 4 -> 6')


def test_a_learning_rate_that_the_checkpoint_overrules_is_told(tmp_path: Path) -> None:
    """PyTorch's optimizers and MMEngine's schedulers take it from their saved state."""
    save(config(tmp_path, optim_wrapper=dict(optimizer=dict(lr=0.1), clip_grad=None)), 2)
    changed = config(tmp_path, optim_wrapper=dict(optimizer=dict(lr=0.2), clip_grad=dict(max=1)))
    taken, kept = set_resume(changed, 'auto')
    assert 'optim_wrapper.clip_grad.max absent -> 1' in taken and 'lr' not in taken
    assert kept.startswith('ignored') and kept.endswith('optim_wrapper.optimizer.lr 0.1 -> 0.2')


def test_the_config_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    cfg, mark = config(tmp_path), tmp_path / 'mark'
    path = save(cfg, 2)
    content = torch.load(path)
    content['meta']['cfg'] = f'open({str(mark)!r}, "w")\nmodel = dict(x=1, y=open({str(mark)!r}))'
    torch.save(content, path)
    with pytest.raises(UserError, match=r'model\.type absent'):
        set_resume(cfg, 'auto')
    assert not mark.exists()


def test_a_fresh_start_keeps_out_of_a_used_folder(tmp_path: Path, monkeypatch) -> None:
    cfg = config(tmp_path)
    assert set_resume(cfg, None) == []
    save(cfg, 2)
    with pytest.raises(UserError, match=r'iter_2\.pth\): add --resume .* or --work-dir DIR'):
        set_resume(cfg, None)
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', '1')  # torchrun's: the same command again
    assert set_resume(cfg, None) == [] and cfg.load_from == str(tmp_path / 'iter_2.pth')


def test_a_checkpoint_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*gone\.pth does not exist'):
        set_resume(config(tmp_path), 'gone.pth')
    save(config(tmp_path), 2)
    with pytest.raises(FileNotFoundError, match=r'is a folder; give a file in it: .*iter_2\.pth'):
        set_resume(config(tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    'typed, resume, expected',
    [
        ('tools/train.py a.py --amp', None, 'python tools/train.py a.py --amp --resume'),
        ('tools/train.py a.py --resume', 'auto', 'python tools/train.py a.py --resume'),
        (
            'tools/train.py a.py --resume x.pth --amp',
            'x.pth',
            'python tools/train.py a.py --amp --resume',
        ),
    ],
)
def test_the_command_that_resumes(typed: str, resume: str, expected: str, monkeypatch) -> None:
    monkeypatch.setattr(sys, 'argv', typed.split())
    assert command('a.py', resume) == expected
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '8')
    monkeypatch.setattr(sys, 'argv', [*typed.split(), '--launcher', 'pytorch'])
    assert command('a.py', resume) == expected.replace(
        'python tools/train.py a.py', 'tools/dist_train.sh a.py 8'
    )
