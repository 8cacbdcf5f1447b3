"""The benchmark: what it measures and writes, and what it says of wrong arguments."""

import importlib
import inspect
import itertools
import json
import os
import pkgutil
import subprocess
import sys

import pytest
import torch
from conftest import NANO, ROOT, load_tool
from torch._subclasses.fake_tensor import FakeTensorMode

import backbones.ops
from backbones.benchmark import data, memory, page, subjects, tables, timing

TOOL = ROOT / 'tools' / 'benchmark.py'
SETTING = dict(batch=1, mode='inference', dtype='float32', threads=1, device='cpu', size=[64, 96])
PLAIN = dict(compile=False, channels_last=False, with_cp=False, **SETTING)
# GMAC at 224x224: the published models' by the same counting, minus the classifier's
MACS = {
    'dilateformer_t': 3.1613,
    'volo_d1': 6.955,
    'cswin_t': 4.324,
    'moganet_t': 1.083,
    'cloformer_xs': 1.2188,
    'timm_swin_t': 4.490,
    'mmdet_swin_t': 4.490,
    'timm_convnext_t': 4.455,
    'mmdet_resnet50': 4.087,
}


def arguments(monkeypatch, *words: str):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *words])
    return load_tool('benchmark').parse_args()


@pytest.fixture
def nano(monkeypatch):
    """Let names stand for small backbones with every kind of block."""
    small = {cls.__name__.lower(): (cls, arch) for cls, arch in NANO.items()}

    def create(name: str, *, with_cp: bool):
        cls, arch = small[name]
        return cls(arch, with_cp=with_cp)

    monkeypatch.setattr(subjects, 'create', create)


