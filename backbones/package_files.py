"""The configs and tools that come with the package, in a checkout or installed by pip."""

from importlib.util import find_spec
from pathlib import Path

from backbones.errors import MissingFileError, UserError, did_you_mean

LIBRARIES = ('mmdet', 'mmseg')
# the config that holds a variant's recipe
RECIPES = dict(detection='mask_rcnn_{}_coco', segmentation='upernet_{}_ade20k')
PACKAGE = Path(__file__).parent
# MMDetection's convention; an uninstalled checkout has the folders beside the package
FOLDER = PACKAGE / '.mim' if (PACKAGE / '.mim' / 'configs').is_dir() else PACKAGE.parent


def config_file(name: str) -> str:
    """Return the path of a config of this project, by name.

    To inherit from it, write `_base_ = __import__('backbones').config_file('NAME')`: MMEngine
    evaluates `_base_`, while its `package::config` knows only OpenMMLab's packages.

    Args:
        name: with or without `.py`, such as `mask_rcnn_cswin_t_coco` or `_base_/models/upernet`.

    Returns:
        The absolute path.

    Raises:
        MissingFileError: there is no such config; suggests close matches.
    """
    return str(_find(name, FOLDER / 'configs', 'config'))


def own_recipe(variant: str, task: str) -> str:
    """Return the name of the config with a variant's recipe for 'detection' or 'segmentation'.

    Variants fine-tuned at 384 pixels use the recipe of the variant of the same size.
    """
    return RECIPES[task].format(variant.removesuffix('_384'))


def find_config(path: str) -> str:
    """Return the path of a config named on a command line.

    Args:
        path: a file; the name of a config of this project; or `mmdet::FOLDER/NAME` or
            `mmseg::FOLDER/NAME` for one that comes with MMDetection or MMSegmentation.

    Raises:
        MissingFileError: there is no such config; suggests close matches.
        UserError: the library is unknown or not installed.
    """
    if '::' in path:
        return _find_in_library(*path.split('::', 1))
    shipped = FOLDER / 'configs' / f'{path.removesuffix(".py")}.py'
    if not Path(path).is_file() and Path(path).name == path and shipped.is_file():
        return str(shipped)
    if Path(path).is_dir():
        raise UserError(
            f'{path} is a folder, not a config; tools/new_config.py {path} --base CONFIG '
            '--out FILE.py writes one for a folder of images'
        )
    if not Path(path).is_file():
        folders = {Path(path).parent, Path('configs')}
        known = [str(found) for folder in folders for found in folder.glob('*.py')]
        known += [found.stem for found in (FOLDER / 'configs').glob('*.py')]
        raise MissingFileError(f'config {path} does not exist{did_you_mean(path, known)}')
    return path


def _find_in_library(library: str, name: str) -> str:
    if library not in LIBRARIES:
        allowed = ', '.join(LIBRARIES)
        raise UserError(f"config {library}::{name}; allowed before '::': {allowed}")
    package = find_spec(library)
    if package is None or not package.submodule_search_locations:
        raise UserError(f'config {library}::{name}: {library} is not installed')
    folder = Path(package.submodule_search_locations[0], '.mim', 'configs')
    path = folder / f'{name.removesuffix(".py")}.py'
    if not path.is_file():
        near = path.parent if path.parent.is_dir() else folder
        known = [f'{library}::{p.relative_to(folder).with_suffix("")}' for p in near.rglob('*.py')]
        hint = did_you_mean(f'{library}::{name.removesuffix(".py")}', known)
        raise MissingFileError(f'config {library}::{name} does not exist{hint}')
    return str(path)


def tools() -> list[Path]:
    """Return the files of all tools."""
    return sorted((FOLDER / 'tools').glob('*.py'))


def tool_file(name: str) -> str:
    """Return the path of a tool, such as 'train' or 'new-config'. See `config_file`."""
    return str(_find(name.replace('-', '_'), FOLDER / 'tools', 'tool'))


def _find(name: str, folder: Path, kind: str) -> Path:
    path = folder / f'{name.removesuffix(".py")}.py'
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob('*.py'))
        hint = did_you_mean(path.stem, known) or f'; available: {", ".join(known[:12])}, ...'
        raise MissingFileError(f'no {kind} {name!r} in {folder}{hint}')
    return path.absolute()
