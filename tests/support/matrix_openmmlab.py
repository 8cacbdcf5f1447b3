"""Tests with OpenMMLab's own packages; run by tests/support/matrix.py where they are installed."""

import importlib
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

OWN = {'mmengine': '0.10.7', 'mmcv-lite': '2.1.0', 'mmdet': '3.3.0', 'mmsegmentation': '1.2.2'}
NAMES = ('cloformer_xxs', 'cswin_t', 'dilateformer_t', 'moganet_xt', 'volo_d1')
DETECTORS = {
    'retinanet': 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mask_rcnn': 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
}


def config(folder: Path, base: str, name: str, **backbone: object) -> Config:
    """A user's config: OpenMMLab's with one of the five backbones."""
    path = folder / 'own.py'
    path.write_text(
        f'_base_ = {base!r}\n'
        "custom_imports = dict(imports=['backbones'])\n"
        f"__row = __import__('backbones').variant({name!r})\n"
        'model = dict(\n'
        '    backbone=dict(_delete_=True, type=__row.cls.__name__, arch=__row.arch,\n'
        f'        **{backbone!r}),\n'
        '    neck=dict(in_channels=__row.channels))\n'
    )
    return Config.fromfile(path)


def detector(cfg: Config) -> torch.nn.Module:
    init_default_scope('mmdet')
    importlib.import_module('mmdet.utils').register_all_modules(init_default_scope=False)
    return MODELS.build(cfg.model)


def test_the_packages_are_openmmlabs_own() -> None:
    found = {d.metadata['Name'].lower(): d.version for d in distributions()}
    assert {name: found.get(name) for name in OWN} == OWN
    assert not [name for name in found if name.startswith('onedl')]


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('method', DETECTORS)
def test_a_config_of_theirs_trains_and_predicts(method: str, name: str, tmp_path: Path) -> None:
    model = detector(config(tmp_path, DETECTORS[method], name, frozen_stages=1, norm_eval=True))
    before = model.backbone.stem.state_dict()
    model.init_weights()  # also reads the file of weights, if the config names one
    assert model.backbone.is_init
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    sample = DetDataSample(metainfo=dict(img_shape=(96, 128), ori_shape=(96, 128),
                                         pad_shape=(96, 128), batch_input_shape=(96, 128),
                                         scale_factor=(1.0, 1.0)))  # fmt: skip
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 72, 72]]), labels=torch.tensor([3]),
        masks=BitmapMasks(torch.ones(1, 96, 128).byte().numpy(), 96, 128),
    )  # fmt: skip
    losses = model.train().loss(torch.randn(1, 3, 96, 128), [sample])
    flat = [x for v in losses.values() for x in (v if isinstance(v, list) else [v])]
    sum(x.sum() for x in flat if x.requires_grad).backward()
    frozen = [*model.backbone.stem.parameters(), *model.backbone.stages[0].parameters()]
    assert all(p.grad is None and not p.requires_grad for p in frozen)
    free = [p.grad for p in model.backbone.stages[1].parameters()]
    assert all(grad is not None and grad.isfinite().all() for grad in free)
    assert not model.backbone.stem.training and set(before) == set(model.backbone.stem.state_dict())
    with torch.inference_mode():
        (found,) = model.eval().predict(torch.randn(1, 3, 96, 128), [sample])
    assert found.pred_instances.bboxes.shape[1] == 4


def test_init_weights_loads_a_checkpoint_strictly(tmp_path: Path, caplog) -> None:
    import backbones

    file = tmp_path / 'own.pth'
    state = backbones.create('moganet_xt').state_dict()
    torch.save({'state_dict': state}, file)
    init_cfg = dict(type='Pretrained', checkpoint=str(file))
    model = detector(config(tmp_path, DETECTORS['retinanet'], 'moganet_xt', init_cfg=init_cfg))
    model.init_weights()
    assert all(torch.equal(v, state[k]) for k, v in model.backbone.state_dict().items())
    assert any(f'tensors of MogaNet from {file}' in line for line in caplog.messages)
    torch.save({'state_dict': {k: v for k, v in state.items() if 'norm1' not in k}}, file)
    with pytest.raises(backbones.UserError, match='missing in the file'):
        detector(config(tmp_path, DETECTORS['retinanet'], 'moganet_xt',
                        init_cfg=init_cfg)).init_weights()  # fmt: skip


def test_layer_decay_falls_with_depth(tmp_path: Path) -> None:
    importlib.import_module('backbones.training.layer_decay')
    model = detector(config(tmp_path, DETECTORS['retinanet'], 'moganet_xt'))
    optimizer = dict(type='AdamW', lr=1.0, weight_decay=0.05)
    wrapper = build_optim_wrapper(
        model, dict(type='OptimWrapper', optimizer=optimizer, constructor='LayerDecay',
                    paramwise_cfg=dict(decay_rate=0.8)),
    )  # fmt: skip
    rates = {id(p): g['lr'] for g in wrapper.optimizer.param_groups for p in g['params']}
    named = dict(model.named_parameters())
    # as published: tests/training/test_layer_decay.py
    assert rates[id(named['backbone.stem.0.weight'])] == pytest.approx(0.0550, rel=1e-3)
    for last in ('backbone.norm4.weight', 'bbox_head.retina_cls.weight'):
        assert rates[id(named[last])] == 1


def test_a_segmentor_of_theirs_predicts(tmp_path: Path) -> None:
    base = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
    cfg = config(tmp_path, base, 'cloformer_xxs')
    cfg.model.pop('neck')
    channels = importlib.import_module('backbones').variant('cloformer_xxs').channels
    cfg.model.update(pretrained=None)
    cfg.model.decode_head.update(in_channels=channels, norm_cfg=dict(type='BN'))
    cfg.model.auxiliary_head.update(in_channels=channels[2], norm_cfg=dict(type='BN'))
    cfg.model.data_preprocessor.size = (64, 64)
    importlib.import_module('mmseg.utils').register_all_modules(init_default_scope=False)
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    model.init_weights()
    with torch.inference_mode():
        logits = model.eval()(torch.randn(1, 3, 64, 64))
    assert logits.shape[:2] == (1, 150)


def test_operators_stand_in_for_those_that_mmcv_lite_lacks() -> None:
    from mmcv.ops import batched_nms, nms

    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2], [5, 5, 7, 7]])
    scores = torch.tensor([0.5, 0.9, 0.3])
    assert nms(boxes, scores, 0.5)[1].tolist() == [1, 2]
    kept = batched_nms(boxes, scores, torch.zeros(3).long(), dict(type='nms', iou_threshold=0.5))
    assert kept[1].tolist() == [1, 2]
    assert type(sys.modules['mmcv._ext']).__module__ == 'backbones.openmmlab.mmcv_ops'


def test_what_is_missing_for_predictions_is_said_without_a_command_that_overwrites() -> None:
    import backbones
    from backbones.openmmlab.extra import require_extra

    with pytest.raises(backbones.UserError, match='as it would overwrite mmengine, mmcv-lite'):
        require_extra('this')
