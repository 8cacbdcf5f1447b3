"""What a user gets who installs the package without the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_backbones_configs_and_tools(tmp_path: Path) -> None:
    source, site = tmp_path / 'source', tmp_path / 'site'
    ignored = shutil.ignore_patterns(
        '.*', 'data', 'work_dirs', 'build', '*.egg-info', '__pycache__'
    )
    shutil.copytree(ROOT, source, ignore=ignored)
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation']
    subprocess.run([*command, '-w', tmp_path, source], check=True)
    (wheel,) = tmp_path.glob('dense_backbones-*-py3-none-any.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(site)
    for folder in ('configs', 'tools'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and '__pycache__' not in path.parts:
                assert f'backbones/.mim/{path.relative_to(ROOT)}' in names
    assert not [name for name in names if name.startswith(('tests', 'configs', 'tools'))]

    mim = site / 'backbones' / '.mim'
    code = (
        'import backbones; from mmengine.config import Config\n'
        f"cfg = Config.fromfile('{mim}/configs/mask_rcnn_cswin_t_coco.py')\n"
        'print(backbones.__file__, cfg.model.backbone.type)'
    )
    env = {**os.environ, 'PYTHONPATH': str(site)}
    run = [sys.executable, '-c', code]
    out = subprocess.run(run, cwd=tmp_path, env=env, text=True, capture_output=True, check=True)
    assert f'{site}/backbones/__init__.py CSWin' in out.stdout
