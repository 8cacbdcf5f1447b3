"""--ema and --early-stopping: what they set, and that a resumed run continues with them."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from runners import small_runner
from test_resume import config as resumable
from test_resume import save

from backbones.cli import settings
from backbones.errors import UserError
from backbones.package_files import config_file
from backbones.training import early_stopping, ema
from backbones.training.resume import set_resume

EMA = [dict(type='FittedEMAHook')]
STOPPING = [
    dict(type='ResumableEarlyStoppingHook', monitor='acc', patience=2),
]


def set_training(cfg: Config, **options) -> None:
    settings.set_training(cfg, pretrained=None, auto_scale_lr=False, **options)


def entries(path: Path) -> dict[str, torch.Tensor]:
    content = torch.load(path)
    return {
        f'{kind}.{name}': value
        for kind in ('state_dict', 'ema_state_dict')
        for name, value in content[kind].items()
    }


def test_a_resumed_training_goes_on_with_its_averages_to_the_last_bit(tmp_path: Path) -> None:
    small_runner(tmp_path / 'whole', scores=[0.1, 0.2, 0.3], custom_hooks=EMA).train()
    small_runner(tmp_path / 'again', iterations=4, scores=[0.1, 0.2], custom_hooks=EMA,
                 param_scheduler=None).train()  # fmt: skip
    small_runner(tmp_path / 'again', scores=[0.2, 0.3], custom_hooks=EMA, resume=True).train()
    whole, again = (entries(tmp_path / run / 'iter_6.pth') for run in ('whole', 'again'))
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    # the averages are saved as the weights, and they differ from the last iteration's weights
    weight = 'map.weight'
    assert not torch.equal(whole[f'state_dict.{weight}'], whole[f'ema_state_dict.module.{weight}'])


@pytest.mark.parametrize(
    'iterations, momentum', [(6, 0.5), (2000, 0.05), (90_000, 1 / 900), (900_000, 0.0002)]
)
def test_averages_look_back_over_a_hundredth_of_the_training(
    iterations: int, momentum: float, tmp_path: Path
) -> None:
    runner = small_runner(tmp_path, iterations=iterations, custom_hooks=EMA)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.call_hook('before_run')
    (hook,) = [hook for hook in runner.hooks if isinstance(hook, ema.FittedEMAHook)]
    assert hook.ema_model.momentum == pytest.approx(momentum)


def test_training_stops_after_so_many_validations_without_progress(tmp_path: Path) -> None:
    runner = small_runner(
        tmp_path, iterations=20, scores=[0.1, 0.5, 0.5, 0.4, 0.9], custom_hooks=STOPPING
    )
    runner.train()
    assert runner.iter == 8


def test_a_resumed_training_goes_on_counting(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.4]
    small_runner(tmp_path, iterations=6, scores=scores, custom_hooks=STOPPING).train()
    # the evaluation that was due at iteration 6 is repeated
    rest = small_runner(
        tmp_path, iterations=20, scores=[0.4, 0.4, 0.9], custom_hooks=STOPPING, resume=True
    )
    rest.train()
    assert rest.iter == 8


def test_a_training_with_averages_is_not_resumed_without(tmp_path: Path) -> None:
    cfg = resumable(tmp_path)
    path = save(cfg, 2)
    content = torch.load(path)
    torch.save(dict(content, ema_state_dict={}), path)
    with pytest.raises(
        UserError, match=r'iter_2\.pth is from a run with averaged weights: add --ema'
    ):
        set_resume(cfg, 'auto')
    cfg.custom_hooks = EMA
    assert set_resume(cfg, 'auto') == []


def test_the_hooks_stand_in_the_config_with_what_registers_them() -> None:
    cfg = Config.fromfile(config_file('faster_rcnn_cswin_t_coco'))
    set_training(cfg, ema=True, patience=3)
    *_, average, stopping = cfg.custom_hooks
    assert average.type == 'FittedEMAHook'
    assert stopping == dict(type='ResumableEarlyStoppingHook', monitor='coco/bbox_mAP', patience=3)
    assert {ema.__name__, early_stopping.__name__} <= set(cfg.custom_imports.imports)
    with pytest.raises(UserError, match='already averages the weights'):
        set_training(cfg, ema=True)


def test_early_stopping_asks_for_the_metric() -> None:
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(save_best='auto')),
                      val_evaluator=dict(type='ClasswiseIoUMetric')))  # fmt: skip
    with pytest.raises(UserError, match="save_best='auto': name one"):
        set_training(cfg, patience=3)
    cfg.default_hooks.checkpoint.save_best = 'mIoU'
    set_training(cfg, patience=3)
    assert cfg.custom_hooks[-1].monitor == 'mIoU'


@pytest.mark.parametrize('installed', [True, False])
def test_tensorboard_gets_the_curves_where_it_is_installed(installed: bool, monkeypatch) -> None:
    monkeypatch.setattr(settings, 'find_spec', lambda name: object() if installed else None)
    cfg = Config(dict(visualizer=dict(vis_backends=[dict(type='LocalVisBackend')])))
    for _ in range(2):
        set_training(cfg)
    backends = [backend['type'] for backend in cfg.visualizer.vis_backends]
    assert backends == ['LocalVisBackend', *(['TensorboardVisBackend'] if installed else [])]
