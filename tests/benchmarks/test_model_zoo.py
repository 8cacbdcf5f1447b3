"""The zoo page, and the table of published numbers behind it."""

import re
import shutil
from functools import cache
from pathlib import Path

import model_zoo
import pytest
import yaml
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS

CONFIGS = ROOT / 'configs'
TABLE = yaml.safe_load((CONFIGS / 'published.yml').read_text())
PUBLISHED, SOURCES = TABLE['configs'], TABLE['sources']
read = cache(Config.fromfile)
LEAVES = [path for path in sorted(CONFIGS.glob('*.py')) if '_nano_' not in path.stem]
STATUS = {  # and its word in the first line of a leaf
    'published by the authors': '(published',
    'quoted by third parties': 'quoted',
    'derived from quotes': 'derived from quotes',
    'reproduced by third parties': 'reproduced elsewhere',
    'reproduced here': '(reproduced here',
}
SAMPLE = ('mask_rcnn_cloformer_xxs_coco', 'mask_rcnn_moganet_xt_coco')


def test_the_page_agrees_with_the_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, 'fromfile', read)  # saves time; the tests below read them, too
    model_zoo.main(['--check'])


def test_a_stale_page_is_an_error_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CONFIGS / '_base_', tmp_path / '_base_')
    for name in SAMPLE:
        shutil.copy(CONFIGS / f'{name}.py', tmp_path)
    table, moganet = tmp_path / 'published.yml', tmp_path / f'{SAMPLE[1]}.py'
    row = dict(
        source='paper',
        box=40.7,
        params=22.8,
        macs=200,
        checkpoint='a.pth',
        reproduced=dict(others=dict(box=40.5, mask=37)),
        note='As told.',
        misses=dict(macs='They say so.'),
    )
    sources = dict(
        paper=dict(status='published by the authors', source='a paper', release='https://a.b/'),
        others=dict(status='reproduced by third parties', source='a port'),
    )
    table.write_text(
        yaml.safe_dump(dict(configs={SAMPLE[1]: row}, sources=sources), sort_keys=False)
    )
    readme = tmp_path / 'README.md'
    readme.write_text(model_zoo.README.read_text())
    monkeypatch.setattr(model_zoo, 'README', readme)
    monkeypatch.setattr(model_zoo, 'CONFIGS', tmp_path)
    monkeypatch.setattr(model_zoo, 'PAGE', tmp_path / 'zoo.md')
    monkeypatch.setattr(model_zoo, 'COUNTS', tmp_path / 'zoo.json')

    def is_stale() -> None:
        with pytest.raises(SystemExit, match='does not agree with configs/; `make zoo` fixes it'):
            model_zoo.main(['--check'])
        model_zoo.main([])
        model_zoo.main(['--check'])

    model_zoo.main([])
    page = (tmp_path / 'zoo.md').read_text()
    assert '1. Published by the authors: a paper.\n2. Reproduced by third parties: a port.' in page
    assert (
        '| [moganet_xt](../configs/mask_rcnn_moganet_xt_coco.py) | 22.77 (22.8) | 184.9 (200) '
        '| 0.05 | 40.7 box AP [1]; 40.5 box AP, 37 mask AP [2] | [file](https://a.b/a.pth) |\n'
    ) in page
    assert '- `moganet_xt`: As told.\n' in page
    assert '- `moganet_xt`: MACs -7.5 % from the published figure. They say so.\n' in page
    model_zoo.main(['--check'])
    table.write_text(table.read_text().replace('40.7', '40.8'))
    is_stale()
    with moganet.open('a') as file:
        file.write("model['backbone']['drop_path_rate'] = 0.1\n")
    is_stale()
    (tmp_path / 'zoo.md').unlink()
    is_stale()
    readme.write_text(readme.read_text().replace('| `cswin_t` |', '| `cswin_q` |'))
    with pytest.raises(SystemExit, match='does not list the existing variants'):
        model_zoo.main(['--check'])
    model_zoo.main([])
    assert '| `cswin_t` | CSWin | `tiny` | 21.8 | 4.3 | [file](https://' in readme.read_text()
    moganet.unlink()
    with pytest.raises(SystemExit, match=f'published.yml has rows without a config: {SAMPLE[1]}'):
        model_zoo.main(['--check'])


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_first_line_and_table_have_the_same_numbers(path: Path) -> None:
    line = path.read_text().splitlines()[0]
    row = PUBLISHED.get(path.stem, {})
    status = SOURCES[row['source']]['status'] if 'source' in row else None
    assert (STATUS[status] if status else 'no published result') in line
    found = re.search(
        r': (?:(?P<box>[\d.]+) box (?:(?P<mask>[\d.]+) mask )?AP|'
        r'(?P<miou>[\d.]+) mIoU|(?P<miou_ms>[\d.]+) multi-scale mIoU)',
        line,
    )
    numbers = {k: float(v) for k, v in found.groupdict().items() if v} if found else {}
    assert numbers.items() <= row.items()
    # the first line leaves out a result at several scales beside one at a single scale
    rest = {'box', 'mask', 'miou', 'miou_ms'} & {*row} - {*numbers}
    assert rest <= ({'miou_ms'} if 'miou' in numbers else set())


