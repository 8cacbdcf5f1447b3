"""One of the backbones in any config: what is replaced, what fits, and messages otherwise."""

import json
import re
from importlib import import_module
from pathlib import Path

import any_config
import pytest
import torch
from conftest import tool
from mmengine.config import Config
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS

from backbones import config_file, variant
from backbones.cli.settings import set_testing, set_training
from backbones.errors import MissingFileError, UserError
from backbones.openmmlab import replace_backbone
from backbones.openmmlab.build import check_fit
from backbones.openmmlab.config import load_config, read_config
from backbones.openmmlab.replace_backbone import doubts, swap_backbone
from backbones.package_files import find_config
from backbones.training.preflight import check_model
from backbones.variants import Variant


def load(name: str) -> Config:
    return Config.fromfile(find_config(name))


@pytest.fixture
def unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swap without the prediction that checks the fit."""
    monkeypatch.setattr(replace_backbone, 'check_fit', lambda cfg, model: None)


@pytest.mark.parametrize(
    'before, after, name',
    (
        ('upernet_dilateformer_b_ade20k', 'upernet_cswin_t_ade20k', 'cswin_t'),
        ('semantic_fpn_cswin_t_ade20k', 'semantic_fpn_dilateformer_s_ade20k', 'dilateformer_s'),
        ('retinanet_moganet_s_coco', 'retinanet_moganet_xt_coco', 'moganet_xt'),
        ('mask_rcnn_cloformer_s_coco', 'mask_rcnn_volo_d3_coco', 'volo_d3'),
    ),
)
def test_our_leaves_turn_into_one_another(before: str, after: str, name: str, unproven) -> None:
    model = swap_backbone(load(before), name).model.to_dict()
    expected = load(after).model.to_dict()
    assert model.pop('backbone') == expected.pop('backbone') | {
        k: v for k, v in dict(out_indices=(1, 2, 3)).items() if before.startswith('retinanet')
    }
    assert model == expected


def test_a_model_of_four_channels_keeps_their_number_mean_and_deviation() -> None:
    cfg = load('upernet_cloformer_nano_digits')
    four = dict(mean=[1.0, 2.0, 3.0, 4.0], std=[5.0, 6.0, 7.0, 8.0], bgr_to_rgb=False)
    cfg.model.data_preprocessor.update(type='ChannelSegDataPreProcessor', **four)
    cfg.model.backbone.in_channels = 4
    import_module('backbones.data.channels_mmseg')  # as a config of such images does
    model = swap_backbone(cfg, 'moganet_xt').model  # predicts once on such an image
    assert model.backbone.in_channels == 4 and model.backbone.type == 'MogaNet'
    assert {key: model.data_preprocessor[key] for key in four} == four


@pytest.mark.parametrize(
    'leaf, name',
    (
        ('mask2former_cswin_t_coco', 'volo_d1'),
        ('mask2former_cswin_t_ade20k', 'cloformer_s'),
        ('dino_cswin_t_coco', 'dilateformer_s'),
    ),
)
def test_one_leaf_of_a_method_stands_for_those_of_all_variants(
    leaf: str, name: str, unproven, tmp_path: Path
) -> None:
    """As if there were a leaf with the other variant."""
    text = Path(find_config(leaf)).read_text().replace("variant('cswin_t')", f"variant('{name}')")
    written = tmp_path / f'{name}.py'
    written.write_text(text.replace("'_base_/", f"'{Path(find_config(leaf)).parent}/_base_/"))
    expected = Config.fromfile(written).to_dict()
    assert swap_backbone(load(leaf), name).to_dict() == expected


def test_the_published_recipe_is_that_of_the_variants_own_config(unproven) -> None:
    cfg = load('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco')
    cfg.optim_wrapper.clip_grad = dict(max_norm=0.1)
    schedule = cfg.param_scheduler
    cfg = swap_backbone(cfg, 'moganet_t', recipe='published')
    leaf = load('mask_rcnn_moganet_t_coco')
    assert cfg.optim_wrapper.pop('clip_grad') == dict(max_norm=0.1)
    assert cfg.optim_wrapper.paramwise_cfg.pop('bypass_duplicate')
    assert cfg.optim_wrapper == leaf.optim_wrapper
    assert cfg.model.backbone == leaf.model.backbone
    assert cfg.param_scheduler == schedule
    assert not doubts(cfg, 'moganet_t')


def test_the_recipe_keeps_how_the_config_makes_its_steps(unproven) -> None:
    cfg = load('retinanet_moganet_s_coco')
    cfg.optim_wrapper.update(type='AmpOptimWrapper', accumulative_counts=4, constructor='Other')
    cfg.optim_wrapper.optimizer.lr = 0.01
    cfg.param_scheduler = [dict(type='PolyLR', eta_min=1e-4, begin=0, end=9)]  # as MMSegmentation
    cfg.auto_scale_lr.enable = True
    cfg = swap_backbone(cfg, 'cswin_t', recipe='published')
    wrapper = cfg.optim_wrapper
    assert (wrapper.type, wrapper.accumulative_counts) == ('AmpOptimWrapper', 4)
    assert wrapper.optimizer.type == 'AdamW' and 'constructor' not in wrapper
    assert cfg.param_scheduler[0].eta_min == pytest.approx(0.01 * wrapper.optimizer.lr)
    assert cfg.auto_scale_lr.enable
    cfg.pop('optim_wrapper')
    assert swap_backbone(cfg, 'cswin_t', recipe='published').optim_wrapper.type == 'OptimWrapper'


def test_weights_of_a_model_with_the_old_backbone_are_left_out(unproven, monkeypatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(replace_backbone, 'print_log', lambda text, **_: said.append(text))
    cfg = load('retinanet_moganet_s_coco')
    cfg.load_from = 'fcos.pth'
    cfg.model.init_cfg = dict(type='Pretrained', checkpoint='x.pth')
    cfg = swap_backbone(cfg, 'cswin_t')
    assert (cfg.load_from, cfg.model.init_cfg) == (None, None)
    assert len(said) == 2
    assert said[0] == 'load_from=fcos.pth is dropped: it holds a model with the old backbone'


def test_a_preprocessor_and_imports_in_other_places_are_found(unproven) -> None:
    cfg = load('retinanet_moganet_s_coco')
    cfg.data_preprocessor = cfg.model.pop('data_preprocessor')  # as MMEngine's Runner takes it
    cfg.custom_imports = dict(imports='mmdet.models', allow_failed_imports=False)
    cfg = swap_backbone(cfg, 'cswin_t')
    assert cfg.model.data_preprocessor.mean == list(Variant.mean)
    assert cfg.custom_imports.imports == ['mmdet.models', 'backbones']


def test_an_optimizer_that_no_backbone_was_trained_with_is_named(unproven) -> None:
    cfg = swap_backbone(load('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco'), 'dilateformer_s')
    assert cfg.optim_wrapper.optimizer.type == 'SGD'
    assert 'drop_path_rate' not in cfg.model.backbone
    optimizer, weights = doubts(cfg, 'dilateformer_s')
    assert re.search('trains with SGD; .*--recipe published', optimizer)
    assert weights.startswith('There are no ImageNet weights of dilateformer_s')


def test_levels_input_and_imports_are_ours(unproven) -> None:
    cfg = swap_backbone(load('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco'), 'volo_d1')
    row = variant('volo_d1')
    assert cfg.model.backbone.out_indices == (1, 2, 3)
    assert cfg.model.backbone.init_cfg.checkpoint == row.weights
    assert cfg.model.neck.in_channels == row.channels[1:]
    assert cfg.model.bbox_head.in_channels == 128  # the neck's
    preprocessor = cfg.model.data_preprocessor
    assert (preprocessor.mean, preprocessor.std, preprocessor.bgr_to_rgb) == (
        list(Variant.mean),
        list(Variant.std),
        True,
    )
    assert 'backbones' in cfg.custom_imports.imports


def test_a_wrapped_detector_is_swapped_with_all_its_preprocessors(unproven) -> None:
    name = 'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco'
    cfg = swap_backbone(load(name), 'cswin_t')
    model = cfg.model
    assert model.detector.backbone.type == 'CSWin'
    parts = (model.detector.data_preprocessor, model.data_preprocessor.data_preprocessor)
    assert [(part.mean, part.bgr_to_rgb) for part in parts] == [(list(Variant.mean), True)] * 2
    check_model(cfg)
    set_training(cfg, pretrained='x.pth', auto_scale_lr=False)
    assert model.detector.backbone.init_cfg.checkpoint == 'x.pth'
    set_testing(cfg, tta=False)
    assert model.detector.backbone.init_cfg is None


@pytest.mark.parametrize(
    'config, reads',
    (
        ('mmdet::centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco', dict(neck=256)),
        ('mmdet::yolo/yolov3_d53_8xb8-320-273e_coco', dict(neck=[256, 128, 64])),
        ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco',
         dict(panoptic_head=[32, 64, 128, 256])),
        ('mmseg::fcn/fcn_r50-d8_4xb4-160k_ade20k-512x512',
         dict(decode_head=256, auxiliary_head=128)),
        ('mmseg::encnet/encnet_r50-d8_4xb4-160k_ade20k-512x512',
         dict(decode_head=[64, 128, 256], auxiliary_head=128)),
        ('mmseg::fastfcn/fastfcn_r50-d32_jpu_psp_4xb4-160k_ade20k-512x512',
         dict(neck=(64, 128, 256), decode_head=2048)),  # the neck's width, in its own dict
        ('mmdet::faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco', dict(rpn_head=128)),
    ),
)  # fmt: skip
def test_each_part_reads_its_levels(config: str, reads: dict, unproven) -> None:
    model = swap_backbone(load(config), 'cloformer_xxs').model
    assert {part: model[part].in_channels for part in reads} == reads
    assert model.get('pretrained') is None
    check_model(Config(dict(model=model)))


def test_a_swapped_config_survives_its_dump(unproven, tmp_path: Path) -> None:
    cfg = swap_backbone(load('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco'), 'cloformer_xxs')
    cfg.dump(tmp_path / 'own.py')
    assert Config.fromfile(tmp_path / 'own.py').model == cfg.model


def test_the_proof_takes_one_process_and_no_random_numbers() -> None:
    cfg = load('retinanet_cloformer_nano_small')
    cfg.model.neck.norm_cfg = dict(type='MMSyncBN')  # mmcv's asks for a process group
    before = torch.get_rng_state()
    check_fit(cfg, cfg.model)
    assert torch.equal(torch.get_rng_state(), before)
    assert cfg.model.neck.norm_cfg.type == 'MMSyncBN'


@pytest.mark.slow
def test_a_model_that_takes_proposals_is_proven_with_one() -> None:
    assert any_config.attempt('mmdet::fast_rcnn/fast-rcnn_r50_fpn_1x_coco') == ('', '')


def test_a_model_that_fits_trains_and_predicts() -> None:
    assert any_config.attempt('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco') == ('', '')


@pytest.mark.parametrize(
    'config, name, message',
    (
        ('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco', 'cswin_tiny', "did you mean 'cswin_t'"),
        ('mmdet::yolox/yolox_s_8xb8-300e_coco', 'cswin_t ', 'allowed: '),
        ('mmdet::ssd/ssd300_coco', 'cswin_t', 'AssertionError: assert '),
        ('mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes', 'cswin_t',
         'PIDNet, emits a single map; ours emit a tuple'),
        ('mmseg::dpt/dpt_vit-b16_8xb2-160k_ade20k-512x512', 'cswin_t',
         'VisionTransformer, emits more than feature maps'),
        ('mmdet::faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco', 'cloformer_xxs',
         '^--backbone cloformer_xxs does not fit: RuntimeError: .*channels'),
    ),
)  # fmt: skip
def test_what_does_not_fit_is_one_line(config: str, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        swap_backbone(load(config), name)
    assert '\n' not in str(error.value)


def test_a_refused_swap_leaves_the_config_as_it_was() -> None:
    cfg = load('mmdet::ssd/ssd300_coco')
    before = cfg.to_dict()
    with pytest.raises(UserError):
        swap_backbone(cfg, 'cloformer_xxs')
    assert cfg.to_dict() == before


def test_configs_without_a_backbone_and_unknown_recipes_are_refused() -> None:
    with pytest.raises(UserError, match="default_scope is None; allowed: 'mmdet', 'mmseg'"):
        swap_backbone(Config(dict(model=dict(backbone=dict(type='ResNet')))), 'cswin_t')
    with pytest.raises(UserError, match=r'no model\.backbone'):
        swap_backbone(Config(dict(model=dict(type='X'), default_scope='mmdet')), 'cswin_t')
    with pytest.raises(UserError, match="recipe is 'ours'; allowed: published"):
        swap_backbone(Config(dict(model={})), 'cswin_t', recipe='ours')


def test_tools_take_configs_of_the_libraries(unproven, tmp_path: Path) -> None:
    options = dict(options={'model.backbone.with_cp': True}, work_dir=None, data_root=None)
    cfg = load_config(
        'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py',
        backbone='moganet_xt',
        launcher='none',
        **options,
    )
    assert cfg.model.backbone.type == 'MogaNet' and cfg.model.backbone.with_cp
    assert cfg.work_dir == 'work_dirs/upernet_r50_4xb4-160k_ade20k-512x512_moganet_xt'
    with pytest.raises(UserError, match='--recipe needs --backbone'):
        load_config(
            config_file('upernet_cswin_t_ade20k'), recipe='published', launcher='none', **options
        )


@pytest.mark.parametrize(
    'path, kind, message',
    (
        ('mmdet::fcos/fcos_r50_fpn', MissingFileError, "did you mean 'mmdet::fcos/fcos_"),
        ('mmpose::a/b', UserError, "allowed before '::': mmdet, mmseg"),
        ('mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512', UserError,
         'needs a package that is not installed: .*mmpretrain'),
    ),
)  # fmt: skip
def test_configs_that_cannot_be_read_are_errors(path: str, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        read_config(path)


def test_the_page_is_made_from_its_results() -> None:
    known = json.loads(any_config.RESULTS.read_text())
    assert list(known) == any_config.CONFIGS
    outcomes = {config: any_config.Outcome(*known[config]) for config in any_config.CONFIGS}
    assert any_config.page(outcomes) == any_config.PAGE.read_text()
    families = {config.split('/')[0] for config in known}
    assert len(families) >= 45
    # the others have no backbone with a pyramid like ours, or need a package
    pyramids = [
        o for o in outcomes.values() if not re.search('the old backbone|not installed', o.fits)
    ]
    assert sum(not o.fits and not o.trains for o in pyramids) >= 0.9 * len(pyramids) > 100


@pytest.mark.slow
@pytest.mark.parametrize('config', any_config.CONFIGS)
def test_a_family_behaves_as_the_page_says(config: str) -> None:
    expected = json.loads(any_config.RESULTS.read_text())[config]
    found = any_config.attempt(config)
    assert [bool(text) for text in found] == [bool(text) for text in expected], found


@pytest.mark.slow
def test_a_config_of_mmdetection_trains_and_evaluates(trees: Path, tmp_path: Path) -> None:
    config = 'mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco'
    options = (
        *('--backbone', 'cloformer_xxs', '--data-root', f'{trees}/coco/', '--work-dir', tmp_path),
        *('--cfg-options', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0'),
        *('train_dataloader.persistent_workers=False', 'val_dataloader.persistent_workers=False'),
        *('train_cfg.max_epochs=1', 'train_dataloader.batch_size=2', 'val_dataloader.batch_size=1'),
    )
    log = tool('train', config, '--recipe', 'published', *options)
    assert (tmp_path / 'epoch_1.pth').is_file()
    assert 'AdamW' in log and 'Epoch(val) [1][2/2]' in log


@pytest.mark.parametrize(
    'config, name',
    (
        ('upernet_cswin_nano_digits', 'timm:test_vit'),
        ('mask_rcnn_cloformer_nano_digits', 'timm:test_convnext'),
        pytest.param('mmdet::dino/dino-4scale_r50_8xb2-12e_coco', 'timm:test_resnet',
                     marks=pytest.mark.slow),
        pytest.param('mask2former_cswin_t_ade20k', 'timm:test_vit', marks=pytest.mark.slow),
    ),
)  # fmt: skip
def test_models_of_timm_fit_and_their_images_are_normalised_as_they_expect(
    config: str, name: str, tmp_path: Path
) -> None:
    cfg = swap_backbone(load(config), name)
    row = variant(name)
    assert cfg.model.backbone.type == 'TimmPyramid' and f'timm:{cfg.model.backbone.arch}' == name
    assert cfg.model.data_preprocessor.mean == list(row.mean) != [123.675, 116.28, 103.53]
    cfg.dump(tmp_path / 'own.py')
    assert Config.fromfile(tmp_path / 'own.py').model == cfg.model
    recipe = row.recipe('detection' if config.startswith(('mask_rcnn', 'mmdet')) else 'upernet')
    if recipe is None:
        with pytest.raises(UserError, match='known for the family resnet, only for vision'):
            swap_backbone(load(config), name, recipe='published')
    else:
        cfg = swap_backbone(load(config), name, recipe='published')
        assert cfg.optim_wrapper.optimizer.lr == recipe.lr
        assert cfg.optim_wrapper.constructor in OPTIM_WRAPPER_CONSTRUCTORS.module_dict
        assert 'backbones.training.layer_decay' in cfg.custom_imports.imports
        assert cfg.auto_scale_lr.base_batch_size == recipe.batch
        assert cfg.model.backbone.drop_path_rate == recipe.drop_path
