"""The configs and tools that come with the package, also where pip installed it."""

from pathlib import Path

from backbones.errors import MissingFileError, did_you_mean

PACKAGE = Path(__file__).parent.parent
# as MMDetection has it; a checkout that was never installed has the folders beside the package
FOLDER = PACKAGE / '.mim' if (PACKAGE / '.mim' / 'configs').is_dir() else PACKAGE.parent


def config_file(name: str) -> str:
    """Find a config of this project by its name.

    MMEngine's own `package::config` knows OpenMMLab's packages only, but evaluates `_base_`:
    `_base_ = __import__('backbones').config_file('upernet_cswin_t_ade20k')`.

    Args:
        name: with or without `.py`, e.g. 'mask_rcnn_cswin_t_coco' or '_base_/models/upernet'.

    Returns:
        Absolute path.

    Raises:
        MissingFileError: no such config; names close matches.
    """
    return str(_find(name, FOLDER / 'configs', 'config'))


def tool_file(name: str) -> str:
    """Find a tool, e.g. 'train'. See `config_file`."""
    return str(_find(name, FOLDER / 'tools', 'tool'))


def _find(name: str, folder: Path, kind: str) -> Path:
    path = folder / f'{name.removesuffix(".py")}.py'
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob('*.py'))
        hint = did_you_mean(path.stem, known) or f'; it has {", ".join(known[:12])}, ...'
        raise MissingFileError(f'no {kind} {name!r} in {folder}{hint}')
    return path.absolute()
