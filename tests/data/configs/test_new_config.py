"""A config for a user's dataset is right for every kind of base, and it trains."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import tool
from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, init_default_scope
from own_data import CLASSES, NUMBER, json_file, make_coco, make_masks, make_voc, make_yolo

from backbones.cli import check_data
from backbones.data.checks.config_checks import reduces
from backbones.data.configs.config_text import override, statement
from backbones.data.configs.new_config import new_config, read_base
from backbones.errors import UserError
from backbones.openmmlab.config_tree import for_classes, innermost, num_classes
from backbones.openmmlab.replace_backbone import swap_backbone

DETECTION = (
    'mask_rcnn_cloformer_s_coco',
    'cascade_mask_rcnn_cswin_t_3x_coco',
    'faster_rcnn_cswin_t_coco',
    'retinanet_moganet_s_coco',
    'dino_cswin_t_coco',
    'mask2former_cswin_t_coco',
    'mask_rcnn_cloformer_nano_digits',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::atss/atss_r50_fpn_1x_coco',
)
SEGMENTATION = (
    'upernet_dilateformer_b_ade20k',
    'upernet_volo_d1_cityscapes',
    'upernet_moganet_s_ade20k',
    'semantic_fpn_moganet_s_ade20k',
    'mask2former_cswin_t_ade20k',
    'upernet_cswin_nano_digits',
)


def written(root: Path, base: str, out: Path, **options) -> tuple[str, Config]:
    report = check_data.check(str(root))
    assert not report.faults.errors
    text = new_config(report.dataset, base=base, out=out, **options)
    out.write_text(text)
    return text, Config.fromfile(out)


BASES = [  # the default suite takes the first of each task and the newest method
    pytest.param(base, marks=[] if i < 1 or base.startswith('mask2former') else [pytest.mark.slow])
    for bases in (DETECTION, SEGMENTATION)
    for i, base in enumerate(bases)
]


@pytest.mark.parametrize('base', BASES)
def test_all_that_depends_on_the_data_is_set(base: str, tmp_path: Path) -> None:
    make = make_coco if base in DETECTION else make_masks
    classes = CLASSES if base in DETECTION else ('background', 'flower', 'tree')
    root, out = make(tmp_path / 'data'), tmp_path / 'own.py'
    text, cfg = written(root, base, out)
    assert {n for _, n in num_classes(cfg.model, 'model')} == {len(classes)}
    weights = re.findall(r'class_weight=\[([^]]*)\]', cfg.pretty_text)
    # Mask2Former's "no object" stays
    weighted = [f'{len(classes) * "1.0, "}0.1'] if base.startswith('mask2former') else []
    assert [' '.join(found.split()).rstrip(',') for found in weights] == weighted
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        (part,) = innermost(loader.dataset)
        assert tuple(part.metainfo.classes) == classes
        assert len(part.metainfo.palette) == len(classes)
        assert part.data_root == f'{root}/'
        assert not reduces(part.pipeline)
    assert not reduces(cfg.get('tta_pipeline', []))
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator) if base in DETECTION else ():
        assert evaluator.ann_file == str(json_file(root, 'val'))
    report = check_data.check(str(out))
    assert not report.faults.lines() and len(text.splitlines()) <= 37
    assert max(map(len, text.splitlines())) <= 100 + len(str(root))
    assert report.counts['train']['images'] == NUMBER['train']


@pytest.mark.parametrize('base', [DETECTION[0], SEGMENTATION[0]])
def test_the_schedule_fits_the_number_of_images(base: str, tmp_path: Path) -> None:
    make = make_coco if base in DETECTION else make_masks
    root, out = make(tmp_path / 'data'), tmp_path / 'own.py'
    text, cfg = written(root, base, out)
    per_epoch = 3  # 6 images, 2 in a batch
    warm, decay = cfg.param_scheduler
    assert warm.end == 90 and decay.end == 300 * per_epoch
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(
        {DETECTION[0]: 1e-4, SEGMENTATION[0]: 6e-5}[base] * (2 / 16) ** 0.5, rel=0.02
    )
    _, cfg = written(root, base, out, epochs=20, batch=4)
    assert cfg.train_dataloader.batch_size == 4
    assert cfg.param_scheduler[1].end == 40
    length = cfg.train_cfg.get('max_epochs') or cfg.train_cfg.max_iters / 2
    assert length == 20
    assert cfg.train_cfg.val_interval == (2 if base in DETECTION else 4)
    _, cfg = written(root, base, out, epochs=2, batch=4)
    (decay,) = cfg.param_scheduler  # a tenth of 4 iterations is too short for a warm-up
    assert (decay.begin, decay.end) == (0, 4)


BASE = dict(
    kept=dict(a=1),
    changed=dict(a=1, b=(1, 2)),
    other_class=dict(type='A', a=1),
    fewer=dict(a=1, b=2),
    same_change=[dict(a=1, inner=dict(b=i, c=2)) for i in range(3)],
    each_its_own=[dict(a=i) for i in range(3)],
    numbers=[1, 2],
)
NEW = BASE | dict(
    changed=dict(a=1, b=(3,), c=dict({'x.y': None}, z=[])),
    other_class=dict(type='B', d=['long' * 9] * 5),
    fewer=dict(a=1),
    same_change=[dict(a=1, inner=dict(b=i, c=None), d='ä') for i in range(3)],
    each_its_own=[dict(a=-i) for i in range(3)],
    numbers=[3],
)


def test_what_differs_from_a_base_is_written_so_that_mmengine_makes_it(tmp_path: Path) -> None:
    (tmp_path / 'base.py').write_text(f'model = {BASE!r}')
    text = statement('model', override(ConfigDict(BASE), ConfigDict(NEW), '_base_.model'))
    (tmp_path / 'new.py').write_text(f"_base_ = 'base.py'\n{text}\n")
    assert Config.fromfile(tmp_path / 'new.py').model == ConfigDict(NEW)
    assert max(map(len, text.splitlines())) <= 100 and 'kept' not in text
    assert override(BASE, dict(BASE), '_base_.model') is None


@pytest.mark.parametrize(
    'make, base, recipe',
    [
        (make_masks, 'upernet_cswin_nano_digits', None),
        pytest.param(make_coco, DETECTION[1], None, marks=pytest.mark.slow),
        pytest.param(make_coco, DETECTION[-1], 'published', marks=pytest.mark.slow),
        pytest.param(make_masks, SEGMENTATION[3], None, marks=pytest.mark.slow),
        pytest.param(
            make_masks,
            'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
            'published',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_any_backbone_in_any_base(make, base: str, recipe: str | None, tmp_path: Path) -> None:
    root, out = make(tmp_path / 'data'), tmp_path / 'own.py'
    _, cfg = written(root, base, out, backbone='cloformer_xxs', recipe=recipe, batch=16)
    classes = 2 if make is make_coco else 3
    expected = swap_backbone(read_base(base, out)[1], 'cloformer_xxs', recipe=recipe)
    cfg.model.pop('_scope_', None)  # MMEngine adds it to a library's base
    assert cfg.model == ConfigDict(for_classes(expected.model, classes))
    assert cfg.model.backbone.type == 'CloFormer'
    assert 'backbones' in cfg.custom_imports.imports
    if recipe:
        assert cfg.optim_wrapper.optimizer == expected.optim_wrapper.optimizer
        assert cfg.optim_wrapper.paramwise_cfg == expected.optim_wrapper.paramwise_cfg


def test_images_and_label_maps_are_paired_whatever_their_suffixes(tmp_path: Path) -> None:
    root, out = make_masks(tmp_path / 'data'), tmp_path / 'own.py'
    text, _ = written(root, SEGMENTATION[-1], out)
    assert "type='BaseSegDataset'" in text and 'custom_imports' not in text
    for old, new in (('images/train/0.jpg', '0.JPG'), ('images/train/1.jpg', '1.x.jpeg'),
                     ('masks/train/1.png', '1.x.PNG'), ('masks/val/0.png', '0.tif')):  # fmt: skip
        (root / old).rename((root / old).with_name(new))
    _, cfg = written(root, SEGMENTATION[-1], out)
    init_default_scope('mmseg')
    for split, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
        made = DATASETS.build(loader.dataset)
        infos = [made.get_data_info(i) for i in range(len(made))]
        pairs = [(Path(info['img_path']), Path(info['seg_map_path'])) for info in infos]
        assert len({image.stem for image, _ in pairs}) == len(pairs) == NUMBER[split]
        assert all(image.stem == label.stem for image, label in pairs)
    assert not check_data.check(str(out)).faults.lines()
    (root / 'images/train/0.JPG').rename(root / 'images/train/0.webp')
    faults = check_data.check(str(out)).faults
    assert {fault.kind for fault in faults.errors} == {'missing-image'}
    file = Path(cfg.train_dataloader.dataset.ann_file)
    file.write_text(file.read_text().replace('\t', ' ', 1))
    with pytest.raises(UserError, match=r'line 1 is .*expected an image and its label map'):
        DATASETS.build(cfg.train_dataloader.dataset)


def test_the_dataset_of_earlier_configs_still_pairs_several_suffixes(tmp_path: Path) -> None:
    import backbones.data.mixed_suffixes  # noqa: F401

    root = make_masks(tmp_path / 'data')
    (root / 'images/train/0.jpg').rename(root / 'images/train/0.JPG')
    init_default_scope('mmseg')
    dataset = dict(
        type='MixedSuffixDataset', data_root=str(root), metainfo=dict(classes=('a', 'b', 'c')),
        img_suffix=('.JPG', '.jpg'), seg_map_suffix=('.png',), pipeline=[],
        data_prefix=dict(img_path='images/train', seg_map_path='masks/train'),
    )  # fmt: skip
    assert len(DATASETS.build(dataset)) == NUMBER['train']
    shutil.copy(root / 'images/train/2.jpg', root / 'images/train/2.JPG')
    with pytest.raises(UserError, match='differ only in the suffix: rename one of them'):
        DATASETS.build(dataset)


def test_faults_that_are_meant_are_allowed_in_the_config(tmp_path: Path) -> None:
    root, out = make_coco(tmp_path / 'data'), tmp_path / 'own.py'
    content = json.loads(json_file(root, 'train').read_text())
    content['annotations'][0]['bbox'] = [8, 8, 0, 24]
    json_file(root, 'train').write_text(json.dumps(content))
    said = tool('new_config', root, '--base', DETECTION[0], '--out', out, fails=True)
    assert '[box-empty]' in said and not out.exists()
    tool('new_config', root, '--base', DETECTION[0], '--out', out, '--allow', 'box-empty')
    assert Config.fromfile(out).allow_faults == ['box-empty']
    assert not check_data.check(str(out)).faults.errors


def test_a_base_that_mixes_images_keeps_doing_so(tmp_path: Path) -> None:
    root, out = make_coco(tmp_path / 'data'), tmp_path / 'own.py'
    _, cfg = written(root, 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py', out, epochs=40, batch=2)
    mixed = cfg.train_dataloader.dataset
    assert (mixed.type, mixed.pipeline[0]['type']) == ('MultiImageMixDataset', 'Mosaic')
    assert mixed.dataset.type == 'CocoByNameDataset' and mixed.dataset.data_root == f'{root}/'
    assert mixed.dataset.pipeline[0]['type'] == 'LoadImageFromFile'
    (switch,) = (h for h in cfg.custom_hooks if h['type'] == 'YOLOXModeSwitchHook')
    assert switch.num_last_epochs == 2  # of 40, like 15 of 300
    assert not check_data.check(str(out)).faults.errors
    init_default_scope('mmdet')
    (sample,) = [DATASETS.build(mixed)[0]]
    assert tuple(sample['inputs'].shape) == (3, 640, 640)


@pytest.mark.parametrize('batch, rate', [(256, 0.004), (64, 0.002)])
def test_a_config_says_for_which_batch_its_rate_is(batch, rate, tmp_path: Path) -> None:
    base = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco'  # inherits 16
    _, cfg = written(make_coco(tmp_path / 'data'), base, tmp_path / 'own.py', batch=batch)
    assert (cfg.optim_wrapper.optimizer.lr, cfg.auto_scale_lr.base_batch_size) == (rate, batch)


@pytest.mark.parametrize(
    'make, base, metric',
    [
        (make_coco, DETECTION[-1], 'auto'),
        (make_masks, 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py', 'mIoU'),
    ],
)
def test_a_base_that_keeps_no_best_checkpoint_does(make, base, metric, tmp_path: Path) -> None:
    _, cfg = written(make(tmp_path / 'data'), base, tmp_path / 'own.py')
    hook = cfg.default_hooks.checkpoint
    assert (hook.type, hook.save_best) == ('DurableCheckpointHook', metric)
    assert 'backbones.training.checkpoints' in cfg.custom_imports.imports


@pytest.mark.parametrize('make', [make_yolo, make_voc])
def test_other_layouts_become_coco_beside_the_config(make, tmp_path: Path) -> None:
    root, out = make(tmp_path / 'data'), tmp_path / 'own.py'
    _, cfg = written(root, 'faster_rcnn_cswin_t_coco', out)
    assert cfg.train_dataloader.dataset.ann_file == str(tmp_path / 'own/train.json')
    content = json.loads((tmp_path / 'own/train.json').read_text())
    assert len(content['images']) == len(content['annotations']) == NUMBER['train']
    assert content['annotations'][0]['bbox'] == pytest.approx([8, 8, 32, 24], abs=1e-3)
    assert not check_data.check(str(out)).faults.lines()


def test_a_selection_of_the_classes(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    report = check_data.check(str(root), classes=['tree'])
    assert [fault.kind for fault in report.faults.found.values()] == ['class-left-out']
    out = tmp_path / 'own.py'
    out.write_text(new_config(report.dataset, base=DETECTION[0], out=out))
    cfg = Config.fromfile(out)
    assert cfg.model.roi_head.bbox_head.num_classes == 1
    assert tuple(cfg.train_dataloader.dataset.metainfo.classes) == ('tree',)


@pytest.mark.parametrize(
    'make, base, message',
    [
        (make_masks, DETECTION[0], r'config of mmdet, but the data are label maps: .*upernet_'),
        (
            make_coco,
            SEGMENTATION[0],
            r'config of mmseg, but the data are instances: .*faster_rcnn_',
        ),
        (make_yolo, DETECTION[0], r'learns masks, but the annotations have only boxes'),
        (make_coco, 'mask_rcnn_cswin_tiny_coco', r"did you mean 'mask_rcnn_cswin_"),
        (make_coco, 'mmdet::faster_rcnn/none', r'config mmdet::faster_rcnn/none does not exist'),
    ],
)
def test_a_base_that_does_not_fit_is_an_error(make, base, message, tmp_path: Path) -> None:
    dataset = check_data.check(str(make(tmp_path / 'data'))).dataset
    with pytest.raises(UserError, match=message):
        new_config(dataset, base=base, out=tmp_path / 'own.py')


@pytest.mark.parametrize(
    'options, message',
    [
        (('--epochs', 0), '--epochs is 0; allowed: at least 1'),
        (('--epochs', -3, '--minutes', 5), '--epochs is -3; allowed: at least 1'),
        (('--batch', 0), '--batch is 0; allowed: at least 1'),
        ((), 'there is no folder gone, and config gone does not exist'),
    ],
)
def test_what_no_training_run_can_have_writes_no_config(options, message, tmp_path: Path) -> None:
    out = tmp_path / 'own.py'
    said = tool('new_config', 'gone', '--base', DETECTION[0], '--out', out, *options, fails=True)
    assert message in said and not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    'make, base, metric',
    [
        (make_coco, 'mask_rcnn_cloformer_nano_digits', 'coco/segm_mAP'),
        (make_masks, 'upernet_cloformer_nano_digits', 'mIoU'),
    ],
)
def test_the_config_trains(make, base: str, metric: str, tmp_path: Path) -> None:
    root, out = make(tmp_path / 'my data'), tmp_path / 'own.py'
    said = tool('new_config', root, '--base', base, '--out', out, '--epochs', 4, '--batch', 2)
    assert f'next: tools/train.py {out}' in said
    log = tool('train', out, '--work-dir', tmp_path / 'work')
    assert metric in log and 'Saving checkpoint' in log


def test_minutes_become_epochs_by_timing_the_config(tmp_path: Path) -> None:
    root, out = make_masks(tmp_path / 'data'), tmp_path / 'own.py'
    base = ('--base', 'segformer_cloformer_nano_small', '--out', out)
    said = tool('new_config', root, *base, '--minutes', 2)
    assert re.search(r'# 2 minutes: an iteration takes [\d.e-]+ s on this machine', said)
    cfg = Config.fromfile(out)
    assert cfg.train_cfg.max_iters > 2 * 20 and cfg.train_cfg.val_interval < cfg.train_cfg.max_iters
    said = tool('new_config', root, *base, '--minutes', 0.1, fails=True)
    assert 'allow more, or use fewer images' in said


def test_faulty_data_get_no_config(tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    (root / 'train/Bäume 0.png').unlink()
    out = tmp_path / 'own.py'
    said = tool('new_config', root, '--base', DETECTION[0], '--out', out, fails=True)
    assert 'missing-image' in said and 'no config was written' in said
    assert not out.exists() and 'Traceback' not in said
