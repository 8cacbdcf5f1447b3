"""Files for OpenVINO and torch.export have PyTorch's numbers, and metadata."""

import json
from pathlib import Path

import pytest
import torch
from conftest import NANO, tool

from backbones import CloFormer
from backbones.deploy import export
from backbones.deploy import source as sources
from backbones.deploy.torch_file import FACTS

pytestmark = pytest.mark.slow


def small() -> sources.Source:
    torch.manual_seed(0)
    model = CloFormer(NANO[CloFormer], out_indices=(0,)).eval()
    return sources.of_backbone('cswin_t', model, dynamic=False)


def test_a_program_runs_alone_and_takes_any_number_of_images(tmp_path: Path) -> None:
    out = tmp_path / 'x.pt2'
    result = export.export(small(), out, export.Target((40, 50), None, 'torch-export'))
    assert result.agrees and len(result.differences) == 6
    facts = {FACTS: ''}
    program = torch.export.load(out, extra_files=facts)
    assert json.loads(facts[FACTS])['outputs'] == '["level0"]'
    (level,) = program.module()(torch.zeros(3, 3, 40, 50))
    assert level.shape == (3, 32, 10, 13)


def test_a_program_for_any_size_takes_long_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = CloFormer(NANO[CloFormer], out_indices=(0,)).eval()
    source = sources.of_backbone('cswin_t', model, dynamic=True)
    export.export(source, tmp_path / 'x.pt2', export.Target(None, 1, 'torch-export'))
    program = torch.export.load(tmp_path / 'x.pt2')
    (level,) = program.module()(torch.zeros(1, 3, 64, 8224))
    assert level.shape == (1, 32, 16, 2056)


@pytest.mark.parametrize('precision, largest', [('fp32', 1e-5), ('fp16', 2e-3), ('bf16', 2e-2)])
def test_an_openvino_file_gives_the_numbers_of_pytorch(
    precision: str, largest: float, tmp_path: Path
) -> None:
    openvino = pytest.importorskip('openvino')
    out = tmp_path / 'x.xml'
    target = export.Target((40, 50), None, 'openvino', precision)
    result = export.export(small(), out, target)
    assert result.agrees and max(d.found for d in result.differences) < largest
    model = openvino.Core().read_model(out)
    assert model.get_rt_info(['dense_backbones', 'precision']).astype(str) == precision
    assert [o.any_name for o in model.outputs] == ['level0']
    assert sorted(p.name for p in tmp_path.iterdir()) == ['x.bin', 'x.xml']


def test_an_onnx_file_of_half_the_size_gives_nearly_the_same(tmp_path: Path) -> None:
    sizes = []
    for precision in ('fp32', 'fp16'):
        out = tmp_path / f'{precision}.onnx'
        result = export.export(small(), out, export.Target((40, 50), 1, 'onnx', precision))
        assert result.agrees and max(d.found for d in result.differences) < 2e-3
        sizes.append(out.stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]  # the graph is as large as its few weights


def test_what_a_format_cannot_do_is_one_line() -> None:
    common = ['cswin_t', '--dynamic', '--pretrained']
    words = [*common, '--out', 'x.xml', '--to', 'onnx']
    assert '--out is x.xml; allowed: a name ending in .onnx' in tool('export', *words, fails=True)
    words = [*common, '--out', 'x.onnx', '--precision', 'int8']
    assert '--precision int8 with --to onnx; allowed: fp32, fp16' in tool(
        'export', *words, fails=True
    )
