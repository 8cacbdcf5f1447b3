"""One batch is tried before a training run: later failures show up now, and no trace remains."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tool
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from runners import Line, Numbers, small_runner
from torch import nn

from backbones.errors import UserError
from backbones.openmmlab.runner import QuietRunner
from backbones.report.start_block import optimizers
from backbones.training.dry_run import DryRun
from backbones.training.hooks import losses_of
from backbones.training.strides import contradiction


class Record(Hook):
    """Record what an iteration sees."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None):
        drawn = random.random(), float(np.random.rand()), float(torch.rand(1))
        self.seen.append((outputs['loss'].item(), data_batch['y'].sum().item(), *drawn))


class Fading(nn.Module):
    """Counts its calls, like some models."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return x / (1 + self.calls)


def runner_of(folder: Path, *hooks: Hook, dry: bool = True, **settings) -> Runner:
    """A tiny run with BatchNorm, random data, dropout and an evaluation; not yet started."""
    settings = dict(iterations=4, scores=itertools.repeat(0.5)) | settings
    runner = small_runner(folder, **settings)
    runner.model.map = nn.Sequential(nn.BatchNorm1d(3), Fading(), nn.Linear(3, 1))
    for hook in (*hooks, *([DryRun()] if dry else [])):
        runner.register_hook(hook)
    return runner


@pytest.mark.parametrize('workers', [0, 2])
def test_nothing_of_it_remains(workers: int, tmp_path: Path) -> None:
    """The same numbers are drawn, in any library, and the same data, statistics and messages."""
    ends = []
    for dry in (False, True):
        record = Record()
        runner = runner_of(tmp_path / str(dry), record, dry=dry, workers=workers)
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        runner.train()
        hub = runner.message_hub
        scalars = {k: v.data for k, v in hub.log_scalars.items() if 'time' not in k}
        ends.append((record.seen, runner.model.state_dict(), scalars, {*hub.runtime_info}))
    (seen, state, scalars, infos), (seen2, state2, scalars2, infos2) = ends
    assert len(seen) == 4 and seen == seen2 and infos == infos2
    for key, value in state.items():
        assert torch.equal(value, state2[key]), key
    assert scalars.keys() == scalars2.keys()
    for key, (values, counts) in scalars.items():
        assert np.array_equal(values, scalars2[key][0]) and len(counts) == len(scalars2[key][1])


class Broken(Numbers):
    """Fails for the second half, which a batch of the first samples would not reach."""

    def __getitem__(self, index: int) -> dict:
        if index >= 4:
            raise KeyError('gt_masks')
        return super().__getitem__(index)


class Empty(Numbers):
    def __getitem__(self, index: int) -> dict:
        return dict(x=torch.full((3,), torch.nan), y=torch.zeros(1))


class Strict(BaseMetric):
    """Needs all images, like some metrics."""

    def process(self, data_batch: object, data_samples: object) -> None:
        self.results.append(0)

    def compute_metrics(self, results: list) -> dict:
        if len(results) < 4:
            raise AssertionError('no prediction for image 7')
        return dict(acc=1.0)


class IoUMetric(Strict):
    """Has the name of a metric that is defined for any images."""


def refused(runner: Runner) -> str:
    with pytest.raises(UserError) as caught:
        runner.train()
    assert runner.iter == 0
    return str(caught.value)


def test_all_that_fails_is_said_at_once(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, log_level='INFO', checkpoint=dict(save_best='x', rule='less'))
    runner.val_evaluator.metrics.append(IoUMetric())
    runner._train_dataloader['dataset'] = Broken()
    said = refused(runner)
    assert "train pipeline: KeyError: 'gt_masks'" in said
    assert 'evaluator IoUMetric: AssertionError: no prediction for image 7' in said
    assert 'watches' not in said  # not all metrics are known
    assert f'tracebacks are in {runner.logger.log_file}' in said
    assert "raise KeyError('gt_masks')" in Path(runner.logger.log_file).read_text()


def test_a_loss_that_is_not_finite_stops_before_the_first_step(tmp_path: Path) -> None:
    runner = runner_of(tmp_path)
    runner._train_dataloader['dataset'] = Empty()
    assert 'model loss: NaN or infinite before the first step: loss is nan' in refused(runner)


def test_a_model_that_cannot_predict_is_found_before_the_first_validation(tmp_path: Path) -> None:
    runner = runner_of(tmp_path)
    runner.model.val_step = lambda batch: batch['z']
    assert "predict: KeyError: 'z'" in refused(runner)


@pytest.mark.parametrize(
    ('told', 'said'),
    [([4, 8], ''), ([(4, 4), (8, 8)], ''), ([4.1, 8.2], ''), ([8, 4], 'is 8, 4, but'),
     ([8, 16], 'is 8, 16, but images of 96 pixels give maps of the strides 4, 8'),
     ([(4, 4), (8, 16)], 'is 4, 8, but')],
)  # fmt: skip
def test_strides_are_those_of_the_maps(told: list, said: str) -> None:
    maps = [torch.zeros(1, 2, side // 4, 24 * side // 96) for side in (96, 48)]
    assert contradiction(told, (96, 96), maps).startswith(said) and bool(said) == bool(
        contradiction(told, (96, 96), maps)
    )


@pytest.mark.parametrize(
    'option',
    [
        'model.rpn_head.anchor_generator.strides=[8,16,32,64]',
        'model.roi_head.bbox_roi_extractor.featmap_strides=[8,16,32,64]',
    ],
)
def test_a_detector_that_is_told_other_strides_is_refused(option: str, tmp_path: Path) -> None:
    """Boxes were silently learnt at twice their distance from the corner."""
    tool('make_digits', '--out', tmp_path / 'digits', '--train', 2, '--val', 2)
    said = tool('train', 'mask_rcnn_cloformer_nano_digits', '--data-root', tmp_path / 'digits',
                '--work-dir', tmp_path / 'run', '--cfg-options', option, fails=True)  # fmt: skip
    assert 'strides is 8, 16, 32, 64, but images of 96 pixels give maps of the strides 4' in said


def test_images_of_several_sizes_in_a_batch_come_with_the_remedy(tmp_path: Path) -> None:
    runner = runner_of(tmp_path)
    runner.model.val_step = lambda batch: torch.stack([torch.zeros(1), torch.zeros(2)])
    assert 'differ in size: crop or resize them in the pipeline' in refused(runner)


def test_a_metric_that_nothing_measures_is_an_error(tmp_path: Path) -> None:
    runner = runner_of(tmp_path, checkpoint=dict(save_best='ac', rule='greater'))
    assert "watches 'ac', but the metrics are acc; did you mean 'acc'?" in refused(runner)


def test_a_metric_that_needs_all_images_does_not_stop_a_training(tmp_path: Path, capsys) -> None:
    runner = runner_of(tmp_path, log_level='WARNING')
    runner.val_evaluator.metrics = [Strict()]
    runner.train()
    assert runner.iter == 4
    out = capsys.readouterr().out
    assert 'dry run: Strict could not be tried' in out and 'no prediction for image 7' in out


@pytest.mark.parametrize(
    'part, settings, message',
    [
        ('evaluator', dict(type='CocoMetric', metric='seg'), r"an evaluator .*'bbox', 'segm'"),
        ('dataloader', dict(dataset=dict(type='CocoData')), r'a dataloader .*KeyError: .*CocoData'),
        ('optim_wrapper', dict(optimizer=dict(type='SGD', lr='1')), r'optim_wrapper .*TypeError: '),
        ('optim_wrapper', dict(optimizer=dict(type='Adamw')), r"'Adamw'; did you mean 'AdamW'"),
        ('visualizer', dict(type='DetVisualizer'), r"visualizer .* KeyError: 'DetVisualizer"),
        ('train_loop', dict(type='IterTrainLoop'), r"train_cfg .*KeyError: 'IterTrainLoop"),
        ('log_processor', dict(type='LogProcesor'), r"; did you mean 'LogProcessor'"),
        ('model', dict(type='FCOSS'), r"no class is called 'FCOSS'; did you mean 'FCOS'"),
        ('model', dict(type='FCOS', backbon=1), r"model .* unexpected keyword argument 'backbon'"),
    ],
)
def test_what_cannot_be_built_is_one_line(part, settings, message, tmp_path: Path) -> None:
    runner = runner_of(tmp_path, log_level='INFO')
    runner.__class__ = QuietRunner
    init_default_scope('mmdet')
    with pytest.raises(UserError, match=message) as caught:
        getattr(runner, f'build_{part}')(settings)
    assert '\n' not in str(caught.value)
    assert 'Traceback' in Path(runner.logger.log_file).read_text()


class Pictures(Numbers):
    """Loads images by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=str(self.folder / f'{index}.png'))

    def __getitem__(self, index: int) -> dict:
        pixels = np.asarray(Image.open(self.get_data_info(index)['img_path']))
        return dict(x=torch.zeros(3) + pixels.shape[2], y=torch.zeros(1))


