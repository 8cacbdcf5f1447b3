"""Errors before the start: each says what is wrong, with the value, and what is allowed."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import load_tool
from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.registry import MODELS
from PIL import Image

from backbones import errors
from backbones.cli import resolve, settings
from backbones.data.checks import config_checks
from backbones.openmmlab import config, config_tree
from backbones.openmmlab.registries import find_class
from backbones.report import metric_tables
from backbones.training import devices, preflight

ROOT = Path(__file__).parents[2]
DETECTION = str(ROOT / 'configs/mask_rcnn_dilateformer_t_coco.py')
SEGMENTATION = str(ROOT / 'configs/upernet_dilateformer_b_ade20k.py')


def load(path: str = SEGMENTATION, **options) -> Config:
    return config.load_config(path, options=options)


def test_a_wrong_config_path_suggests_close_ones(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(
        FileNotFoundError, match=r"mean 'configs/upernet_dilateformer_._ade20k\.py' or"
    ):
        load('configs/upernet_dilatformer_b_ade20k.py')


@pytest.mark.parametrize(
    'key, message',
    [
        (
            'model.backbone.drop_path',
            r"model\.backbone has no 'drop_path'; did you mean 'drop_path_rate'",
        ),
        ('modle.backbone', r"the config has no 'modle'; did you mean 'model'"),
        ('optim_wrapper.optimiser.lr', r"has no 'optimiser'; did you mean 'optimizer'"),
        ('param_scheduler.7.begin', r'param_scheduler is a list of 2; allowed: 0 to 1'),
        ('train_dataloader.batchsize', r"has no 'batchsize'; did you mean 'batch_size'"),
    ],
)
def test_an_option_that_nothing_reads_is_an_error(key: str, message: str) -> None:
    with pytest.raises(ValueError, match=f'--cfg-options {key}: .*{message}'):
        load(**{key: 1})


@pytest.mark.parametrize(
    'key, value',
    [
        ('model.backbone.with_cp', True),  # an argument that the config does not name
        ('param_scheduler.1.end', 3),
        ('randomness.seed', 1),
        ('randomness.deterministic', True),
        ('model.test_cfg.crop_size', [512, 512]),
        ('optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult', 0.1),
        ('optim_wrapper.paramwise_cfg.custom_keys.norm1.decay_mult', 0.0),
        ('optim_wrapper.clip_grad.norm_type', 1),
        ('optim_wrapper.accumulative_counts', 2),
        ('param_scheduler.0.convert_to_iter_based', True),
        ('default_hooks.logger.priority', 'LOW'),
        ('model.decode_head.loss_decode.avg_non_ignore', True),
        ('model.decode_head.sampler.thresh', 0.7),  # not set yet
        ('find_unused_parameters', True),
        ('optim_wrapper.optimizer.eps', 1e-7),
        ('default_hooks.checkpoint.published_keys', ['meta']),
        # what tutorials and issues of the libraries show
        ('default_hooks.logger.interval', 10),
        ('default_hooks.logger.ignore_last', False),
        ('default_hooks.checkpoint.max_keep_ckpts', 2),
        ('default_hooks.visualization.draw', True),
        ('default_hooks.profiler.type', 'ProfilerHook'),
        ('train_dataloader.batch_size', 4),
        ('train_dataloader.num_workers', 0),
        ('train_dataloader.pin_memory', True),
        ('train_dataloader.sampler.shuffle', False),
        ('train_dataloader.dataset.indices', 5000),
        ('train_dataloader.dataset.pipeline.2.scale', (512, 512)),
        ('train_cfg.max_iters', 100),
        ('train_cfg.dynamic_intervals', [(0, 1)]),
        ('env_cfg.cudnn_benchmark', True),
        ('env_cfg.dist_cfg.timeout', 3600),
        ('env_cfg.mp_cfg.mp_start_method', 'spawn'),
        ('visualizer.vis_backends.0.save_dir', 'vis'),
        ('visualizer.save_dir', 'vis'),
        ('visualizer.alpha', 0.5),
        ('log_processor.window_size', 10),
        ('log_level', 'DEBUG'),
        ('resume', True),
        ('load_from', 'x.pth'),
        ('experiment_name', 'first'),
        ('auto_scale_lr.base_batch_size', 32),
        ('optim_wrapper.optimizer.type', 'SGD'),
        ('optim_wrapper.clip_grad.max_norm', 1),
        ('optim_wrapper.paramwise_cfg.norm_decay_mult', 0.0),
        ('model.backbone.frozen_stages', 1),
        ('model.data_preprocessor.bgr_to_rgb', False),
        ('model.test_cfg.mode', 'slide'),
        ('model.decode_head.num_classes', 7),
        ('model.decode_head.loss_decode.class_weight', [1.0, 2.0]),
        ('test_evaluator.output_dir', 'out'),
        ('test_evaluator.format_only', True),
        ('tta_pipeline.0.backend_args', None),
        ('my_setting', 3),  # a setting of the user's hook; MMEngine accepts any key
        ('my_settings.width', 3),
    ],
)
def test_an_option_that_something_reads_reaches_the_config(key: str, value: object) -> None:
    node = load(**{key: value})
    for part in key.split('.'):
        node = node[int(part)] if part.isdigit() else node[part]
    assert node == value


@pytest.mark.parametrize(
    'key, value',
    [
        ('model.test_cfg.rcnn.nms.min_score', 0.01),  # an argument of a function in mmcv
        ('model.rpn_head.anchor_generator.octave_base_scale', 4),
        ('model.roi_head.bbox_head.norm_cfg', None),  # an argument of a base class
        ('train_dataloader.dataset.filter_cfg.min_size', 8),
        ('test_evaluator.iou_thrs', [0.5]),
        ('test_evaluator.classwise', True),
        ('test_evaluator.outfile_prefix', 'results/coco'),
        ('model.test_cfg.rcnn.score_thr', 0.3),
        ('model.test_cfg.rcnn.max_per_img', 300),
        ('model.test_cfg.rcnn.nms.type', 'soft_nms'),
        ('model.train_cfg.rcnn.sampler.num', 256),
        ('model.train_cfg.rpn_proposal.nms_pre', 1000),
        ('model.roi_head.bbox_head.loss_bbox.loss_weight', 2.0),
        ('model.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio', 2),
        ('model.neck.num_outs', 5),
        ('train_dataloader.dataset.metainfo.classes', ('a', 'b')),
        ('train_dataloader.dataset.data_prefix.img', 'images/'),
        ('train_dataloader.batch_sampler', None),
        ('train_cfg.val_interval', 2),
        ('test_dataloader.dataset.pipeline', []),
    ],
)
def test_options_of_detectors_reach_the_config(key: str, value: object) -> None:
    node = load(DETECTION, **{key: value})
    for part in key.split('.'):
        node = node[part]
    assert node == value


@pytest.mark.parametrize(
    'key, place',
    [
        ('lr', 'optim_wrapper.optimizer.lr'),
        ('optimizer.weight_decay', 'optim_wrapper.optimizer.weight_decay'),
        ('batch_size', 'train_dataloader.batch_size'),
        ('data_root', 'train_dataloader.dataset.data_root'),
        ('data_preprocessor.size', 'model.data_preprocessor.size'),
        ('train_pipeline.0.type', 'train_dataloader.dataset.pipeline.0.type'),
    ],
)
def test_an_option_that_parts_have_their_own_copy_of_is_an_error(key: str, place: str) -> None:
    cfg = Config.fromfile(DETECTION)
    cfg.train_pipeline = cfg.train_dataloader.dataset.pipeline
    with pytest.raises(errors.UserError, match=rf'top of a config is not read; set .*{place}'):
        config.check_option(cfg, key)


def test_the_order_of_options_does_not_matter() -> None:
    cfg = load(**{'train_cfg.max_epochs': 3, 'train_cfg.type': 'EpochBasedTrainLoop'})
    assert cfg.train_cfg.max_epochs == 3


def test_a_class_that_passes_arguments_on_takes_any_but_typos(monkeypatch) -> None:
    class Base:
        def __init__(self, width: int) -> None:
            pass

    class Closed(Base):
        def __init__(self, depth: int, **kwargs) -> None:
            pass

    class Open:
        def __init__(self, depth: int, **kwargs) -> None:
            pass

    cfg = Config(dict(a=dict(type=Closed), b=dict(type=Open, depth=2)))
    config.check_option(cfg, 'a.width')
    config.check_option(cfg, 'b.anything')
    for option in ('a.anything', 'b.deph'):
        with pytest.raises(errors.UserError, match=f'--cfg-options {option}: . has no'):
            config.check_option(cfg, option)


def test_an_option_below_a_value_that_is_replaced_is_accepted() -> None:
    cfg = load()
    cfg.model.backbone.init_cfg = None
    config.check_option(cfg, 'model.backbone.init_cfg.checkpoint')


def test_options_and_data_root_reach_the_config(tmp_path: Path) -> None:
    settings = dict(work_dir=None, launcher='none', data_root=str(tmp_path))
    cfg = config.load_config(DETECTION, options={'optim_wrapper.optimizer.lr': 3e-4}, **settings)
    assert cfg.optim_wrapper.optimizer.lr == 3e-4
    assert cfg.work_dir == 'work_dirs/mask_rcnn_dilateformer_t_coco'
    for loader in config.DATALOADERS:
        assert cfg[loader].dataset.data_root == str(tmp_path)
    assert cfg.val_evaluator.ann_file == f'{tmp_path}/annotations/instances_val2017.json'


def test_a_missing_dataset_is_said_with_all_else_that_is_wrong(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = tmp_path / 'data/ade/ADEChallengeData2016/images/training'
    cfg = load()
    cfg.model.decode_head.num_classes = 19
    cfg.model.decode_head.in_channels = [1, 2, 3, 4]
    with pytest.raises(errors.UserError, match=f'(?s)missing-data.*{expected}') as caught:
        preflight.check(cfg)
    said = str(caught.value)
    assert said.count('error [') == 1 + 2 * 3  # model; files and classes of each dataloader
    for part in ('images/validation', 'in section "Datasets"', '--data-root DIR',
                 'num_classes is 19', 'in_channels is [1, 2, 3, 4]'):  # fmt: skip
        assert part in said


@pytest.mark.parametrize(
    'option, value, message',
    [
        ('model.backbone.arch', 'bass', r"no arch 'bass'; allowed: tiny, small, base.*mean 'base'"),
        ('model.decode_head.in_channels', [1, 2, 3, 4], r'\[1, 2, 3, 4\].*\[96, 192, 384, 768\]'),
        ('model.decode_head.in_index', [0, 3], r'\[96, 192, 384, 768\], but .* emits \[96, 768\]:'),
        ('model.decode_head.in_index', [0, 1, 2, 4], r'in_index has 4, but .* emits 4 levels'),
        (
            'model.backbone.init_cfg',
            dict(type='Pretrained', checkpoint='no.pth'),
            'no.pth does not',
        ),
    ],
)
def test_a_model_that_does_not_fit_together_is_an_error(option, value, message) -> None:
    cfg = load()
    cfg.merge_from_dict({option: value})
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        preflight.check_model(cfg)


def ade20k(root: Path, largest: int) -> dict:
    for split in ('training', 'validation'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / f'images/{split}/0.jpg')
        labels = np.full((40, 60), largest, np.uint8)
        Image.fromarray(labels).save(root / f'annotations/{split}/0.png')
    return dict(options={}, work_dir=None, launcher='none', data_root=str(root))


def test_num_classes_that_disagree_with_the_dataset_are_an_error(tmp_path: Path) -> None:
    cfg = config.load_config(SEGMENTATION, **ade20k(tmp_path, 150))
    preflight.check(cfg)
    cfg.model.decode_head.num_classes = 19
    with pytest.raises(ValueError, match=r'decode_head\.num_classes is 19, but .* has 150 classes'):
        preflight.check(cfg)


def test_label_values_beyond_the_classes_are_an_error(tmp_path: Path) -> None:
    cfg = config.load_config(SEGMENTATION, **ade20k(tmp_path, 200))
    with pytest.raises(ValueError, match=r'0\.png has 200; 150 classes allow 0 to 150'):
        preflight.check(cfg)


def test_cityscapes_without_converted_labels_is_an_error(tmp_path: Path) -> None:
    for split in ('train', 'val'):
        image = tmp_path / 'leftImg8bit' / split / 'ulm/0_leftImg8bit.png'
        labels = tmp_path / 'gtFine' / split / 'ulm/0_gtFine_labelIds.png'
        for path in (image, labels):
            path.parent.mkdir(parents=True)
            Image.fromarray(np.zeros((40, 80), np.uint8)).save(path)
    leaf = str(ROOT / 'configs/upernet_volo_d1_cityscapes.py')
    cfg = config.load_config(
        leaf, options={}, work_dir=None, launcher='none', data_root=str(tmp_path)
    )
    with pytest.raises(ValueError, match=r'0_gtFine_labelTrainIds\.png'):
        preflight.check(cfg)


def test_categories_that_are_not_in_the_json_are_an_error(tmp_path: Path) -> None:
    (tmp_path / 'val.json').write_text(json.dumps({'categories': [{'name': 'Cat'}]}))
    dataset = ConfigDict(
        type='CocoDataset',
        data_root=str(tmp_path),
        ann_file='val.json',
        metainfo=dict(classes=('cat',)),
    )
    cfg = Config(dict(default_scope='mmdet', model=dict(head=dict(num_classes=1))))
    with pytest.raises(ValueError, match=r"no category 'cat'; its 1 categories are Cat.*spelling"):
        config_checks.check_categories(cfg, dataset)
    dataset.metainfo.classes = 'Cat'
    with pytest.raises(ValueError, match='is the string'):
        config_checks.check_numbers(cfg, dataset)


@pytest.mark.skipif(torch.cuda.is_available(), reason='tells what happens without a GPU')
class TestWithoutGpu:
    def test_cuda_is_refused_with_the_reason(self) -> None:
        with pytest.raises(ValueError, match=r'--device cuda: torch .* sees no GPU'):
            devices.require_cuda('cuda')

    def test_amp_and_sync_bn_are_left_out_with_one_notice_each(self) -> None:
        cfg = load()
        devices.set_amp(cfg)
        assert (cfg.optim_wrapper.type, cfg.optim_wrapper.dtype) == ('AmpOptimWrapper', 'bfloat16')
        notices = devices.adapt_to_device(cfg)
        assert len(notices) == 2 and 'AMP' in notices[0] and 'BatchNorm' in notices[1]
        assert cfg.optim_wrapper.type == 'CpuAmpOptimWrapper' and 'dtype' not in cfg.optim_wrapper
        assert cfg.model.decode_head.norm_cfg.type == 'BN'
        assert devices.adapt_to_device(cfg) == []


@pytest.mark.parametrize('gpu', [True, False])
def test_float16_is_for_gpus(gpu: bool, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    cfg = load()
    cfg.optim_wrapper.dtype = 'float16'
    devices.set_amp(cfg)
    assert cfg.optim_wrapper.dtype == 'float16', "the config's own"
    notices = devices.adapt_to_device(cfg)
    if gpu:
        assert notices == [] and cfg.optim_wrapper.type == 'AmpOptimWrapper'
    else:
        assert notices[0] == 'no GPU: float16 needs a GPU, so AMP will try bfloat16'
        assert cfg.optim_wrapper.type == 'CpuAmpOptimWrapper' and 'dtype' not in cfg.optim_wrapper


@pytest.mark.parametrize(
    'options, dtype, expected',
    [
        (None, None, 'bfloat16'),
        (None, 'float16', 'float16'),
        ({'optim_wrapper.dtype': 'float16'}, None, 'float16'),
        ({'optim_wrapper.dtype': 'float16'}, 'float16', 'float16'),
        ({'optim_wrapper.loss_scale': 512.0, 'optim_wrapper.type': 'AmpOptimWrapper'}, None,
         'bfloat16'),
        ({'optim_wrapper.dtype': 'float16'}, 'bfloat16', 'float16 contradicts --amp-dtype b'),
        ({'optim_wrapper.type': 'OptimWrapper'}, None, r'type=OptimWrapper contradicts --amp: '),
        ({'optim_wrapper.dtype': 'float8'}, None, "'float8'; allowed: bfloat16, float16"),
    ],
)  # fmt: skip
def test_amp_and_options_say_the_same_or_are_refused(options, dtype, expected: str) -> None:
    def amp() -> Config:
        cfg = load(**devices.amp_options(options, dtype))
        devices.set_amp(cfg)
        return cfg

    if ' ' in expected:
        with pytest.raises(errors.UserError, match=expected):
            amp()
    else:
        wrapper = amp().optim_wrapper
        assert (wrapper.type, wrapper.dtype) == ('AmpOptimWrapper', expected)


@pytest.mark.parametrize(
    'typed, amp, dtype',
    [
        (['a.py', '--amp'], True, None),
        (['--amp', 'a.py'], True, None),
        (['--amp-dtype', 'float16', 'a.py'], False, 'float16'),
    ],
)
def test_amp_stands_before_and_after_the_config(typed: list, amp: bool, dtype: str | None) -> None:
    args = load_tool('train').parse_args(typed)
    assert (args.config, args.amp, args.amp_dtype) == ('a.py', amp, dtype)


def test_testing_options(tmp_path: Path) -> None:
    cfg = load()
    settings.set_testing(cfg, tta=True)
    assert cfg.model.type == 'SegTTAModel' and cfg.model.module.type == 'EncoderDecoder'
    with pytest.raises(ValueError, match=r'--tta: this config has no tta_model.*masks'):
        settings.set_testing(load(DETECTION), tta=True)


def test_masks_are_not_tested_at_several_scales() -> None:
    cfg = load(DETECTION)
    cfg.tta_model, cfg.tta_pipeline = dict(type='DetTTAModel'), []
    with pytest.raises(ValueError, match=r'boxes only, not masks.*test_evaluator\.metric=bbox'):
        settings.set_testing(cfg, tta=True)
    cfg.test_evaluator.metric = 'bbox'
    settings.set_testing(cfg, tta=True)
    assert cfg.model.type == 'DetTTAModel'


def test_a_part_is_known_by_its_name_its_library_or_its_class() -> None:
    known = ('LoadAnnotations', 'mmseg.LoadAnnotations', find_class('LoadAnnotations', 'mmseg'))
    for step in (dict(type=given, reduce_zero_label=True) for given in known):
        assert config_tree.type_name(step) == 'LoadAnnotations' and config_checks.reduces([step])
    assert config_tree.type_name({}) == ''


@pytest.mark.parametrize('path', [DETECTION, SEGMENTATION])
def test_what_is_only_formatted_needs_no_labels(path: str) -> None:
    cfg = load(path)
    cfg.test_evaluator.format_only = True
    for step in cfg.test_dataloader.dataset.pipeline:
        if 'Annotations' in step.type:  # as new-style configs name it
            step.type = find_class(step.type, cfg.default_scope)
    assert config_tree.only_formats(cfg, 'test_evaluator')
    assert not config_tree.only_formats(cfg, 'val_evaluator')
    settings.set_testing(cfg, tta=False)
    steps = [config_tree.type_name(step) for step in cfg.test_dataloader.dataset.pipeline]
    assert 'LoadImageFromFile' in steps and 'LoadAnnotations' not in steps
    _, doubts = preflight.check(cfg, loaders=('test_dataloader',))  # although there is no data
    assert doubts == []


def test_training_options(tmp_path: Path) -> None:
    cfg = load()
    settings.set_training(cfg, pretrained='x.pth', auto_scale_lr=True)
    assert cfg.model.backbone.init_cfg.checkpoint == 'x.pth'
    assert cfg.auto_scale_lr.enable
    settings.set_training(cfg, pretrained='none', auto_scale_lr=False, prefer='memory')
    assert cfg.model.backbone.init_cfg is None
    assert MODELS.build(cfg.model.backbone).prefer == 'memory'
    cfg.model.backbone.type = 'ResNet'
    with pytest.raises(ValueError, match='--prefer: ResNet has only one form'):
        settings.set_training(cfg, pretrained=None, auto_scale_lr=False, prefer='memory')


@pytest.mark.parametrize(
    'name, inherited, batch',
    [
        ('mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco', 16, 256),
        ('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco', 16, 16),
    ],
)
def test_a_rate_is_scaled_from_the_batch_in_the_name(name, inherited, batch, trees: Path) -> None:
    assert get_config(f'{name}.py').auto_scale_lr.base_batch_size == inherited
    options = resolve.TrainOptions(name, data_root=f'{trees}/coco/', auto_scale_lr=True)
    run = resolve.resolve_training(options)
    assert run.cfg.auto_scale_lr == dict(enable=True, base_batch_size=batch)
    said = f'the learning rate is for batches of {batch}, as the name of the config says'
    assert (said in run.notices) == (batch != inherited)


def test_errors_for_users_end_the_program_with_one_message(monkeypatch) -> None:
    monkeypatch.delenv('DENSE_BACKBONES_TRACEBACK', raising=False)
    with pytest.raises(SystemExit, match=r'^error: no such thing$'), errors.plain_errors():
        raise errors.UserError('no such thing')
    with pytest.raises(SystemExit, match=r'^error: no x$'), errors.plain_errors():
        raise errors.MissingFileError('no x')  # a FileNotFoundError, too
    monkeypatch.setitem(os.environ, 'DENSE_BACKBONES_TRACEBACK', '1')
    with pytest.raises(errors.UserError), errors.plain_errors():
        raise errors.UserError('no such thing')


def test_an_interrupt_ends_the_program_with_the_code_of_shells(monkeypatch, capsys) -> None:
    monkeypatch.delenv('DENSE_BACKBONES_TRACEBACK', raising=False)
    with pytest.raises(SystemExit) as end, errors.plain_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130 and capsys.readouterr().err == 'interrupted\n'


def test_what_the_system_says_of_a_file_ends_the_program_with_one_message(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv('DENSE_BACKBONES_TRACEBACK', raising=False)
    said = rf'^error: {tmp_path}/a/b: No such file or directory$'
    with pytest.raises(SystemExit, match=said), errors.plain_errors():
        (tmp_path / 'a/b').mkdir()
    with pytest.raises(SystemExit, match=r'^error: a file: File too large'), errors.plain_errors():
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))  # without the open file's name
    monkeypatch.setitem(os.environ, 'DENSE_BACKBONES_TRACEBACK', '1')
    with pytest.raises(FileNotFoundError), errors.plain_errors():
        (tmp_path / 'a/b').mkdir()


@pytest.mark.parametrize('kind', [ValueError, FileNotFoundError, ImportError, RuntimeError])
def test_errors_of_libraries_keep_their_traceback(kind: type, monkeypatch) -> None:
    monkeypatch.delenv('DENSE_BACKBONES_TRACEBACK', raising=False)
    with pytest.raises(kind, match='deep inside'), errors.plain_errors():
        raise kind('deep inside')


def test_tables_of_metrics() -> None:
    box = {f'coco/{k}_{c}': 0.25 for k in ('bbox', 'segm') for c in metric_tables.COCO_COLUMNS}
    text = metric_tables.metric_tables(box, {})
    assert [c in text for c in ('bbox', 'segm', 'AP50', 'AP75', '0.250')] == [True] * 5
    text = metric_tables.metric_tables({'mIoU': 41.5, 'mAcc': 50.0, 'aAcc': 80.0}, {'wall': 70.25})
    assert '41.50' in text and 'wall' in text and '70.25' in text


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('x.onnx', 'x', r'x.onnx is not a config; allowed: a file named .py or .json'),
        ('x.pth', 'x', r'x.pth is not a config; .*; the config comes before the checkpoint'),
        ('x.json', '{', r'x.json cannot be read: '),
        ('x.json', '[1]', r'x.json cannot be read: '),
        ('x.yaml', 'a: [', r'x.yaml cannot be read: '),
    ],
)
def test_a_file_that_is_no_config_is_one_line(name, text, message, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(errors.UserError, match=message):
        config.read_config(str(tmp_path / name))


@pytest.mark.parametrize(
    'name, text', [('train.json', '{"images": [], "categories": []}'), ('data.yaml', 'nc: 3')]
)
def test_a_file_of_data_is_not_taken_for_a_config(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(
        errors.UserError, match=r'neither a model nor a dataloader, but (images|nc)'
    ):
        config.load_config(str(tmp_path / name))


@pytest.mark.parametrize(
    'text, message',
    [
        (
            "_base_ = 'gone.py'",
            r'inherits from a file that does not exist: .*gone.*correct its _base_',
        ),
        ("_base_ = ['../none/gone.py']", r'inherits from a file that does not exist'),
        ('model = dict(', r'is not valid Python'),
        (
            "_base_ = __import__('backbones').config_file('upernet_cloformer_nano_digits')\n"
            'model = dict(auxiliary_head=dict(a=1))',
            r'own.py: auxiliary_head=.* set `_delete_=True` to ignore the base',
        ),
    ],
)
def test_a_config_that_cannot_be_read_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / 'own.py').write_text(text)
    with pytest.raises(errors.UserError, match=message):
        config.read_config(str(tmp_path / 'own.py'))
