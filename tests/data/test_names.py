"""Any names of classes, files and folders survive in a config, and nothing is executed."""

import copy
import json
import os
from pathlib import Path

import pytest
from conftest import tool
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from own_data import annotation, json_file, make_coco, make_masks, noise, write

from backbones.cli import check_data
from backbones.data.checks.name_checks import has_controls
from backbones.data.configs.config_text import literal, named
from backbones.data.configs.new_config import new_config
from backbones.data.configs.write_config import comment, write_config
from backbones.errors import UserError, shown
from backbones.openmmlab.runner import TextOnceConfig

MARK = 'THEY_RAN_IT'
CODE = f"__import__('os').environ.__setitem__('{MARK}','1')"
NAMES = [
    '{{ fileDirname }}',
    '{{fileBasename}}',
    '{{$HOME:x}}',
    '{{ _base_.model }}',
    '{{{{ fileDirname }}}}',
    '{{{ fileDirname }}}',
    "{{'$HOME:a'}}",
    f'{{{{$NOT_SET:"+{CODE}+"}}}}',
    f"{{{{$NOT_SET:'+{CODE}+'}}}}",
    "it's",
    '"quoted"',
    "'''",
    'back\\slash',
    '\\',
    '\\x7b',
    '# comment',
    '$x^$',
    'ä ö 漢字 🌳',
    '%s {0} {name!r}',
    "'); import os; ('",
]
TEXT = st.text(st.characters(exclude_categories=('Cs',)), min_size=1, max_size=20)
ODD = st.text(st.sampled_from('{}$:\'"\\#_ ab\n'), min_size=1, max_size=24)
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def read(text: str, path: Path) -> Config:
    path.write_text(text, encoding='utf-8')
    return Config.fromfile(path)


@given(names=st.lists(TEXT | ODD | st.sampled_from(NAMES), min_size=1, max_size=4))
@example(names=NAMES)
@SLOW
def test_names_are_read_as_they_were_written(names: list[str], tmp_path: Path) -> None:
    """This includes the copy that a training run leaves in its work dir."""
    from backbones.data.configs.write_config import BRACES

    part = named('metainfo', literal(dict(classes=tuple(names))), sign=' = ')
    cfg = read('\n'.join([comment(names[0]), part.text().replace(*BRACES)]), tmp_path / 'a.py')
    assert dict(cfg) == dict(metainfo=dict(classes=tuple(names)))
    TextOnceConfig.of(copy.deepcopy(cfg)).dump(tmp_path / 'copy.py')
    assert Config.fromfile(tmp_path / 'copy.py').to_dict() == cfg.to_dict()
    assert MARK not in os.environ


@given(text=st.text(max_size=30) | ODD)
@example(text='\ud800 \x00 \u2028')
def test_a_shown_text_is_one_line_that_every_terminal_takes(text: str) -> None:
    line = shown(text)
    assert line.isprintable() and line.encode().decode() == line
    assert line == text or not text.isprintable()


def renamed(root: Path, names: list[str]) -> None:
    for split in ('train', 'val'):
        content = json.loads(json_file(root, split).read_text())
        content['categories'] = [dict(id=i, name=name) for i, name in enumerate(names, 1)]
        for i, entry in enumerate(content['annotations']):
            entry['category_id'] = i % len(names) + 1
        write(root, split, content)


@pytest.mark.parametrize('folder', ['plain', 'a {{ fileDirname }} b', "it's $x # {{$HOME:x}}"])
def test_a_config_of_odd_names_is_what_was_meant(folder: str, tmp_path: Path) -> None:
    root, out = tmp_path / folder, tmp_path / 'own.py'
    numbers = range(1, len(NAMES) + 1)
    for split in ('train', 'val'):
        noise(root / split / f'{split}.png')
        content = dict(
            images=[dict(id=1, file_name=f'{split}.png', width=64, height=48)],
            annotations=[annotation(i, 1, i) for i in numbers],
            categories=[dict(id=i, name=name) for i, name in zip(numbers, NAMES)],
        )
        write(root, split, content)
    dataset = check_data.check(str(root)).dataset
    text = new_config(dataset, base='retinanet_cloformer_nano_small', out=out)
    write_config(text, dataset, out)
    cfg = Config.fromfile(out)
    assert [*cfg.metainfo.classes] == NAMES
    assert cfg.data_root == f'{root}/' and MARK not in os.environ
    assert cfg.val_evaluator.ann_file == str(json_file(root, 'val'))