def test_the_file_of_a_bad_image_is_named(tmp_path: Path) -> None:
    for i in range(8):
        Image.new('RGB' if i != 4 else 'L', (4, 4)).save(tmp_path / f'{i}.png')
    runner = runner_of(tmp_path / 'work')
    runner._train_dataloader['dataset'] = Pictures(tmp_path)
    assert f'train pipeline: {tmp_path / "4.png"}: IndexError: ' in refused(runner)
    (tmp_path / '0.png').write_bytes(b'')
    runner = runner_of(tmp_path / 'again')
    runner._train_dataloader['dataset'] = Pictures(tmp_path)
    assert f'train pipeline: {tmp_path / "0.png"} (0 bytes) cannot be read' in refused(runner)


def test_several_optimizers_train_in_steps_of_the_model(tmp_path: Path, monkeypatch) -> None:
    def step(model: nn.Module, data: dict, optim_wrapper: OptimWrapperDict) -> dict:
        loss = losses_of(model, data)['loss']
        loss.backward()
        for wrapper in optim_wrapper.values():
            wrapper.step()
        return dict(loss=loss)

    model = Line()
    parts = {name: [p] for name, p in model.named_parameters()}
    wrapper = OptimWrapperDict(
        **{name: OptimWrapper(torch.optim.SGD(part, lr=0.1)) for name, part in parts.items()}
    )
    monkeypatch.setattr(Line, 'train_step', step)
    monkeypatch.setattr('runners.Line', lambda: model)
    runner = small_runner(tmp_path, iterations=2, optim_wrapper=wrapper)
    runner.register_hook(DryRun())
    runner.train()
    assert runner.iter == 2
    assert optimizers(wrapper) == [f'{name}: SGD, lr 0.1' for name in parts]
