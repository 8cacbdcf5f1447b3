"""The code on the pages: Python runs, commands parse, and nothing is silently skipped."""

import json
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT, call
from fresh import forked
from pages import BLOCKS, NEEDS, NOTEBOOKS, PAGES, Block, cells, commands, inline_code, parse

from backbones.__main__ import SHORT

RUN = [b for b in BLOCKS if b.language == 'python' and not (b.needs or b.run_by)]
# timm models are measured with gradients, which a forked process cannot compute after PyTorch has
# started threads for them
MEASURED = [b for b in RUN if "'timm:" in b.text]
SHELL = [b for b in BLOCKS if b.language == 'bash']
PROJECT = (ROOT / 'pyproject.toml').read_text()
TARGETS = re.search(r'^\.PHONY: (.*)$', (ROOT / 'Makefile').read_text(), re.MULTILINE)[1].split()
OTHERS = {'cd', 'source', 'twine'}  # commands that are not checked
LAUNCHERS = {  # script: (program, words before the program's own)
    'tools/dist_train.sh': ('tools/train.py', 2),
    'tools/dist_test.sh': ('tools/test.py', 3),
}
# executes each block in its own namespace; a config is read, and its model built without memory
PROGRAM = """
import json, os, sys, traceback
import backbones
from mmengine.config import Config
from backbones.openmmlab.build import build_model

def run(text):
    if text.startswith(('_base_', 'custom_imports')):
        with open('page_config.py', 'w') as file:
            file.write(text)
        cfg = Config.fromfile('page_config.py')
        if 'model' in cfg:
            build_model(cfg, device='meta')
    else:
        exec(compile(text, 'block', 'exec'), dict(__name__='block'))

failed = {}
for name, text in json.loads(sys.argv[1]).items():
    try:
        run(text)
    except BaseException:
        failed[name] = traceback.format_exc()[-2000:]
print(); print(json.dumps(failed))
"""
# what the page on predictions assumes: a config, its checkpoint, two photographs
PREPARE = """
import os, torch
from PIL import Image
import backbones
from mmengine.config import Config
from backbones.openmmlab.build import build_model

cfg = Config.fromfile(backbones.config_file('mask_rcnn_cloformer_nano_digits'))
cfg.dump('trees.py')
os.makedirs('photos'); os.makedirs('work_dirs/trees')
meta = dict(dataset_meta=dict(classes=cfg.metainfo.classes))
torch.save(dict(state_dict=build_model(cfg).state_dict(), meta=meta), 'work_dirs/trees/best.pth')
for number in (1, 2):
    Image.new('RGB', (96, 64), 'green').save(f'photos/{number}.jpg')
"""


def in_small(text: str) -> str:
    """Return the code with a small backbone, and without downloading weights."""
    text = text.replace("create('cswin_t'", "create('cloformer_xxs'")
    text = text.replace("Segmentor('cswin_t'", "Segmentor('cloformer_xxs'")
    return text.replace('pretrained=True', 'pretrained=None')


@pytest.mark.parametrize('block', MEASURED, ids=str)
def test_python_with_a_model_of_timm_runs(block: Block) -> None:
    exec(compile(block.text, str(block), 'exec'), dict(__name__='block'))


def test_python_on_pages_runs(tmp_path: Path) -> None:
    """Run everything in one fork of this process, because imports take seconds."""
    assert len(RUN) >= 8
    blocks = {str(b): in_small(b.text) for b in RUN if b not in MEASURED}
    out = forked(f'{PREPARE}\n{PROGRAM}', tmp_path, json.dumps(blocks))
    failed = json.loads(out.splitlines()[-1])
    assert not failed, '\n'.join(f'{name}: {error}' for name, error in failed.items())


