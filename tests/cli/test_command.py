"""The command `dense-backbones`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backbones import __version__
from backbones.__main__ import main
from backbones.package_files import tools

COMMAND = Path(sys.executable).with_name('dense-backbones')


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, *words: str) -> str:
    """Return what the command prints to either stream, and its exit code."""
    monkeypatch.setattr(sys, 'argv', ['dense-backbones', *words])
    try:
        main()
    except SystemExit as end:
        return ''.join(capsys.readouterr()) + str(end.code)
    return ''.join(capsys.readouterr())


def test_it_lists_all_tools_and_says_the_version(monkeypatch, capsys) -> None:
    listed = said(monkeypatch, capsys, '--help')
    names = [line.split()[0] for line in listed.splitlines() if line.startswith('  ')]
    assert names == [path.stem.replace('_', '-') for path in tools()] and listed.endswith('0')
    assert {'train', 'test', 'predict', 'export', 'check-data', 'new-config'} <= {*names}
    assert said(monkeypatch, capsys, '--version') == f'dense-backbones {__version__}\n'
    assert said(monkeypatch, capsys).endswith('2')
    wrong = said(monkeypatch, capsys, 'tarin')
    assert "no tool 'tarin'" in wrong and "'train'" in wrong


def test_every_tool_can_be_called_by_its_name_alone() -> None:
    assert not [path.name for path in tools() if not os.access(path, os.X_OK)]


@pytest.mark.skipif(not COMMAND.is_file(), reason='the package is not installed')
def test_it_runs_a_tool_with_its_own_options() -> None:
    done = subprocess.run([COMMAND, 'check-data', '/nowhere'], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and '/nowhere' in done.stderr


def test_it_lists_backbones_to_choose_from(monkeypatch, capsys) -> None:
    small = said(monkeypatch, capsys, 'list', '--task', 'detection', '--max-params', '5')
    assert 'mask_rcnn_moganet_t_coco' in small and 'cswin' not in small and 'timm:' not in small
    large = said(monkeypatch, capsys, 'list', '--task', 'segmentation', '--max-params', '80')
    row = next(line for line in large.splitlines() if 'cswin_b_384' in line)
    assert 'upernet_cswin_b_ade20k' in row, 'its recipe is that of the same size'
    fetched = said(monkeypatch, capsys, 'list', '--weights', 'yes', '--timm', '--max-params', '4')
    rows = {line.split()[1]: line for line in fetched.splitlines()[2:]}
    assert 'apache-2.0' in rows['timm:convnext_atto.d2_in1k'] and 'moganet_xt' in rows
    assert 'cloformer_xxs' not in rows, 'there are no weights of it'
    numbers = [float(line.split('|')[2]) for line in rows.values()]
    assert numbers == sorted(numbers) and len(rows) > 50
    nothing = said(monkeypatch, capsys, 'list', '--max-params', '1')
    assert 'no backbone fits' in nothing
