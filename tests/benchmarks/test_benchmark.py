"""The benchmark: what it measures and writes, and its messages about wrong arguments."""

import itertools
import json

import iteration
import measure
import memory
import page
import performance
import pytest
import subjects
import timing
import torch
import yaml
from conftest import NANO, ROOT
from operators import OPERATORS, examples, operators_of
from torch._subclasses.fake_tensor import FakeTensorMode

import backbones
from backbones.ops.dispatch import TABLE, mode

SETTING = dict(batch=1, mode='inference', dtype='float32', threads=1, device='cpu', size=[64, 96])
PLAIN = dict(compile=False, channels_last=False, with_cp=False, **SETTING)
# GMAC at 224x224; those of the peers are counted on the published models, without the classifier
MACS = {name: backbones.variant(name).gmacs for name in performance.NAMES.split()} | {
    'timm_swin_t': 4.490,
    'mmdet_swin_t': 4.490,
    'timm_convnext_t': 4.455,
    'mmdet_resnet50': 4.087,
}


@pytest.fixture
def nano(monkeypatch):
    """Let names stand for small backbones with every kind of block."""
    small = {cls.__name__.lower(): (cls, arch) for cls, arch in NANO.items()}

    def create(name: str, *, with_cp: bool):
        cls, arch = small[name]
        return cls(arch, with_cp=with_cp)

    monkeypatch.setattr(subjects, 'create', create)


