"""Exported heads find what OpenMMLab's `predict` finds, for several images at once."""

import json
from pathlib import Path

import export_table
import pytest

from backbones.deploy import export
from backbones.deploy.models import exportable
from backbones.errors import UserError
from backbones.openmmlab.config import read_config
from backbones.openmmlab.replace_backbone import swap_backbone

QUICK = (
    'mmdet::atss/atss_r50_fpn_1x_coco',
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco',
    'mmdet::rtmdet/rtmdet-ins_s_8xb32-300e_coco',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic',
    'mmdet::foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco',
    'mmdet::reppoints/reppoints-moment_r50_fpn_1x_coco',
    'mmdet::tood/tood_r50_fpn_1x_coco',
)
KNOWN = json.loads(export_table.RESULTS.read_text())
SIZE = (67, 90)  # padded to 96 x 96


@pytest.mark.parametrize('name', QUICK, ids=lambda name: name.split('/')[0])
def test_a_head_finds_in_a_batch_what_its_library_finds(name: str, monkeypatch) -> None:
    source = export_table.source(name, dynamic=True)
    monkeypatch.setattr(export, 'SIZES', (SIZE,))
    found = export.compared(source, export_table.as_module(source), export.Target(None, None))
    assert all(d.agrees for d in found), export.text(found)
    assert not any(d.what.endswith(', of 0') for d in found)


@pytest.mark.parametrize(
    'name, message',
    [
        ('mmdet::paa/paa_r50_fpn_1x_coco', 'PAAHead cannot be exported: it has its own predict_by'),
        ('mmdet::htc/htc-without-semantic_r50_fpn_1x_coco', 'HybridTaskCascade cannot be exported'),
        (
            'mmdet::sabl/sabl-faster-rcnn_r50_fpn_1x_coco',
            'bbox_coder is a BucketingBBoxCoder',
        ),
        ('mmdet::fast_rcnn/fast-rcnn_r50_fpn_1x_coco', 'FastRCNN cannot be exported'),
        ('mmdet::lad/lad_r50-paa-r101_fpn_2xb8_coco_1x', 'LADHead cannot be exported'),
        (
            'mmseg::segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512',
            'LightHamHead cannot be exported: it begins with random numbers',
        ),
        (
            'mmdet::bytetrack/bytetrack_yolox_x_8xb4-80e_crowdhuman-mot17halftrain_test-mot17halfval',
            'the model needs video clips',
        ),
    ],
    ids=lambda text: text.split('/')[0],
)
@pytest.mark.slow
def test_a_head_of_another_kind_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        exportable(export_table.source(name, dynamic=True).model)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['upernet', 'mask2former'])
def test_a_frozen_transformer_is_exported_with_its_head(kind: str, tmp_path: Path) -> None:
    name, frozen = f'{kind}_cloformer_nano_digits', dict(frozen_stages='all', width=32)
    cfg = swap_backbone(read_config(name), 'timm:vit_tiny_patch16_224', settings=frozen)
    source = export_table.source_of(cfg, name, dynamic=False)
    found = export.export(source, tmp_path / 'x.onnx', export.Target((64, 96)))
    assert found.agrees, export.text(found.differences)
    assert any(p.requires_grad for p in source.model.backbone.parameters())
    assert not any(p.requires_grad for p in source.model.backbone.trunk.parameters())


def test_the_page_shows_the_results() -> None:
    assert export_table.page(KNOWN) == export_table.PAGE.read_text()


@pytest.mark.slow
@pytest.mark.parametrize('name', KNOWN)
def test_a_model_is_exported_as_the_page_says(name: str, monkeypatch) -> None:
    monkeypatch.setattr(export, 'SIZES', export_table.SIZES)
    found = dict(module=export_table.try_module(name))
    known = KNOWN[name]
    if name in QUICK and 'any' in known:  # each takes a minute; the page has the others
        found |= export_table.try_files(name)
    for mode, outcome in found.items():
        assert _verdict(outcome) == _verdict(known[mode]), (mode, outcome)


def _verdict(outcome: dict) -> str:
    """Return the page's word, but rounding, which depends on the processor, is no difference."""
    said, *_ = export_table.cells(dict(module=outcome))
    return 'yes' if said.endswith('but not in float64') else said
