"""The zoo page, and the table of published numbers that it is made of."""

import re
import shutil
from pathlib import Path

import model_zoo
import pytest
import yaml
from conftest import ROOT
from mmengine.config import Config

CONFIGS = ROOT / 'configs'
PUBLISHED = yaml.safe_load((CONFIGS / 'published.yml').read_text())['configs']
LEAVES = [path for path in sorted(CONFIGS.glob('*.py')) if 'digits' not in path.stem]
STATUS = {  # and the word that the first line of a leaf has for it
    'published': '(published',
    'quoted by third parties': 'quote',
    'not published': 'no published result',
    'reproduced here': 'reproduced here',
}
SAMPLE = ('faster_rcnn_cloformer_xxs_coco', 'mask_rcnn_moganet_xt_coco')


def test_the_page_agrees_with_the_configs() -> None:
    model_zoo.main(['--check'])


def test_a_stale_page_is_an_error_that_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(CONFIGS / '_base_', tmp_path / '_base_')
    for name in SAMPLE:
        shutil.copy(CONFIGS / f'{name}.py', tmp_path)
    table, moganet = tmp_path / 'published.yml', tmp_path / f'{SAMPLE[1]}.py'
    row = dict(status='published', box=40.7, params=22.8)
    content = dict(configs={SAMPLE[1]: row}, weights=dict(CloFormer='none published'))
    table.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(model_zoo, 'CONFIGS', tmp_path)
    monkeypatch.setattr(model_zoo, 'PAGE', tmp_path / 'zoo.md')
    monkeypatch.setattr(model_zoo, 'COUNTS', tmp_path / 'zoo.json')

    def is_stale() -> None:
        with pytest.raises(SystemExit, match='does not agree with configs/; `make zoo` mends it'):
            model_zoo.main(['--check'])
        model_zoo.main([])
        model_zoo.main(['--check'])

    model_zoo.main([])
    row = ' '.join((tmp_path / 'zoo.md').read_text().split())
    assert '| 22.77 | 22.8 (-0.1 %) | 184.9 | | 40.7 box AP |' in row
    model_zoo.main(['--check'])
    table.write_text(table.read_text().replace('40.7', '40.8'))
    is_stale()
    moganet.write_text(moganet.read_text().replace('rate=0.05', 'rate=0.1'))
    is_stale()
    (tmp_path / 'zoo.md').unlink()
    is_stale()
    moganet.unlink()
    with pytest.raises(SystemExit, match=f'published.yml has rows without a config: {SAMPLE[1]}'):
        model_zoo.main(['--check'])


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_first_line_and_table_have_the_same_numbers(path: Path) -> None:
    line = path.read_text().splitlines()[0]
    row = PUBLISHED.get(path.stem, dict(status='not published'))
    assert STATUS[row['status']] in line
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


@pytest.mark.parametrize('name', PUBLISHED)
def test_rows_of_the_table_have_nothing_but_what_the_page_shows(name: str) -> None:
    row = PUBLISHED[name]
    rest = {'params', 'macs', 'status', 'source', 'release', 'checkpoint', 'note', 'misses'}
    assert {*row} <= {*model_zoo.METRICS, *rest}
    assert row['status'] in STATUS and row['status'] != 'reproduced here'  # none so far
    assert ('source' in row) == bool({*row} & {*model_zoo.METRICS})
    assert 'checkpoint' not in row or 'release' in row


@pytest.mark.parametrize('path', LEAVES, ids=lambda p: p.stem)
def test_batches_on_8_gpus_are_those_that_the_learning_rate_is_for(path: Path) -> None:
    cfg = Config.fromfile(path)
    assert cfg.auto_scale_lr.base_batch_size == 8 * cfg.train_dataloader.batch_size
