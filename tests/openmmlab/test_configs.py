"""Every leaf loads, says what it is, fits its backbone, trains a step and predicts."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FILE_NAMES, SMALLEST, published_shapes
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from backbones import BACKBONES
from backbones.openmmlab.build import build_model, enter_library
from backbones.openmmlab.registries import import_scope
from backbones.training.preflight import check_model

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = sorted(CONFIGS.glob('*.py'))
# each method, each backbone, and a detector in its real size
QUICK = {
    'dino_cloformer_nano_digits',
    'mask2former_cloformer_nano_digits',
    'mask_rcnn_cloformer_xxs_coco',
    'mask_rcnn_cswin_nano_digits',
    'mask_rcnn_cloformer_nano_small',
    'mask_rcnn_volo_nano_digits',
    'retinanet_cloformer_nano_small',
    'gfl_cloformer_nano_small',
    'segformer_cloformer_nano_small',
    'semantic_fpn_cloformer_nano_small',
    'upernet_dilateformer_nano_digits',
    'upernet_moganet_nano_digits',
}
TITLES = {
    'mask_rcnn': 'Mask R-CNN',
    'cascade_mask_rcnn': 'Cascade Mask R-CNN',
    'cascade_mask_rcnn_plain': 'Cascade Mask R-CNN',
    'retinanet': 'RetinaNet',
    'faster_rcnn': 'Faster R-CNN',
    'semantic_fpn': 'Semantic FPN',
    'upernet': 'UperNet',
    'mask2former': 'Mask2Former',
    'dino': 'DINO',
    'gfl': 'GFL',
    'segformer': 'SegFormer',
}
DATASETS = {
    'coco': 'COCO',
    'ade20k': 'ADE20K',
    'cityscapes': 'Cityscapes',
    'digits': 'embedded digits',
    'small': 'small datasets',
}


def leaf(path: Path):
    slow = [] if path.stem in QUICK else [pytest.mark.slow]
    return pytest.param(path, id=path.stem, marks=slow)


def build(cfg: Config) -> torch.nn.Module:
    """Build a leaf's model without the download that its init_cfg names."""
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    from mmengine.registry import MODELS

    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))  # as on CPU
    model.init_weights()
    return model


def batch(cfg: Config, height: int, width: int, count: int) -> dict:
    """Images and annotations of one step."""
    rng = np.random.default_rng(0)
    inputs = [torch.from_numpy(rng.integers(0, 256, (3, height, width), np.uint8))] * count
    meta = dict(
        img_shape=(height, width),
        ori_shape=(height, width),
        pad_shape=(height, width),
        batch_input_shape=(height, width),
        scale_factor=(1.0, 1.0),
        img_path='',
    )
    return dict(inputs=inputs, data_samples=[_sample(cfg, meta) for _ in range(count)])


def _sample(cfg: Config, meta: dict):
    height, width = meta['img_shape']
    if cfg.default_scope == 'mmseg':
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 10, (1, height, width)))
        return sample
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData

    mask = np.zeros((1, height, width), np.uint8)
    mask[:, 10:60, 20:90] = 1
    sample = DetDataSample(metainfo=meta)
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[20.0, 10, 90, 60]]),
        labels=torch.tensor([3]),
        masks=BitmapMasks(mask, height, width),
    )
    return sample


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_leaf_loads_says_what_it_is_and_agrees_with_its_backbone(path: Path) -> None:
    lines = path.read_text().splitlines()
    names = {cls.__name__.lower(): cls for cls in BACKBONES}
    method, name, rest = re.split(rf'_({"|".join(names)})_', path.stem)
    assert lines[0].lower().startswith(f'# {TITLES[method]} + {name}'.lower())
    data = rest.rpartition('_')[2]
    assert f', {DATASETS[data]}, ' in lines[0]
    assert re.search(r'published|quote|\(ours\)', lines[0]), 'no metric or status'
    assert len([line for line in lines if line and not line.startswith('#')]) <= 12
    cfg = Config.fromfile(path)
    assert cfg.model.backbone.type.lower() == name
    assert 'backbones' in cfg.custom_imports.imports
    arch = names[name].resolve(cfg.model.backbone.arch)
    dims = list(arch['dims'])
    part = cfg.model.get('neck') or cfg.model.get('decode_head') or cfg.model.panoptic_head
    assert list(part.in_channels) == [
        dims[i] for i in cfg.model.backbone.get('out_indices', range(4))
    ]
    if cfg.model.get('auxiliary_head'):
        assert cfg.model.auxiliary_head.in_channels == dims[cfg.model.auxiliary_head.in_index]


def of_the_smallest(path: Path):
    small = any(f'_{row.name}_' in path.stem for row in SMALLEST) or 'nano' in path.stem
    return pytest.param(path, id=path.stem, marks=[] if small else [pytest.mark.slow])


