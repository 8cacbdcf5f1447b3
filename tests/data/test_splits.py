"""Dividing the training images in two if there is no validation split."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import own_data
import pytest
import yaml
from conftest import tool
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from PIL import Image

from backbones.cli import check_data
from backbones.data.configs.write_config import write_annotations
from backbones.data.faults.faults import Faults
from backbones.data.layouts.folder import Options, read_folder
from backbones.data.splits import part_of_split, split_off_validation
from backbones.errors import UserError
from backbones.openmmlab.registries import import_scope

LAYOUTS = ('coco', 'yolo', 'voc', 'masks')
NUMBER = 12


@pytest.fixture
def folder(request, tmp_path: Path, monkeypatch) -> Path:
    """A dataset of a layout with only a training split."""
    monkeypatch.setitem(own_data.NUMBER, 'train', NUMBER)
    layout, root = request.param, tmp_path / 'data'
    getattr(own_data, f'make_{layout}')(root)
    for part in ('val', 'images/val', 'labels/val', 'masks/val'):
        shutil.rmtree(root / part, ignore_errors=True)
    for file in ('annotations/val.json', 'ImageSets/Main/val.txt'):
        (root / file).unlink(missing_ok=True)
    if layout == 'yolo':
        content = yaml.safe_load((root / 'data.yaml').read_text())
        del content['val']
        (root / 'data.yaml').write_text(yaml.safe_dump(content))
    return root


def files(root: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(root.rglob('*')) if p.is_file()}


@pytest.mark.parametrize('folder', LAYOUTS, indirect=True)
def test_a_config_of_a_divided_split_has_each_image_once(folder: Path, tmp_path: Path) -> None:
    before, out = files(folder), tmp_path / 'own.py'
    base = 'semantic_fpn_cloformer_nano_small' if (folder / 'masks').exists() else (
        'retinanet_cloformer_nano_small')  # fmt: skip
    tool('new_config', folder, '--base', base, '--out', out, '--val', '0.25')
    assert files(folder) == before, 'no file of the data is changed'
    cfg, seen = Config.fromfile(out), {}
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    for split in ('train', 'val'):
        dataset = DATASETS.build(dict(cfg[f'{split}_dataloader'].dataset, pipeline=[]))
        seen[split] = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    assert (len(seen['train']), len(seen['val'])) == (NUMBER * 3 // 4, NUMBER // 4)
    assert not {*seen['train']} & {*seen['val']}
    report = check_data.check(str(out))
    assert not report.faults.errors
    assert all(all(counts.values()) for name, counts in report.classes.items()), report.classes
    written = files(out.with_suffix(''))
    tool('new_config', folder, '--base', base, '--out', out, '--val', '0.25')
    assert files(out.with_suffix('')) == written, 'the same every time'
    other = tmp_path / 'other.py'
    tool('new_config', folder, '--base', base, '--out', other, '--val', '0.25', '--seed', '1')
    assert files(other.with_suffix('')) != {k.replace('/own/', '/other/'): v
                                            for k, v in written.items()}  # fmt: skip


@pytest.mark.parametrize('folder', ['masks'], indirect=True)
def test_label_maps_of_several_suffixes_are_divided_too(folder: Path, tmp_path: Path) -> None:
    first = folder / 'images/train/0.jpg'
    Image.open(first).save(first.with_suffix('.png'))
    first.unlink()
    out = tmp_path / 'own.py'
    command = ('--base', 'semantic_fpn_cloformer_nano_small', '--out', out, '--val', '0.25')
    tool('new_config', folder, *command)
    cfg = Config.fromfile(out)
    assert cfg.train_dataloader.dataset.type == 'ListedPairsDataset'
    import_scope('mmseg')
    init_default_scope('mmseg')
    sizes = [len(DATASETS.build(dict(cfg[f'{s}_dataloader'].dataset, pipeline=[])))
             for s in ('train', 'val')]  # fmt: skip
    assert sizes == [NUMBER * 3 // 4, NUMBER // 4]
    assert not check_data.check(str(out)).faults.errors


@pytest.mark.parametrize('folder', ['coco'], indirect=True)
def test_images_that_look_alike_stay_together(folder: Path) -> None:
    """Three frames of each of four scenes, brighter from one to the next."""
    for number, path in enumerate(sorted((folder / 'train').iterdir())):
        rng = np.random.default_rng(number // 3)
        scene = rng.integers(0, 200, (6, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        Image.fromarray(scene + np.uint8(5 * (number % 3))).save(path)
    dataset = read_folder(folder, Faults([]), Options(layout='coco'))
    split_off_validation(dataset, 0.25)
    names = sorted(p.name for p in (folder / 'train').iterdir())
    scenes = {s.name: {names.index(p.name) // 3 for p in s.paths()} for s in
              dataset.splits.values()}  # fmt: skip
    assert scenes['train'] | scenes['val'] == {0, 1, 2, 3}
    assert not scenes['train'] & scenes['val'] and len(scenes['val']) == 1


@pytest.mark.parametrize('folder', ['coco'], indirect=True)
def test_folders_of_scenes_stay_together(folder: Path) -> None:
    file = own_data.json_file(folder, 'train')
    text = file.read_text()
    for number, path in enumerate(sorted((folder / 'train').iterdir())):
        scene = folder / f'train/scene {number // 2}'
        scene.mkdir(exist_ok=True)
        path.rename(scene / path.name)
    content = json.loads(text)
    names = {p.name: f'{p.parent.name}/{p.name}' for p in folder.rglob('*.png')}
    for image in content['images']:
        image['file_name'] = names[image['file_name']]
    file.write_text(json.dumps(content))
    dataset = read_folder(folder, Faults([]), Options(layout='coco'))
    split_off_validation(dataset, 0.25)
    scenes = [{p.parent.name for p in split.paths()} for split in dataset.splits.values()]
    assert not scenes[0] & scenes[1] and len(scenes[0] | scenes[1]) == NUMBER // 2


@pytest.mark.parametrize('folder', ['coco'], indirect=True)
def test_what_cannot_be_divided_is_a_sentence(folder: Path) -> None:
    def divide(share: float) -> None:
        split_off_validation(read_folder(folder, Faults([]), Options(layout='coco')), share)

    with pytest.raises(UserError, match=r'--val is 0\.9; allowed: 0\.02 to 0\.5'):
        divide(0.9)
    first, *others = sorted((folder / 'train').iterdir())
    for other in others:
        shutil.copy(first, other)
    with pytest.raises(UserError, match='--val needs two images or folders that differ'):
        divide(0.2)


@pytest.mark.parametrize('folder', ['coco'], indirect=True)
def test_one_of_few_images_validates(folder: Path) -> None:
    dataset = read_folder(folder, Faults([]), Options(layout='coco'))
    dataset.splits['train'] = part_of_split(
        dataset.splits['train'], 'train', dataset.splits['train'].paths()[:3]
    )
    split_off_validation(dataset, 0.2)
    assert [len(split.paths()) for split in dataset.splits.values()] == [2, 1]


def test_a_dataset_with_a_validation_split_is_not_divided(tmp_path: Path) -> None:
    root = own_data.make_coco(tmp_path)
    with pytest.raises(UserError, match='has the splits train, val: leave --val out'):
        split_off_validation(read_folder(root, Faults([]), Options(layout='coco')), 0.2)


@pytest.mark.parametrize('folder', ['coco', 'masks'], indirect=True)
def test_images_of_a_training_split_do_not_become_validation_later(folder: Path, tmp_path) -> None:
    """Another --seed with the same --out would judge an older model by its training images."""
    out = tmp_path / 'own.py'

    def write(seed: int) -> None:
        dataset = check_data.check(str(folder), val=0.25, seed=seed).dataset
        write_annotations(dataset, out)

    write(0)
    before = {path: path.read_bytes() for path in sorted((tmp_path / 'own').iterdir())}
    write(0)
    with pytest.raises(UserError, match='images that it has learnt'):
        write(1)
    assert {path: path.read_bytes() for path in sorted((tmp_path / 'own').iterdir())} == before


@pytest.mark.parametrize('folder', ['coco'], indirect=True)
def test_a_config_that_somebody_has_edited_is_kept(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / 'own.py'
    command = ('new_config', folder, '--base', 'retinanet_cloformer_nano_small', '--val', '0.25',
               '--out', out)  # fmt: skip
    assert '.old' not in tool(*command) + tool(*command)
    edited = f'{out.read_text()}my_setting = 1\n'
    out.write_text(edited)
    assert f'the previous config is now {out}.old' in tool(*command)
    assert (tmp_path / 'own.py.old').read_text() == edited != out.read_text()


@pytest.mark.parametrize('layout', ['coco', 'yolo', 'voc'])
def test_a_config_among_the_data_is_no_part_of_them(layout: str, tmp_path: Path) -> None:
    """Neither are the annotations beside it."""
    root = getattr(own_data, f'make_{layout}')(tmp_path)
    (root / 'train.py').write_text('print()')  # no config
    before = check_data.check(str(root)).counts
    assert [*before] == ['train', 'val']
    command = ('--base', 'retinanet_cloformer_nano_small', '--allow', 'similar-classes')
    tool('new_config', root, *command, '--out', root / 'own.py')
    if layout == 'coco':
        shutil.copytree(root / 'annotations', root / 'own')
    assert check_data.check(str(root)).counts == before


def test_pictures_that_cannot_be_written_are_an_error(tmp_path: Path, monkeypatch) -> None:
    root = own_data.make_coco(tmp_path / 'data')

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_bytes', full)
        said = tool('check_data', root, '--pictures', tmp_path / 'pictures', fails=True)
    assert 'pictures/train.png could not be written: No space left on device' in said
    (tmp_path / 'file').touch()
    said = tool('check_data', root, '--pictures', tmp_path / 'file/pictures', fails=True)
    assert f'error: {tmp_path}/file/pictures: Not a directory' in said


@pytest.mark.parametrize('folder', LAYOUTS, indirect=True)
def test_a_fifth_is_set_aside_if_nothing_is_said(folder: Path) -> None:
    whole = check_data.check(str(folder))
    assert 'no-validation' in {fault.kind for fault in whole.faults.warnings}
    assert 'val' not in whole.dataset.splits
    divided = check_data.check(str(folder), divide=True)
    sizes = {name: len(split.paths()) for name, split in divided.dataset.splits.items()}
    assert sizes['train'] + sizes['val'] == NUMBER and 2 <= sizes['val'] <= 3
    assert any('--val 0.2' in note for note in divided.notes)
