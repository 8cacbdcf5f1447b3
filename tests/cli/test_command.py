"""The command `dense-backbones`."""

import subprocess
import sys
from pathlib import Path

import pytest

from backbones import __version__
from backbones.package_files import tools

COMMAND = (str(Path(sys.executable).with_name('dense-backbones')),)
MODULE = (sys.executable, '-m', 'backbones')


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(words, capture_output=True, text=True)


def test_it_lists_all_tools_and_says_the_version() -> None:
    listed = run(*MODULE, '--help')
    assert listed.returncode == 0
    names = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith('  ')]
    assert names == [path.stem.replace('_', '-') for path in tools()]
    assert {'train', 'test', 'predict', 'export', 'check-data', 'new-config'} <= {*names}
    assert run(*MODULE, '--version').stdout == f'dense-backbones {__version__}\n'


@pytest.mark.skipif(not Path(*COMMAND).is_file(), reason='the package is not installed')
def test_it_runs_a_tool_with_its_own_options() -> None:
    done = run(*COMMAND, 'check-data', '/nowhere')
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and '/nowhere' in done.stderr
    assert "no tool 'tarin'" in (said := run(*COMMAND, 'tarin').stderr) and "'train'" in said