@pytest.mark.parametrize('path', map(of_the_smallest, LEAVES))
def test_leaf_is_built(path: Path) -> None:
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    cls = next(cls for cls in BACKBONES if cls.__name__ == cfg.model.backbone.type)
    arch = cls.resolve(cfg.model.backbone.arch)
    cfg.model.backbone.arch = {**arch, 'depths': (1, 1, 1, 1)}  # the same channels in less time
    check_model(cfg)


@pytest.mark.parametrize('path', map(leaf, LEAVES))
def test_leaf_trains_a_step_and_predicts(path: Path) -> None:
    cfg = Config.fromfile(path)
    if 'size' in cfg.model.data_preprocessor:
        cfg.model.data_preprocessor.size = (64, 96)
    if cfg.model.get('test_cfg', {}).get('mode') == 'slide':
        cfg.model.test_cfg.update(crop_size=(96, 96), stride=(64, 64))
    if cfg.model.get('roi_head'):  # fewer boxes save time
        cfg.model.test_cfg.rpn.max_per_img = 50
        stages = cfg.model.train_cfg.rcnn
        for stage in stages if isinstance(stages, list) else [stages]:
            stage.sampler.num = 32
    if 'num_queries' in cfg.model:  # DINO takes them from the cells of the pyramid
        cfg.model.num_queries = 30
    cfg.model.data_preprocessor.pop('batch_augments', None)  # pads to the size of a recipe's crops
    model = build(cfg).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    data = model.data_preprocessor(batch(cfg, 64, 96, 2), training=True)
    loss, parts = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    optimizer.step()
    assert all(torch.as_tensor(v).isfinite().all() for v in parts.values()), parts
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    with torch.inference_mode():
        (sample,) = model.eval().test_step(batch(cfg, 128, 128, 1))
    if cfg.default_scope == 'mmseg':
        assert sample.pred_sem_seg.data.shape == (1, 128, 128)
    else:
        assert sample.pred_instances.bboxes.isfinite().all()
        if cfg.model.get('roi_head', {}).get('mask_head') or cfg.model.get('panoptic_head'):
            assert sample.pred_instances.masks.shape[1:] == (128, 128)


def decay(name: str) -> tuple[torch.nn.Module, dict[str, float]]:
    """Return a leaf's backbone, and the weight decay of each parameter."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    cls = next(c for c in BACKBONES if c.__name__ == cfg.model.backbone.type)
    model = torch.nn.ModuleDict({'backbone': cls(cfg.model.backbone.arch)})
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    found = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    return model.backbone, {n: found[id(p)] for n, p in model.backbone.named_parameters()}


@pytest.mark.parametrize(
    'path, keys, words',
    [
        ('upernet_cswin_t_ade20k', 'cswin_tiny_dense', ('norm',)),
        ('mask_rcnn_moganet_xt_coco', 'moganet_xtiny', ('scale', 'norm')),
        ('upernet_moganet_xt_ade20k', 'moganet_xtiny', ('scale', 'norm')),
    ],
)
def test_published_no_decay_rules_reach_the_same_parameters(
    path: str, keys: str, words: tuple
) -> None:
    cls = FILE_NAMES[keys.removesuffix('_dense')].cls
    _, rates = decay(path)
    published = {cls.PUBLISHED.rename(k): k for k in published_shapes(keys)}
    assert set(rates) <= set(published)
    for ours, rate in rates.items():
        exempt = any(word in published[ours] for word in words)
        assert (rate == 0) == exempt, f'{ours} ({published[ours]}) decays by {rate}'


@pytest.mark.parametrize('path', ['mask_rcnn_dilateformer_t_coco', 'upernet_volo_d1_ade20k'])
def test_norms_biases_and_position_tables_are_not_decayed(path: str) -> None:
    backbone, rates = decay(path)
    norms = (torch.nn.LayerNorm, torch.nn.BatchNorm2d)
    for name, rate in rates.items():
        module, _, kind = name.rpartition('.')
        norm = isinstance(backbone.get_submodule(module), norms)
        assert (rate == 0) == (norm or kind in ('bias', 'pos_embed')), f'{name} decays by {rate}'


@pytest.mark.parametrize('name', ['segformer', 'semantic_fpn'])
def test_a_small_segmentor_predicts_images_narrower_than_its_backbone_needs(name: str) -> None:
    cfg = Config.fromfile(CONFIGS / f'{name}_cloformer_nano_small.py')
    enter_library(cfg)
    from mmseg.structures import SegDataSample

    model = build_model(cfg).eval()
    image = torch.zeros((3, 24, 48), dtype=torch.uint8)
    sample = SegDataSample(metainfo=dict(img_shape=(24, 48), ori_shape=(32, 64)))
    with torch.no_grad():
        (found,) = model.test_step(dict(inputs=[image], data_samples=[sample]))
    assert found.pred_sem_seg.data.shape == (1, 32, 64)
