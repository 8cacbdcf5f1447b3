"""The build steps that pyproject.toml cannot state: the `.mim` folder and the index page's text."""

import re
from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
MIM = ('configs', 'tools')
PICTURES = ('.gif', '.jpg', '.png', '.svg')


class BuildWithMim(build_py):
    """Put configs and tools into `backbones/.mim`: copied into a wheel, linked when editable.

    MMDetection does the same, and `mim` looks for them there.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            folder = HERE / 'backbones' / '.mim'
            folder.mkdir(exist_ok=True)
            for name in MIM:
                link = folder / name
                link.unlink(missing_ok=True)
                link.symlink_to(Path('..', '..', name))
            return
        for name in MIM:
            target = Path(self.build_lib, 'backbones', '.mim', name)
            ignored = ignore_patterns('__pycache__')
            copytree(HERE / name, target, dirs_exist_ok=True, ignore=ignored)


def readme() -> str:
    """README.md with absolute links: an index page has neither the files nor the headings' ids."""
    # Python 3.10 cannot read TOML
    project = (HERE / 'pyproject.toml').read_text()
    repository = re.search(r"^Repository = '(.+)'$", project, re.MULTILINE)[1]

    def absolute(link: re.Match) -> str:
        start, target = link.groups()
        if target.startswith('#'):
            return f'{start}{repository}{target}'
        kind = 'raw' if target.lower().endswith(PICTURES) else 'blob'
        return f'{start}{repository}/{kind}/main/{target}'

    relative = r'(\]\(|\b(?:src|href)=")(?!\w+:)([^)"\s]+)'
    return re.sub(relative, absolute, (HERE / 'README.md').read_text())


setup(
    long_description=readme(),
    long_description_content_type='text/markdown',
    cmdclass={'build_py': BuildWithMim},
)