def test_label_maps_in_odd_folders(tmp_path: Path) -> None:
    root, out = make_masks(tmp_path / "{{$HOME:x}}'s"), tmp_path / 'own.py'
    (root / 'classes.txt').write_text('{{ fileDirname }}\n$x^$\n#\n')
    dataset = check_data.check(str(root)).dataset
    text = new_config(dataset, base='upernet_cloformer_nano_digits', out=out)
    write_config(text, dataset, out)
    assert Config.fromfile(out).data_root == f'{root}/'


def test_what_would_be_read_otherwise_is_not_written(tmp_path: Path) -> None:
    root, out = make_coco(tmp_path / 'data'), tmp_path / 'own.py'
    dataset = check_data.check(str(root)).dataset
    text = new_config(dataset, base='retinanet_cloformer_nano_small', out=out)
    out.write_text('old')
    with pytest.raises(UserError, match=r'classes is .* instead of'):
        write_config(text.replace("'tree'", "'{{ fileDirname }}'"), dataset, out)
    assert out.read_text() == 'old' and not [*tmp_path.glob('.*')]


BROKEN = ['a\nb', 'a\x00', 'a\x1b[31m', 'tab\t', 'a\u2028b', 'a\u202eb', 'half \ud800']


@pytest.mark.parametrize('name', BROKEN)
def test_control_characters_in_names_are_a_fault(name: str, tmp_path: Path) -> None:
    root = make_coco(tmp_path / 'data')
    renamed(root, [name, 'tree'])
    assert has_controls(name)
    said = tool('check_data', root, fails=True)
    assert '[control-character]' in said and 'rename them with visible' in said
    assert 'Traceback' not in said and repr(name)[1:-1] in said
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize('name', ['ä', '漢字', '🌳', 'क्‍ष', 'a b', *NAMES])
def test_letters_of_all_scripts_are_no_fault(name: str) -> None:
    assert not has_controls(name)


def test_a_line_break_in_the_folders_name_is_a_fault_and_never_code(tmp_path: Path) -> None:
    root, out = make_coco(tmp_path / f'a\n{CODE}  #'), tmp_path / 'own.py'
    report = check_data.check(str(root), allowed=['control-character'])
    text = new_config(report.dataset, base='retinanet_cloformer_nano_small', out=out)
    write_config(text, report.dataset, out)
    assert Config.fromfile(out).data_root == f'{root}/' and MARK not in os.environ
    assert {f.kind for f in check_data.check(str(root)).faults.errors} == {'control-character'}


def test_a_file_whose_name_is_no_text_is_a_fault(tmp_path: Path) -> None:
    root = make_masks(tmp_path / 'data')
    for folder, suffix in (('images', 'jpg'), ('masks', 'png')):
        path = root / folder / f'train/0.{suffix}'
        os.rename(path, os.fsencode(path.parent) + b'/\xff.' + suffix.encode())
    said = tool('check_data', root, fails=True)
    assert '[control-character]' in said and '\\udcff.jpg' in said


def test_an_image_whose_name_is_no_text_ends_no_prediction(tmp_path: Path) -> None:
    from backbones.errors import UnreadableError
    from backbones.inference.reading import read_image

    path = Path(os.fsdecode(os.fsencode(tmp_path) + b'/\xff.png'))
    noise(tmp_path / 'a.png')
    os.rename(tmp_path / 'a.png', path)
    with pytest.raises(UnreadableError, match='control character') as caught:
        read_image(path)
    assert shown(caught.value).endswith('.png: control character')