def test_a_config_without_a_number_is_a_task_of_every_variant_or_a_base() -> None:
    """Everything else works with `--backbone`, which needs one config per method."""
    without = [p.stem for p in LEAVES if 'source' not in PUBLISHED.get(p.stem, {})]
    tasks = re.compile(r'(mask_rcnn|upernet)_[a-z]+_[a-z\d]+_(coco|ade20k)')
    bases = {name.replace('_cswin_t', '') for name in without if not tasks.fullmatch(name)}
    assert bases == {'dino_coco', 'faster_rcnn_coco', 'mask2former_ade20k', 'mask2former_coco'}


@pytest.mark.parametrize('name', PUBLISHED)
def test_rows_of_the_table_have_nothing_but_what_the_page_shows(name: str) -> None:
    row = PUBLISHED[name]
    rest = {'params', 'macs', 'source', 'reproduced', 'checkpoint', 'note', 'misses'}
    assert {*row} <= {*model_zoo.METRICS, *rest}
    assert ('source' in row) == bool({*row} & {*model_zoo.METRICS})
    assert 'checkpoint' not in row or 'release' in SOURCES[row['source']]
    for source, numbers in row.get('reproduced', {}).items():
        assert SOURCES[source]['status'].startswith('reproduced')
        assert numbers and {*numbers} <= {*model_zoo.METRICS}


def test_every_source_has_a_known_status_and_a_number() -> None:
    assert {source['status'] for source in SOURCES.values()} <= {*STATUS}
    used = {row.get('source') for row in PUBLISHED.values()}
    used |= {source for row in PUBLISHED.values() for source in row.get('reproduced', {})}
    assert used - {None} == {*SOURCES}


def test_reproductions_by_third_parties_are_on_the_page() -> None:
    page = model_zoo.PAGE.read_text()
    for name, row in PUBLISHED.items():
        for source, numbers in row.get('reproduced', {}).items():
            (line,) = (x for x in page.splitlines() if f'../configs/{name}.py' in x)
            number = [*SOURCES].index(source) + 1
            told = ', '.join(f'{v} {model_zoo.METRICS[k]}' for k, v in numbers.items())
            assert f'; {told} [{number}] |' in line


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_a_config_starts_from_the_file_that_the_readme_names(path: Path) -> None:
    backbone = read(path).model.backbone
    row = MODELS.get(backbone.type).ARCHS[backbone.arch]
    assert (backbone.get('init_cfg') or {}).get('checkpoint') == row.weights


def test_tables_fit_a_laptop() -> None:
    for line in model_zoo.PAGE.read_text().splitlines():
        assert line.count(' | ') <= 5
        if not line.startswith('|'):
            assert len(line) <= 100 or '](' in line
        else:  # the part of a row that is shown
            assert len(re.sub(r'\]\([^)]*\)', '', line)) <= 150


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_batches_on_8_gpus_are_those_that_the_learning_rate_is_for(path: Path) -> None:
    cfg = read(path)
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size
