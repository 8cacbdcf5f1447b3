"""Package `backbones`, with configs and tools in its `.mim` folder as MMDetection does it."""

import re
from pathlib import Path
from shutil import copytree, ignore_patterns

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
MIM = ('configs', 'tools')


class BuildWithMim(build_py):
    """Put configs and tools into `backbones/.mim`: copied into a wheel, linked when editable."""

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


setup(
    name='dense-backbones',
    version=re.search(r"__version__ = '(.+)'", (HERE / 'backbones/__init__.py').read_text())[1],
    description='DilateFormer, CSWin, VOLO, MogaNet and CloFormer for detection and segmentation',
    long_description=(HERE / 'README.md').read_text(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11',
    packages=find_packages(include=['backbones', 'backbones.*']),
    cmdclass={'build_py': BuildWithMim},
    install_requires=[
        # lower bounds are what was tried; constraints.txt has the exact versions of the tests
        'torch>=2.11',
        'torchvision>=0.26',
        'timm>=1.0.31',
        'numpy<2.3',
        'onedl-mmengine>=0.10.12',
        'onedl-mmcv>=2.3.6',
        'onedl-mmdetection>=3.5.1',
        'onedl-mmsegmentation>=1.4.2',
        # imaug pulls in opencv-python beside the headless one: both must be the same version
        'opencv-python-headless==4.12.0.88',
        'opencv-python==4.12.0.88',
        'faster-coco-eval>=1.8.0',
        'ftfy',  # mmsegmentation imports its CLIP tokenizer
        'regex',
        'prettytable',
        'pyyaml',  # configs/published.yml
        'scikit-learn',
        'matplotlib',
    ],
    extras_require={'test': ['pytest', 'pytest-xdist', 'ruff', 'setuptools>=70.1,<82']},
)