def test_writes_every_candidate_with_its_numbers(nano, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(timing, 'peak_mib', lambda candidate: 8.0)
    monkeypatch.setattr('backbones.list_backbones', lambda: ['cswin'])
    out = tmp_path / 'results.json'
    measure.main(['cswin', '--size', '64', '96', '--repeats', '1', '--json', str(out)])
    report = json.loads(out.read_text())
    assert {'cpu', 'cores', 'load', 'torch'} <= set(report['machine'])
    assert [r['backend'] for r in report['results']] == ['plain', 'auto']
    for result in report['results']:
        assert result['backbone'] == 'cswin' and result['size'] == [64, 96]
        assert result['mode'] == 'inference' and result['dtype'] == 'float32'
        assert result['batch'] == result['threads'] == 1 and result['iqr_ms'] == 0
        assert result['median_ms'] > 0 and result['peak_mib'] == 8
        assert result['images_per_s'] == pytest.approx(1e3 / result['median_ms'], rel=0.01)
        rate = 2e3 * result['gmacs'] / result['median_ms']
        assert result['gflops'] == pytest.approx(rate, rel=0.01)
        assert result['ns_per_mac'] == pytest.approx(2 / rate, rel=0.01)
        assert result['time_ratio'] > 0 and result['peak_ratio'] == 1
    printed = capsys.readouterr().out
    assert printed.count('\n') == 4 and 'median_ms' in printed and 'saved_mib' not in printed


def test_median_and_spread_are_those_of_the_timed_runs(monkeypatch):
    ticks = itertools.accumulate(itertools.cycle([0, 0.01, 0, 0.02, 0, 0.04]))
    monkeypatch.setattr(timing.benchmark, 'timer', lambda: next(ticks))
    candidate = {**PLAIN, 'op': 'mlp', 'size': [4, 4], 'batch': 2, 'backend': 'auto'}
    (result,) = timing.measure([candidate], 3, peaks=False)
    assert (result['median_ms'], result['iqr_ms'], result['images_per_s']) == (20, 15, 100)
    assert (result['low_ms'], result['high_ms']) == (15, 30)


def test_the_peak_of_a_training_step_is_measured_beside_inference(monkeypatch):
    monkeypatch.setattr(timing, 'peak_mib', lambda candidate: candidate['mode'])
    candidate = {**PLAIN, 'op': 'mlp', 'size': [4, 4], 'backend': 'auto'}
    (result,) = timing.measure([candidate], 1, peaks=False, train_peaks=True)
    assert (result['mode'], result['train_peak_mib']) == ('inference', 'train')
    assert 'peak_mib' not in result and 'saved_mib' not in result


@pytest.mark.slow
def test_peak_is_what_a_step_needs_in_a_process_of_its_own():
    # 64 -> 64 channels of 256 x 256 cells: input and output are 16 MiB each, and a library may copy
    # the map to another layout. Before the step, the process holds pages that its warm-up freed;
    # the step may use those first, so the measured peak can be smaller than what it needs.
    candidate = {**PLAIN, 'op': 'dense_conv', 'size': [256, 256], 'backend': 'plain'}
    assert 0.9 * 32 <= memory.peak_mib(candidate) < 64


def test_a_peak_that_could_not_be_measured_is_none_and_says_why(monkeypatch, capsys):
    monkeypatch.setattr(memory, '__file__', 'nowhere.py')
    assert memory.peak_mib(PLAIN) is None
    assert 'peak memory not measured' in capsys.readouterr().err


def test_every_operator_is_covered():
    found = {name for build, _ in examples(1, 4, 4).values() for name in operators_of(build())}
    assert found == set(TABLE)


@pytest.mark.parametrize('op', OPERATORS)
@pytest.mark.parametrize('mode', ['inference', 'train'])
def test_every_operator_is_timed_against_its_reference(op, mode):
    common = {**PLAIN, 'op': op, 'size': [8, 9], 'batch': 2, 'mode': mode}
    both = [dict(common, backend=b) for b in ('plain', 'auto')]
    results = timing.measure(both, 3, plain_repeats=2, peaks=False)
    assert all(r['median_ms'] > 0 and r['iqr_ms'] >= 0 for r in results)
    assert [r['repeats'] for r in results] == [2, 3]
    assert results[0]['time_ratio'] == 1 and results[0]['gmacs'] == results[1]['gmacs']
    assert ('saved_mib' in results[0]) == (mode == 'train')


# one of timm's and one of ours; the backbones' tests count our others
QUICK = ('timm_swin_t', 'cswin_t')


@pytest.mark.parametrize(
    'name', [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in MACS]
)
def test_multiply_adds_are_those_of_the_published_model(name):
    macs = subjects.count_macs('backbone', name, (224, 224))
    assert macs / 1e9 == pytest.approx(MACS[name], rel=5e-4)


@pytest.mark.parametrize('name', subjects.PEERS)
def test_peers_emit_four_levels_and_run_once(name):
    args = measure.parse_args([name, 'cswin_t', '--size', '800', '1280'])
    groups = measure.settings(args)
    assert [c['backend'] for c in groups[0]] == ['peer', 'plain', 'auto']
    model = subjects.peer(name)
    model.eval()
    with torch.inference_mode():
        levels = model(torch.zeros(1, 3, 64, 96))
    assert [v.shape[1] if v.shape[1] > 24 else v.shape[-1] for v in levels] == [
        (96, 192, 384, 768)[i] if 'resnet' not in name else 256 << i for i in range(4)
    ]


@pytest.mark.parametrize(
    'config, mode',
    [
        pytest.param('mask_rcnn', 'inference', marks=pytest.mark.slow),
        ('upernet', 'train'),
        pytest.param('mask_rcnn', 'train', marks=pytest.mark.slow),
        pytest.param('upernet', 'inference', marks=pytest.mark.slow),
    ],
)
def test_whole_models_run_on_random_images(config, mode):
    path = str(ROOT / f'configs/{config}_cloformer_nano_digits.py')
    candidate = {**PLAIN, 'config': path, 'backend': 'auto', 'batch': 2, 'mode': mode}
    (result,) = timing.measure([candidate], 1, peaks=False)
    assert result['median_ms'] > 0 and result['gmacs'] > 0


STRIPS = dict(dilateformer='dilated_attention', volo='outlook_attention')  # computed in strips


def quick_for_one(cls: type):
    name = cls.__name__.lower()
    return pytest.param(name, marks=[] if name == 'volo' else pytest.mark.slow)


@pytest.mark.parametrize('name', map(quick_for_one, NANO))
@pytest.mark.parametrize(
    'backend, with_cp',
    [('auto', False), ('plain', False), pytest.param('auto', True, marks=pytest.mark.slow)],
)
def test_counting_without_computing_finds_what_a_real_step_keeps(nano, name, backend, with_cp):
    candidate = {**PLAIN, 'backbone': name, 'backend': backend, 'with_cp': with_cp}
    candidate |= dict(batch=2, mode='train', size=[75, 100])
    with FakeTensorMode(), mode(as_if_on='cpu'):
        counted = memory.kept_bytes(candidate)
    assert counted == memory.kept_bytes(candidate) > 0


@pytest.mark.slow
def test_strips_do_not_change_what_is_kept(nano, monkeypatch):
    for name, operator in STRIPS.items():
        candidate = {**PLAIN, 'backbone': name, 'backend': 'auto'}
        real = {**candidate, 'mode': 'train'}
        monkeypatch.setattr(f'backbones.ops.{operator}.STRIP', 1)
        assert memory.saved_mib(candidate) == round(memory.kept_bytes(real) / memory.MIB, 1) > 0


def test_memory_of_every_variant_is_asked_for():
    args = measure.parse_args(['--memory', '--size', '800', '1280', '--batch', '2'])
    (candidates,) = measure.settings(args)
    ways = [(c['backend'], c['with_cp']) for c in candidates]
    variants = {name for name in backbones.list_backbones() if not name.endswith('_384')}
    assert {c['backbone'] for c in candidates} == variants
    assert ways[:3] == [('plain', False), ('auto', False), ('auto', True)]


def test_memory_and_compiled_ratios_come_from_one_run(nano):
    args = measure.parse_args(['cswin_t', '--memory', '--runs', 'eager', 'compiled'])
    (candidates,) = measure.settings(args)
    small = [dict(c, backbone='cswin', size=[64, 64]) for c in candidates]
    results = timing.measure(small, args.repeats)
    assert results[0]['saved_ratio'] == 1 > results[2]['saved_ratio'] > 0
    assert 'median_ms' not in results[0] and 'peak_mib' not in results[0]
    both = [dict(r, compile=c, median_ms=4.0 - 3 * c) for r in results[:2] for c in (False, True)]
    timing.add_ratios(both)
    assert [r.get('compile_ratio') for r in both] == [None, 0.25, None, 0.25]
    assert [r['time_ratio'] for r in both] == [1] * 4


def measured(**changes: object) -> dict:
    """A section of two candidates of every backbone and two peers, ours at 0.2 of the time."""
    results, five = [], performance.NAMES.split()
    for threads, name in itertools.product((1, 2), [*five, 'timm_swin_t', 'timm_convnext_t']):
        for backend in ('plain', 'auto') if name in five else ('peer',):
            ms = 1000.0 if backend == 'plain' else 200.0
            numbers = dict(
                median_ms=ms, low_ms=ms, high_ms=1.1 * ms, peak_mib=ms, gmacs=1.0, gflops=2e3 / ms
            )
            candidate = {**PLAIN, 'backbone': name, 'backend': backend, 'threads': threads}
            results.append(candidate | numbers | changes)
    for threads in (1, 2):
        timing.add_ratios([r for r in results if r['threads'] == threads])
    return dict(machine=measure.machine('cpu'), minutes=1.0, results=results)


def rows(text: str) -> list[str]:
    """Return the lines of a table without the spaces that align it."""
    return [' '.join(line.split()) for line in text.splitlines()]


def test_page_is_made_from_what_was_measured(monkeypatch, tmp_path):
    docs = ROOT / 'docs'
    monkeypatch.setattr(performance, 'DOCS', tmp_path)
    (tmp_path / 'performance.json').write_text((docs / 'performance.json').read_text())
    performance.main(['page'])
    made = (tmp_path / 'performance.md').read_text()
    assert made == (docs / 'performance.md').read_text(), 'run benchmarks/performance.py page'


def test_page_sets_costs_beside_the_published_ones_and_peers():
    commands = dict.fromkeys(page.PARTS, 'benchmarks/measure.py ...')
    made = page.page(dict(inference=measured(), train=measured()), commands)
    cost = (
        '| cswin_t | 0.20 | 1.00 | 0.20 (0.18 to 0.22) | 0.20 (0.18 to 0.22) | 200 | 1000 | 0.20 |'
    )
    assert rows(made).count(cost) == 2
    assert '| timm_swin_t | 1.0 | 0.20 | 0.20 | 10 | 10 |' in rows(made)
    assert made.count('| inference, train |') == 1  # from one machine
    assert made.count('benchmarks/measure.py ...') == 2  # only what was measured
    without_peak = page.costs(measured(peak_mib=None)['results'])
    assert (
        '| cswin_t | 0.20 | 1.00 | 0.20 (0.18 to 0.22) | 0.20 (0.18 to 0.22) | - | - | - |'
        in rows(without_peak)
    )


def test_page_shows_compiled_linear_and_memory():
    ours = [r for r in measured()['results'] if r['backend'] == 'auto' and r['threads'] == 1]
    fast = [dict(r, median_ms=100.0, compile_ratio=0.5) for r in ours]
    assert '| cswin_t | 200 | 100 | 2.00 |' in rows(page.compiled(ours + fast))
    large = [dict(r, size=[128, 192], median_ms=1000.0, gmacs=5.0) for r in ours]
    assert '| cswin_t | 32552 | 40690 | 1.25 | 1.25 |' in rows(page.linear(ours + large))
    ways = [('plain', False, 9.0), ('auto', False, 6.0), ('auto', True, 3.0)]
    kept = [
        {**PLAIN, 'backbone': 'volo_d5', 'backend': b, 'with_cp': cp, 'saved_mib': mib}
        for b, cp, mib in ways
    ]
    timing.add_ratios(kept)
    assert '| volo_d5 | 9 | 6 | 3 | 0.67 | 0.33 |' in rows(page.memory(kept))


def test_page_shows_ours_beside_the_usual_backbones_per_pixel():
    few = dict(backbone='few', params=2e6, gmacs=1.0, median_ms=200.0, train_peak_mib=8.0)
    many = dict(backbone='many', params=3e6, gmacs=2.0, median_ms=100.0, train_peak_mib=None)
    results = [
        dict(r, size=size, gmacs=r['gmacs'] * more)
        for r in (many, few)
        for size, more in (([100, 100], 1), ([200, 200], 8))
    ]
    assert rows(page.usual(results))[2:] == [
        '| few | 2.0 | 100 | 200 | 20000 | 5000 | 0.82 | 0.20 |',
        '| many | 3.0 | 200 | 400 | 10000 | 2500 | - | - |',
    ]


def test_page_shows_the_parts_of_an_iteration():
    result = dict(
        config='a', data_ms=100.0, backbone_ms=1000.0, heads_ms=2900.0, optimizer_ms=100.0
    )
    assert '| a | 0.10 | 1.00 | 2.90 | 0.10 | 0.25 |' in rows(page.iteration([result]))


@pytest.mark.parametrize('method', [pytest.param('mask_rcnn', marks=pytest.mark.slow), 'upernet'])
def test_the_parts_of_an_iteration_are_timed(method):
    config = str(ROOT / f'configs/{method}_cloformer_nano_digits.py')
    found = iteration.iteration(config, (64, 96), threads=1, repeats=1)
    assert (found['size'], found['repeats']) == ([64, 96], 1)
    assert found['batch'] == subjects.load_config(config).train_dataloader.batch_size
    assert all(found[f'{part}_ms'] > 0 for part in ('data', 'backbone', 'heads', 'optimizer'))


def test_the_heads_of_an_iteration_are_timed_without_the_backbone(nano):
    config = subjects.load_config(str(ROOT / 'configs/upernet_cloformer_nano_digits.py'))
    model = subjects.build_model(config).train()
    steps = iteration.computing(config, model, (64, 64), batch=2)

    def trained() -> set[str]:
        found = {n.split('.')[0] for n, p in model.named_parameters() if p.grad is not None}
        model.zero_grad()
        return found

    steps['heads']()
    assert trained() == {'decode_head'}
    steps['backbone']()
    assert trained() == {'backbone'}


def test_goals_that_are_missed_are_listed_with_what_was_measured():
    goals = dict(
        inference=dict(time_ratio=dict(cswin_t=0.2, volo_d1=0.19), peak_ratio=dict(cswin_t=0.1)),
        compiled=dict(compile_ratio=dict(cswin_t=0.1)),
    )
    assert list(performance.missed(dict(inference=measured()), goals)) == [
        'inference, volo_d1, threads 1: time_ratio is 0.2; goal: at most 0.19',
        'inference, volo_d1, threads 2: time_ratio is 0.2; goal: at most 0.19',
        'inference, cswin_t, threads 1: peak_ratio is 0.2; goal: at most 0.1',
        'inference, cswin_t, threads 2: peak_ratio is 0.2; goal: at most 0.1',
    ]


def test_every_goal_is_about_something_that_is_measured():
    report = json.loads((ROOT / 'docs/performance.json').read_text())
    goals = yaml.safe_load((ROOT / 'benchmarks/goals.yml').read_text())
    for section, kinds in goals.items():
        for kind, limits in kinds.items():
            names = {r['backbone'] for r in report[section]['results'] if r.get(kind)}
            assert set(limits) <= names


def test_measuring_keeps_what_is_there(monkeypatch, tmp_path):
    asked = []

    def measure_section(section: str) -> dict:
        asked.append(section)
        return measured()

    monkeypatch.setattr(performance, 'measure', measure_section)
    monkeypatch.setattr(performance, 'DOCS', tmp_path)
    for words in (['inference'], ['inference', 'train'], ['train', '--again']):
        performance.main(['measure', *words])
    assert asked == ['inference', 'train', 'train']
    assert list(json.loads((tmp_path / 'performance.json').read_text())) == ['inference', 'train']
    assert '0.20' in (tmp_path / 'performance.md').read_text()


@pytest.mark.parametrize('section', performance.SECTIONS)
def test_every_section_has_arguments_that_the_benchmark_takes(section):
    args = measure.parse_args(performance.SECTIONS[section].split())
    assert args.iteration or measure.settings(args)


@pytest.mark.parametrize(
    'words, message',
    [
        (['dilateformer_tt'], "did you mean 'dilateformer_t'"),
        (['--op', 'dilated_attentoin'], "did you mean 'dilated_attention'"),
        ([], 'nothing to measure'),
        (['volo_d1', '--iteration'], '--iteration takes configs'),
        (['volo_d1', '--repeats', '0'], '0 given; allowed: at least 1'),
        (['volo_d1', '--json', 'no/such/folder/x.json'], 'does not exist'),
    ],
)
def test_wrong_arguments_end_with_what_is_allowed(capsys, words, message):
    with pytest.raises(SystemExit) as error:
        measure.parse_args(words)
    assert error.value.code == 2 and message in capsys.readouterr().err
