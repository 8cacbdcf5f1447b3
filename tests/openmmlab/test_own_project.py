"""Configs of other projects: classes as types, and datasets that decide their own settings."""

import re
from pathlib import Path

import pytest
from conftest import ROOT
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from PIL import Image

import backbones
from backbones.data.checks.config_datasets import read_datasets
from backbones.data.faults.faults import Faults
from backbones.errors import UserError
from backbones.openmmlab import registries
from backbones.openmmlab.config import load_config, read_config
from backbones.openmmlab.config_tree import classes_of
from backbones.openmmlab.own_datasets import settings_of
from backbones.training.preflight import check_model

PURE = """
from mmseg.models import EncoderDecoder, UPerHead
from torch.optim import AdamW
from backbones.cloformer import CloFormer

default_scope = 'mmseg'
model = dict(
    type=EncoderDecoder,
    backbone=dict(type=CloFormer, arch='xxs'),
    decode_head=dict(type=UPerHead, in_channels=[32, 64, 128, 256]),
)
optim_wrapper = dict(optimizer=dict(type=AdamW, lr=1e-3))
"""
CFG = Config(dict(default_scope='mmseg'))


class Deciding(BaseSegDataset):
    def __init__(self, **settings: object) -> None:
        meta = dict(classes=('sky', 'sea'))
        super().__init__(
            img_suffix='.tif',
            seg_map_suffix='.gif',
            metainfo=meta,
            **{'data_prefix': dict(img_path='../photos', seg_map_path=''), **settings},
        )


class Listing(BaseSegDataset):
    METAINFO = dict(classes=('land',))

    def load_data_list(self) -> list[dict]:
        return [dict(img_path='a.png', seg_map_path='b.png')]


class Failing(Deciding):
    def __init__(self, **settings: object) -> None:
        raise NotImplementedError


def test_classes_as_types_are_named(tmp_path: Path) -> None:
    path = tmp_path / 'pure.py'
    path.write_text(PURE)
    cfg = read_config(str(path))
    assert cfg.model.type == 'EncoderDecoder' and cfg.model.decode_head.type == 'UPerHead'
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.model.backbone.type == 'backbones.cloformer.CloFormer'  # MMEngine imports it
    check_model(cfg)
    cfg.model.backbone.arch = 'xs'
    with pytest.raises(UserError, match=r'CloFormer emits \[48, 96, 160, 352\]'):
        check_model(cfg)


def test_a_dataset_may_decide_its_settings_itself() -> None:
    part = dict(type=Deciding, data_root='data', data_prefix=dict(img_path='images'))
    found = settings_of(CFG, part)
    assert (found['img_suffix'], found['seg_map_suffix']) == ('.tif', '.gif')
    assert classes_of(CFG, part) == classes_of(CFG, found) == ('sky', 'sea')
    assert found.listed() is None and found['data_prefix'] == part['data_prefix']
    del part['data_prefix']
    folders = {key: Path(name) for key, name in settings_of(CFG, part)['data_prefix'].items()}
    assert folders == dict(img_path=Path('photos').absolute(), seg_map_path=Path('data').absolute())


def test_images_may_lie_in_the_root_itself(tmp_path: Path) -> None:
    Image.new('RGB', (8, 8)).save(tmp_path / '1.jpg')
    Image.new('L', (8, 8)).save(tmp_path / '1.png')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
    metainfo = dict(classes=('sky', 'sea'))
    part = dict(
        type='BaseSegDataset', data_root=str(tmp_path), pipeline=pipeline, metainfo=metainfo
    )
    cfg = Config(dict(default_scope='mmseg', model={}, train_dataloader=dict(dataset=part)))
    split = read_datasets(cfg, Faults(), splits=['train']).splits['train']
    assert split.pairs == [(tmp_path / '1.jpg', tmp_path / '1.png')]


def test_a_dataset_may_list_its_files_itself() -> None:
    found = settings_of(CFG, dict(type=Listing))
    assert found.listed() == [dict(img_path='a.png', seg_map_path='b.png')]
    assert classes_of(CFG, found) == ('land',)


@pytest.mark.parametrize('kind', [Failing, BaseSegDataset, 'CocoDataset', 'Unknown'])
def test_other_datasets_are_taken_as_the_config_says(kind: object) -> None:
    part = dict(type=kind, img_suffix='.png')
    assert settings_of(CFG, part) == part and settings_of(CFG, part).listed() is None


def test_the_import_of_a_class_of_ours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    defined = {}
    for path in (ROOT / 'backbones').rglob('*.py'):
        names = re.findall(r'^@[A-Z_]+\.register_module\(\)\nclass (\w+)', path.read_text(), re.M)
        module = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        defined |= dict.fromkeys(names, module)
    assert defined == registries.OURS
    monkeypatch.setattr(registries, 'find_class', lambda name, scope: None)
    said = registries.misspelt([dict(type='FiniteLossHook')], 'mmdet')
    assert "add 'backbones.training.nan_guard' to custom_imports.imports" in said


def test_imports_as_options_come_before_another_backbone(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / 'imported_by_option.py').write_text(
        'import backbones\n\n\n@backbones.register\nclass ByOption(backbones.CloFormer):\n'
        '    ARCHS = dict(tiny=backbones.CloFormer.NANO)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = list(backbones.BACKBONES)
    options = {'custom_imports.imports': ['imported_by_option']}
    name = 'upernet_cloformer_xxs_ade20k'
    try:
        cfg = load_config(name, backbone='byoption_t', options=options)
        with pytest.raises(UserError, match='published: byoption_t has no config of ours'):
            load_config(name, backbone='byoption_t', options=options, recipe='published')
    finally:
        backbones.BACKBONES[:] = before
    assert cfg.model.backbone.type == 'imported_by_option.ByOption'
    assert cfg.custom_imports.imports == ['imported_by_option', 'backbones']
    options = {'custom_imports.imports': ['missing_by_option']}
    with pytest.raises(UserError, match=r'custom_imports.imports: No module named .missing_by'):
        load_config(name, options=options)