@pytest.mark.parametrize('block', BLOCKS, ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language in ('python', 'bash', ''), block.language
    if block.language == 'bash':
        assert block.needs, 'nothing executes it: what does it need?'
    if block.needs:
        assert block.needs in NEEDS
    if block.run_by:
        assert block.page in (ROOT / block.run_by).read_text()


def check(words: list[str]) -> None:
    """Check a command as far as that is possible without executing it."""
    program, *rest = words
    if program.removeprefix('.venv/bin/') in ('python', 'python3'):
        check_python(rest)
    elif program in LAUNCHERS:
        path, count = LAUNCHERS[program]
        assert rest[count - 1].isdigit()
        parse(ROOT / path, [*rest[: count - 1], *rest[count:], '--launcher', 'pytorch'])
    elif program.startswith(('tools/', 'benchmarks/', 'docs/')) and program.endswith('.py'):
        parse(ROOT / program, rest)
    elif program == 'dense-backbones':
        check_python(['-m', 'backbones', *rest])
    elif program == 'make':
        assert {word for word in rest if '=' not in word} <= {*TARGETS}, words
    elif program == 'bash':
        assert (ROOT / rest[0]).is_file()
    elif program == 'pip':
        for extra in re.findall(r'\[(\w+)\]', ' '.join(rest)):
            assert f'\n{extra} = [' in PROJECT, extra
    else:
        assert program in OTHERS, f'how is {program} to be checked?'


def check_python(rest: list[str]) -> None:
    if rest[:2] == ['-m', 'backbones']:
        if not rest[2].endswith('.py'):  # otherwise another project's program
            tool = SHORT.get(rest[2], rest[2]).replace('-', '_')
            parse(ROOT / f'tools/{tool}.py', rest[3:])
    elif rest[:2] == ['-m', 'pytest']:
        for word in rest[2:]:
            assert not word.startswith('tests') or (ROOT / word).exists(), word
    elif rest[0] == '-c':
        compile(rest[1], '-c', 'exec')
    elif rest[0] == '-m':
        assert rest[1] in ('build', 'venv', 'pip')
    else:
        parse(ROOT / rest[0], rest[1:])


@pytest.mark.parametrize('block', SHELL, ids=str)
def test_commands_on_a_page_parse(block: Block) -> None:
    for words in commands(block.text):
        check(words)
        for word in words:
            assert not word.startswith('configs/') or (ROOT / word).is_file(), word


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.name)
def test_commands_in_the_text_parse(page: Path) -> None:
    for code in inline_code(page):
        starts = ('tools/', 'dense-backbones ', 'python -m backbones ', 'benchmarks/')
        if code.startswith(starts) and ' ' in code and '...' not in code:
            for words in commands(code):
                check(words)


def test_options_in_the_text_exist() -> None:
    known = set()
    measuring = [ROOT / f'benchmarks/{name}.py' for name in ('measure', 'performance')]
    for path in (*(ROOT / 'tools').glob('*.py'), *measuring):
        known |= parse(path, ['--known']).known
    known |= {'--shm-size', '--gpus'}  # docker's
    for page in PAGES:
        for code in inline_code(page):
            options = re.findall(r'(?<![\w-])--[a-z][\w-]*', code)
            others = code.startswith(('pip', 'python -m pip', 'python tests/'))
            assert others or {*options} <= known, f'{page.name}: {code}'


@pytest.mark.parametrize('words', [['tools/train.py', 'a.py', '--ressume'],
                                   ['make', 'quikstart'],
                                   ['tools/dist_test.sh', 'a.py', '8'],
                                   ['curl', 'x']])  # fmt: skip
def test_a_wrong_command_would_be_found(words: list[str], capsys) -> None:
    with pytest.raises((AssertionError, IndexError)):
        check(words)


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_no_outputs_and_begin_with_a_title(path: Path) -> None:
    notebook = json.loads(path.read_text())
    assert notebook['cells'][0]['source'][0].startswith('# ')
    code = [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']
    assert len(code) > 4
    assert not any(cell['outputs'] or cell['execution_count'] for cell in code)
    for text in cells(path, 'code'):
        joined = text.replace('\\\n', ' ')
        lines = [line[1:] for line in joined.splitlines() if line.startswith('!')]
        for words in commands('\n'.join(lines)):
            check(words)


def notebook_as_program(path: Path) -> str:
    """Return the code cells in order, with shell lines as calls that must succeed."""
    shell = r'subprocess.run(["bash", "-ec", r"""\1"""], check=True)'
    code = '\n\n'.join(cells(path, 'code')).replace('\\\n', ' ')
    return 'import subprocess\n' + re.sub(r'^!(.*)$', shell, code, flags=re.MULTILINE)


def run_notebook(name: str, folder: Path, check: str) -> str:
    program = notebook_as_program(ROOT / f'docs/notebooks/{name}.ipynb')
    file = folder / 'notebook.py'
    file.write_text(f'{program}\n{check}\n')
    return call('bash', '-c', f'cd {folder} && {sys.executable} {file}')


@pytest.mark.slow
def test_the_notebook_in_plain_pytorch_learns_shapes(tmp_path: Path) -> None:
    run_notebook('plain_pytorch', tmp_path, 'assert min(ious.values()) > 0.4, ious')


@pytest.mark.slow
def test_the_notebook_on_own_data_finds_shapes(tmp_path: Path) -> None:
    ground_truth = "truth = json.loads(Path('shapes/annotations/val.json').read_text())"
    learnt = 'assert len(results) > len(truth["annotations"]) / 2, len(results)'
    run_notebook('own_data', tmp_path, f'{ground_truth}\n{learnt}')
    assert (tmp_path / 'work_dirs/shapes/results/index.html').is_file()
    assert (tmp_path / 'labels/train.png').is_file()
