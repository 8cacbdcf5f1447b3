"""What the pages say about the code, compared with the code."""

import ast
import importlib.util
import pydoc
import re
from pathlib import Path

import pytest
from conftest import ROOT

import backbones
from backbones.adapted import families
from backbones.data.faults.faults import KINDS

README = (ROOT / 'README.md').read_text()
TROUBLES = (ROOT / 'docs/troubleshooting.md').read_text()
OF_LIBRARIES = {'CUDA out of memory', "No module named 'mmcv._ext'"}  # on that page


def load(name: str):
    path = ROOT / f'docs/generate/{name}.py'
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_screen_says_what_for_whom_and_how_in_150_words() -> None:
    first = README.split('![')[0]
    for word in ('**What.**', '**For whom.**', '**How.**'):
        assert word in first
    assert len(re.sub(r'\(http\S+\)|<!--.*?-->', '', first).split()) <= 150


def test_readme_has_the_two_commands_that_everybody_comes_for() -> None:
    assert '\ntools/dist_train.sh configs/upernet_dilateformer_b_ade20k.py 8\n' in README
    assert '\npython tools/test.py configs/' in README


def test_the_tables_of_messages_are_those_of_the_code() -> None:
    load('messages').main(['--check'])
    rows = re.findall(r'^\| `([\w-]+)` \| (error|warning) \|', TROUBLES, re.MULTILINE)
    assert dict(rows) == {name: kind.level for name, kind in KINDS.items()}


def test_a_table_of_messages_that_is_not_up_to_date_is_refused(tmp_path: Path) -> None:
    messages = load('messages')
    messages.PAGE = tmp_path / 'page.md'
    messages.PAGE.write_text(TROUBLES.replace('`empty-file`', '`empty`'))
    with pytest.raises(SystemExit, match=r'run docs/generate/messages\.py'):
        messages.main(['--check'])
    messages.main([])
    assert messages.PAGE.read_text() == TROUBLES


def test_a_message_is_shown_with_its_stars_and_underscores() -> None:
    cells = [cell for line in TROUBLES.splitlines() for cell in line.split(' | ')[2:]]
    plain = re.sub(r'`.*?`|\[.*?\]\(.*?\)', '', '\n'.join(cells))
    assert r'\_\_ignore\_\_' in plain and r'gfl_\*' in plain
    assert not re.search(r'(?<!\\)\*|__', plain)


def test_messages_that_the_page_quotes_are_in_the_code() -> None:
    texts = [
        node.value
        for path in (ROOT / 'backbones').rglob('*.py')
        if '.mim' not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    section = TROUBLES.split('## Training runs')[1].split('\n## ')[0]
    quoted = {*re.findall(r'^\| `(.+?)` \|', section, re.MULTILINE)}
    assert len(quoted) > 5 and quoted > OF_LIBRARIES
    for words in quoted - OF_LIBRARIES:
        assert any(words in text for text in texts), f'no message says {words!r} any more'


def test_the_api_page_has_every_public_name_and_no_other() -> None:
    page = (ROOT / 'docs/api.md').read_text()
    shown = {path.rpartition('.')[2] for path in re.findall(r'^::: (\S+)$', page, re.MULTILINE)}
    shown |= {'BACKBONES'} if '`backbones.BACKBONES`' in page else set()
    assert shown - {'Prediction'} == {*backbones.__all__}  # what `Predictor` returns


def test_docstrings_on_the_api_page_refer_to_nothing_that_is_not_there() -> None:
    page = (ROOT / 'docs/api.md').read_text()
    shown = {}
    entry = r'^::: (\S+)\n((?: {4}.*\n)*)'
    for path, options in re.findall(entry, page, re.MULTILINE):
        name = path.rpartition('.')[2]
        shown[name] = thing = pydoc.locate(path)
        members = re.search(r'members: \[(.*)\]', options)
        shown |= {m: getattr(thing, m) for m in (members[1].split(', ') if members else ())}
    assert {'create', 'find', 'meta', 'forward_level', 'paste'} <= shown.keys()
    for name, thing in shown.items():
        said = thing.__doc__
        assert said, f'{name} has no docstring'
        seen = re.findall(r'[Ss]ee `([\w.]+)`', said)
        assert {*seen} <= shown.keys(), name


def test_ci_names_a_step_that_hangs() -> None:
    limits = re.findall(r'timeout --verbose (\d+)m ', (ROOT / '.ci/run').read_text())
    workflow = (ROOT / '.github/workflows/ci.yml').read_text()
    whole = [int(minutes) for minutes in re.findall(r'timeout-minutes: (\d+)', workflow)]
    assert len(limits) > 4 and sum(map(int, limits)) < min(whole[:1])


def test_the_recipes_on_the_page_are_those_of_the_families() -> None:
    page = (ROOT / 'docs/timm.md').read_text()
    for recipes, _ in families.TABLE:
        for recipe in recipes.values():
            rate = f'{recipe.lr:.0e}'.replace('e-0', 'e-')
            factors = ', '.join(map(str, recipe.decay.values())) or '-'
            row = f'| {rate}, {recipe.batch} | {recipe.weight_decay} | {factors}'
            assert row in page, row
