"""The table of docs/compatibility.md and its environments."""

import re
import subprocess
import sys

import matrix
import pytest
from conftest import HERE, ROOT
from matrix import ENVIRONMENTS

TABLE = re.findall(
    r'^\| (\w+) \| (\d\.\d+)\S* \| (\d+\.\d+|-)\S* \| .* \| (.*) \|$',
    (ROOT / 'docs/compatibility.md').read_text(),
    re.MULTILINE,
)


def test_the_table_tells_of_every_environment() -> None:
    told = {name: (python, torch) for name, python, torch, _ in TABLE}
    assert {name: python for name, (python, _) in told.items()} == {
        name: environment.python for name, environment in ENVIRONMENTS.items()
    }
    for name, environment in ENVIRONMENTS.items():
        first = environment.packages[0][0]
        pinned = re.fullmatch(r'torch==(.*)\.\*', first)
        assert not pinned or pinned[1] == told[name][1]
    assert all('failed' not in outcome and 'passed' in outcome for *_, outcome in TABLE)


def test_the_oldest_environment_is_what_the_package_asks_for() -> None:
    project = (ROOT / 'pyproject.toml').read_text()
    oldest = ENVIRONMENTS['oldest']
    assert f"requires-python = '>={oldest.python}'" in project
    for package in oldest.packages[0]:
        if '==' in package:
            assert f"'{package.replace('==', '>=').removesuffix('.*')}'" in project


def test_the_tests_of_the_core_are_there() -> None:
    for environment in ENVIRONMENTS.values():
        assert all((HERE / path).exists() for path in environment.tests)


@pytest.mark.slow
@pytest.mark.parametrize('name', ENVIRONMENTS)
def test_the_core_passes_its_tests_in(name: str) -> None:
    if matrix.interpreter(ENVIRONMENTS[name].python) is None:
        pytest.skip(f'no Python {ENVIRONMENTS[name].python} on this machine')
    command = [sys.executable, HERE / 'support/matrix.py', name]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
