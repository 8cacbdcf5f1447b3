"""The benchmark: what it writes, and what it says of wrong arguments."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOOL = ROOT / 'tools' / 'benchmark.py'


def load():
    spec = importlib.util.spec_from_file_location('benchmark', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
        assert result['time_ratio'] > 0 and result['peak_ratio'] > 0
    assert done.stdout.count('\n') == 3 and 'median_ms' in done.stdout


@pytest.mark.parametrize('op', load().OPS)
@pytest.mark.parametrize('mode', ['inference', 'train'])
def test_every_operator_is_timed_against_its_reference(monkeypatch, op, mode):
    benchmark = load()
    monkeypatch.setattr(benchmark, 'peak', lambda candidate: 2.0)
    setting = dict(size=[6, 9], batch=2, mode=mode, dtype='float32', threads=1, device='cpu')
    common = dict(op=op, compile=False, channels_last=False, **setting)
    results = benchmark.measure([common | dict(backend=b) for b in ('reference', 'auto')], 3)
    assert all(r['median_ms'] > 0 and r['iqr_ms'] >= 0 for r in results)
    assert results[0]['time_ratio'] == results[1]['peak_ratio'] == 1


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['dilateformer_tt'], "did you mean 'dilateformer_t'?"),
        (['--op', 'dilated_attentoin'], "did you mean 'dilated_attention'?"),
        ([], 'nothing to measure'),
        (['volo_d1', '--repeats', '0'], 'start at 1'),
        (['volo_d1', '--json', 'no/such/folder/x.json'], 'there is no folder'),
    ],
)
def test_wrong_arguments_end_with_what_is_allowed(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *arguments])
    with pytest.raises(SystemExit) as error:
        load().parse_args()
    assert error.value.code == 2 and message in capsys.readouterr().err