def test_writes_every_candidate_with_its_numbers(tmp_path):
    out = tmp_path / 'results.json'
    sizes = ('--size', '64', '64', '--backends', 'reference', 'auto')
    done = subprocess.run(
        [sys.executable, TOOL, 'dilateformer_t', *sizes, '--repeats', '1', '--json', out],
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(out.read_text())
    assert {'cpu', 'cores', 'load', 'torch'} <= set(report['machine'])
    assert [r['backend'] for r in report['results']] == ['reference', 'auto']
    for result in report['results']:
        assert result['backbone'] == 'dilateformer_t' and result['size'] == [64, 64]
        assert result['mode'] == 'inference' and result['dtype'] == 'float32'
        assert result['batch'] == result['threads'] == 1 and result['iqr_ms'] == 0
        assert result['median_ms'] > 0 and result['peak_mib'] > 0
        assert result['images_per_s'] == pytest.approx(1e3 / result['median_ms'], rel=0.01)
        rate = 2e3 * result['gmacs'] / result['median_ms']
        assert result['gflops'] == pytest.approx(rate, rel=0.01)
        assert result['ns_per_mac'] == pytest.approx(2 / rate, rel=0.01)
        assert result['time_ratio'] > 0 and result['peak_ratio'] > 0
    assert done.stdout.count('\n') == 3 and 'median_ms' in done.stdout


def test_every_operator_is_covered():
    found = set()
    for module in pkgutil.iter_modules(backbones.ops.__path__):
        part = importlib.import_module(f'backbones.ops.{module.name}')
        for name, f in inspect.getmembers(part, inspect.isfunction):
            public = f.__module__ == part.__name__ and not name.startswith('_')
            if public and 'backend' in inspect.signature(f).parameters:
                found.add(name)
    assert found - {'to_fast_layout'} <= set(subjects.OPS)


@pytest.mark.parametrize('op', subjects.OPS)
@pytest.mark.parametrize('mode', ['inference', 'train'])
def test_every_operator_is_timed_against_its_reference(op, mode):
    common = {**PLAIN, 'op': op, 'size': [6, 9], 'batch': 2, 'mode': mode}
    both = [dict(common, backend=b) for b in ('reference', 'auto')]
    results = timing.measure(both, 3, reference_repeats=2, peaks=False)
    assert all(r['median_ms'] > 0 and r['iqr_ms'] >= 0 for r in results)
    assert [r['repeats'] for r in results] == [2, 3]
    assert results[0]['time_ratio'] == 1 and results[0]['gmacs'] == results[1]['gmacs']
    assert ('saved_mib' in results[0]) == (mode == 'train')


@pytest.mark.parametrize('name', MACS)
def test_multiply_adds_are_those_of_the_published_model(name):
    macs = subjects.count_macs(dict(backbone=name, size=[224, 224]))
    assert macs / 1e9 == pytest.approx(MACS[name], rel=5e-4)


@pytest.mark.parametrize('name', subjects.PEERS)
def test_peers_emit_four_levels_and_run_once(monkeypatch, name):
    groups = load_tool('benchmark').settings(
        arguments(monkeypatch, name, 'cswin_t', '--size', '800', '1280')
    )
    assert [c['backend'] for c in groups[0]] == ['peer', 'reference', 'auto']
    model = subjects.backbone(name, with_cp=False)
    model.eval()
    with torch.inference_mode():
        levels = model(torch.zeros(1, 3, 64, 96))
    assert [v.shape[1] if v.shape[1] > 24 else v.shape[-1] for v in levels] == [
        (96, 192, 384, 768)[i] if 'resnet' not in name else 256 << i for i in range(4)
    ]


@pytest.mark.parametrize('config', ['mask_rcnn', 'upernet'])
@pytest.mark.parametrize('mode', ['inference', 'train'])
def test_whole_models_run_on_random_images(config, mode):
    path = str(ROOT / f'configs/{config}_cloformer_nano_digits.py')
    candidate = {**PLAIN, 'config': path, 'backend': 'auto', 'batch': 2, 'mode': mode}
    (result,) = timing.measure([candidate], 1, peaks=False)
    assert result['median_ms'] > 0 and result['gmacs'] > 0


@pytest.mark.parametrize('name', [cls.__name__.lower() for cls in NANO])
@pytest.mark.parametrize(
    'backend, with_cp', [('reference', False), ('auto', False), ('auto', True)]
)
def test_counting_without_computing_finds_what_a_real_step_keeps(nano, name, backend, with_cp):
    candidate = {**PLAIN, 'backbone': name, 'backend': backend, 'with_cp': with_cp}
    candidate |= dict(batch=2, mode='train', size=[75, 100])
    with FakeTensorMode():
        counted = memory.kept_bytes(candidate)
    assert counted == memory.kept_bytes(candidate) > 0


def test_strips_do_not_change_what_is_kept(nano, monkeypatch):
    operators = dict(dilateformer='dilated_attention', volo='outlook_attention')
    for name, operator in operators.items():
        candidate = {**PLAIN, 'backbone': name, 'backend': 'auto'}
        real = {**candidate, 'mode': 'train'}
        monkeypatch.setattr(f'backbones.ops.{operator}.STRIP', 1)
        assert memory.saved_mib(candidate) == round(memory.kept_bytes(real) / memory.MIB, 1) > 0


def test_memory_of_every_variant_is_asked_for(monkeypatch):
    args = arguments(monkeypatch, '--memory', '--size', '800', '1280', '--batch', '2')
    (candidates,) = load_tool('benchmark').settings(args)
    ways = [(c['backend'], c['with_cp']) for c in candidates]
    assert len({c['backbone'] for c in candidates}) == 21
    assert ways[:3] == [('reference', False), ('auto', False), ('auto', True)]


def test_memory_and_compiled_ratios_come_from_one_run(nano, monkeypatch):
    args = arguments(monkeypatch, 'cswin_t', '--memory', '--runs', 'eager', 'compiled')
    tool = load_tool('benchmark')
    (candidates,) = tool.settings(args)
    small = [dict(c, backbone='cswin', size=[64, 64]) for c in candidates if not c['compile']]
    results = tool.measure(args, small)
    assert results[0]['saved_ratio'] == 1 > results[2]['saved_ratio'] > 0
    both = [dict(r, compile=c, median_ms=4.0 - 3 * c) for r in results[:2] for c in (False, True)]
    timing.add_ratios(both)
    assert [r.get('compile_ratio') for r in both] == [None, 0.25, None, 0.25]
    assert [r['time_ratio'] for r in both] == [1] * 4


def test_pipelines_are_timed_on_invented_images():
    path = str(ROOT / 'configs/mask_rcnn_cloformer_xxs_coco.py')
    found = data.pipeline(path, data_root='invented', workers=0, images=2)
    assert [r['mode'] for r in found] == ['train', 'test']
    assert all(r['images'] >= 2 and r['images_per_s'] > 0 for r in found)


def test_both_evaluations_agree():
    faster, coco = data.evaluation(8, masks=True)
    assert faster['agree'] and faster['metrics'].keys() == coco['metrics'].keys()
    assert 0.1 < coco['metrics']['segm_mAP'] < 0.9 and faster['seconds'] > 0


def measured(**changes: object) -> dict:
    """A section of two candidates of every backbone and two peers, ours at 0.2 of the time."""
    names = [*tables.FIVE, 'timm_swin_t', 'timm_convnext_t']
    results = []
    for name, threads in itertools.product(names, (1, 2)):
        for backend in ('reference', 'auto') if name in tables.FIVE else ('peer',):
            ms = 1000.0 if backend == 'reference' else 200.0
            numbers = dict(median_ms=ms, peak_mib=ms, repeats=3, gmacs=1.0, gflops=2e3 / ms)
            numbers |= dict(ns_per_mac=ms / 1e3)
            candidate = {**PLAIN, 'backbone': name, 'backend': backend, 'threads': threads}
            results.append(candidate | numbers | changes)
    for threads in (1, 2):
        timing.add_ratios([r for r in results if r['threads'] == threads])
    return dict(machine=timing.machine('cpu'), minutes=1.0, results=results)


def test_page_is_made_from_what_was_measured():
    performance = load_tool('performance')
    report = json.loads((ROOT / 'docs/performance.json').read_text())
    made = performance.made_page(report, ROOT / 'docs')
    assert made == (ROOT / 'docs/performance.md').read_text(), 'run tools/performance.py page'


def test_page_sets_goals_beside_measurements():
    report = dict(inference=measured(), train=measured())
    notes = {'inference memory volo_d1': 'Because.'}
    made = page.page(report, notes, dict(inference=['tools/benchmark.py ...']))
    goals = '| DilateFormer-T | time | 1.00 s | 0.20 s | 0.20 | 0.20 | 0.25 | yes |'
    assert goals in made
    assert made.count('| yes |') == 20 + 4 and made.count('| **no** |') == 6
    assert '| CSWin-T | 1 | 200 | 1.0 | 0.2000 | 10 | 1.00 | 1.2 | **no** |' in made
    assert '**VOLO-D1, inference memory.** Because.' in made
    assert 'Not measured yet: `tools/performance.py measure compiled`' in made
    assert page.summary(report).splitlines()[2] == '| DilateFormer-T | 0.20 | 0.20 | 0.20 | 0.20 |'
    with pytest.raises(ValueError, match='inference time volo_d1'):
        page.page(report, {'inference time volo': ''}, {})


def test_page_shows_compiled_linear_memory_and_data():
    ours = [r for r in measured()['results'] if r['backend'] == 'auto' and r['threads'] == 1]
    fast = [dict(r, compile=True, compile_ratio=0.5) for r in ours]
    assert '| CSWin-T | 64x96 | 400 | 200 | 2.00 | 1.2 | yes |' in tables.compiled(ours + fast)
    large = [dict(r, size=[128, 192], median_ms=1000.0, gmacs=5.0) for r in ours]
    linear = tables.linear(ours + large)
    assert '| CSWin-T | 32552 | 40690 | 1.25 | 1.25 | 20% | **no** |' in linear
    ways = [('reference', False, 9.0), ('auto', False, 6.0), ('auto', True, 3.0)]
    kept = [
        {**PLAIN, 'backbone': 'volo_d5', 'backend': b, 'with_cp': cp, 'saved_mib': mib}
        for b, cp, mib in ways
    ]
    timing.add_ratios(kept)
    assert '| volo_d5 | 9 | 6 | 3 | 0.67 | 0.33 |' in tables.memory(kept)
    common = dict(images=9, detections=90, metrics=dict(bbox_mAP=0.5), agree=True)
    seconds = dict(faster_coco_eval=1.0, pycocotools=2.0)
    results = [dict(common, backend=b, seconds=s) for b, s in seconds.items()]
    assert '2.0 times as fast; all average precisions agree' in tables.evaluation(results)


def test_measuring_keeps_what_is_there(monkeypatch, tmp_path):
    performance, asked = load_tool('performance'), []

    def measure(section: str) -> dict:
        asked.append(section)
        return measured()

    monkeypatch.setattr(performance, 'measure', measure)
    for words in (['peers'], ['inference', 'train'], ['train', '--again']):
        words = ['performance.py', 'measure', *words, '--folder', str(tmp_path)]
        monkeypatch.setattr(sys, 'argv', words)
        performance.main()
    assert asked == ['inference', 'train', 'train']
    assert list(json.loads((tmp_path / 'performance.json').read_text())) == ['inference', 'train']
    assert '0.20 s' in (tmp_path / 'performance.md').read_text()


@pytest.mark.parametrize('section', load_tool('performance').SECTIONS)
def test_every_section_has_commands_that_the_benchmark_takes(monkeypatch, section):
    for command in load_tool('performance').commands()[section]:
        arguments(monkeypatch, *command.split()[1:])


@pytest.mark.parametrize(
    'words, message',
    [
        (['dilateformer_tt'], "did you mean 'dilateformer_t'?"),
        (['--op', 'dilated_attentoin'], "did you mean 'dilated_attention'?"),
        ([], 'nothing to measure'),
        (['volo_d1', '--repeats', '0'], 'start at 1'),
        (['volo_d1', '--json', 'no/such/folder/x.json'], 'there is no folder'),
    ],
)
def test_wrong_arguments_end_with_what_is_allowed(monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit) as error:
        arguments(monkeypatch, *words)
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_missing_data_is_named():
    path = str(ROOT / 'configs/mask_rcnn_cloformer_xxs_coco.py')
    with pytest.raises(FileNotFoundError, match='nowhere'):
        data.pipeline(path, data_root='nowhere', workers=0, images=1)
