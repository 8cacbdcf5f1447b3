"""benchmarks/gpu.py: its bounds, and that a failing operator does not lose the others' results."""

from pathlib import Path

import gpu
import measure
import pytest
from operators import OPERATORS, ways


def test_the_bound_is_the_least_traffic_at_the_rate_of_copying():
    found = gpu.measured('dilated_attention', 'plain', 'cpu', (3, 5), 1e6)
    values = 2 * 72 * 3 * 5  # bytes of a map of 72 channels in bfloat16
    for way, maps in dict(inference=4, step=11).items():  # three maps go in and one comes out
        seconds = found[f'{way}_us'] / 1e6
        assert found[f'{way}_bound'] == pytest.approx(maps * values / 1e6 / seconds, rel=0.01)


def test_an_operator_that_fails_is_told_beside_the_others(monkeypatch: pytest.MonkeyPatch):
    def measured(name: str, way: str, *_: object) -> dict:
        if (name, way) == ('mlp', 'memory'):
            raise RuntimeError('out of memory\nmore')
        return dict(inference_us=1.0)

    monkeypatch.setattr(gpu, 'measured', measured)
    found = {(r['op'], r['way']): r for r in gpu.operators('cuda', (2, 2), 1.0)}
    assert list(found) == [(name, way) for name in OPERATORS for way in ways(name)]
    assert found.pop(('mlp', 'memory'))['error'] == 'out of memory'
    assert all('error' not in r for r in found.values())


@pytest.mark.parametrize('device', gpu.RUNS)
def test_its_arguments_are_those_of_measure(device: str):
    for run in gpu.RUNS[device].values():
        args = measure.parse_args([*run.split(), *gpu.SIZES[device][0], '--device', device])
        assert args.dtypes == ['bfloat16'] and args.device == device


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        gpu.main(['--device', 'cpu', '--json', str(tmp_path / 'nowhere/gpu.json')])
    assert 'does not exist' in capsys.readouterr().err
