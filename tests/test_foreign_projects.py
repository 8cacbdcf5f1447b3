"""OpenMMLab's own configs and tools work beside this package."""

import sys
from pathlib import Path

import backbones  # before mmdet, whose modules ask for mmcv's operators

# isort: split
import mmdet
import pytest
import torch
from conftest import ROOT, call
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

MMDET_TEST = Path(mmdet.__path__[0], '.mim', 'tools', 'test.py')


def test_own_configs_inherit_from_mmsegmentation(tmp_path: Path) -> None:
    path = tmp_path / 'own.py'
    path.write_text("_base_ = 'mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py'\n")
    assert backbones.__version__
    assert Config.fromfile(path).model.decode_head.type == 'UPerHead'


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
