"""OpenMMLab's own configs and tools work beside this package."""

import sys
from pathlib import Path

import backbones  # before mmdet, whose modules import mmcv's operators

# isort: split
import mmdet
import pytest
import torch
from conftest import ROOT, call
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import MODELS, init_default_scope

from backbones.layers import DropPath

MMDET_TEST = Path(mmdet.__path__[0], '.mim', 'tools', 'test.py')


def test_own_configs_inherit_from_mmsegmentation(tmp_path: Path) -> None:
    path = tmp_path / 'own.py'
    path.write_text("_base_ = 'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py'\n")
    assert backbones.__version__
    assert Config.fromfile(path).model.decode_head.type == 'UPerHead'


@pytest.mark.parametrize('cls', backbones.BACKBONES, ids=lambda cls: cls.__name__)
def test_mmengines_models_initialise_a_backbone_once(cls: type, monkeypatch) -> None:
    class Model(BaseModule):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = MODELS.build(dict(type=cls.__name__, arch=cls.NANO))

    calls, init = [], cls.init_from_scratch
    monkeypatch.setattr(cls, 'init_from_scratch', lambda self: calls.append(init(self)))
    model = Model()
    model.init_weights()
    assert len(calls) == 1 and model.backbone.is_init
    model.backbone.is_init = model.is_init = False
    model.backbone.init_weights()  # a call before the model's counts
    model.init_weights()
    assert len(calls) == 2


@pytest.mark.parametrize('shape', [(64, 3, 2, 2), (64, 4, 8, 5)])
def test_drop_path_draws_as_that_of_mmcv(shape: tuple[int, ...]) -> None:
    from mmcv.cnn.bricks import DropPath as Theirs

    x, outputs = torch.randn(shape), []
    for cls in (DropPath, Theirs):
        torch.manual_seed(0)
        outputs.append(cls(0.3).train()(x))
        assert cls(0.3).eval()(x) is x
    assert torch.equal(*outputs)
    kept = outputs[0].flatten(1).any(1)
    assert 0 < kept.sum() < len(kept)
    assert torch.equal(outputs[0][kept], (x / 0.7)[kept])


@pytest.mark.slow
def test_mmdetection_evaluates_our_config_with_its_own_tool(trees: Path, tmp_path: Path) -> None:
    config = ROOT / 'configs/retinanet_moganet_xt_coco.py'
    cfg = Config.fromfile(config)
    init_default_scope('mmdet')
    checkpoint = tmp_path / 'model.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict(), meta={}), checkpoint)
    out = call(
        *(sys.executable, '-m', 'backbones', MMDET_TEST, config, checkpoint),
        *('--work-dir', tmp_path, '--cfg-options'),
        f'test_dataloader.dataset.data_root={trees}/coco/',
        f'test_evaluator.ann_file={trees}/coco/annotations/instances_val2017.json',
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
    )
    assert 'coco/bbox_mAP: ' in out
