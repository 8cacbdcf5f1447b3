"""Reading a config and applying command-line options, with helpful errors."""

import math
import os
import re
from importlib import import_module
from pathlib import Path

from mmengine.config import Config

from backbones.errors import MissingFileError, UserError, first_line, listed
from backbones.openmmlab.config_tree import innermost
from backbones.openmmlab.options import check_option
from backbones.openmmlab.registries import imports_of, name_classes
from backbones.openmmlab.replace_backbone import swap_backbone
from backbones.package_files import find_config

KINDS = ('.py', '.json', '.yaml', '.yml')
WEIGHTS = ('.pth', '.pt', '.safetensors')
BATCH = re.compile(r'_(\d+)xb(\d+)')  # in names of OpenMMLab's configs: GPUs, images on each
DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def load_config(
    path: str,
    *,
    options: dict | None = None,
    work_dir: str | None = None,
    data_root: str | None = None,
    launcher: str = 'none',
    backbone: str | None = None,
    recipe: str | None = None,
) -> Config:
    """Read a config file and apply the command line to it.

    Args:
        path: see `read_config`.
        options: `--cfg-options`; see `check_option`.
        work_dir: None uses the config's, or `work_dirs/<config name>`.
        data_root: replaces the `data_root` of every dataset and evaluator.
        launcher: MMEngine's launcher.
        backbone, recipe: see `swap_backbone`, which gets the options of the new backbone; the other
            options are applied after it.

    Raises:
        MissingFileError: the config does not exist; the message suggests close matches.
        UserError: the file holds no config; an option's key does not exist, with close matches; or
            see `swap_backbone`.
    """
    cfg = read_config(path)
    if not any(cfg.get(part) for part in ('model', *DATALOADERS)):
        raise UserError(
            f'{path} is not a config: it has neither a model nor a dataloader, but '
            f'{listed(cfg) or "nothing"}; tools/new_config.py FOLDER --base CONFIG --out FILE.py '
            'writes one for a folder of data'
        )
    stem, options = path.rpartition('::')[2], options or {}
    options = _import(cfg, options)  # what is imported may have the backbone
    if backbone is not None:
        cfg = swap_backbone(cfg, backbone, recipe=recipe, settings=_of_backbone(options))
        stem = f'{Path(stem).stem}_{re.sub("[:/.]", "_", backbone)}'
    elif recipe is not None:
        raise UserError('--recipe needs --backbone: add --backbone NAME or remove --recipe')
    for key in sorted(options, key=_names_no_type):  # types first: they determine valid arguments
        check_option(cfg, key)
        cfg.merge_from_dict({key: options[key]})
    if data_root is not None:
        _move_data(cfg, data_root)
    cfg.launcher = launcher
    cfg.work_dir = work_dir or cfg.get('work_dir') or str(Path('work_dirs', Path(stem).stem))
    return cfg


def _import(cfg: Config, options: dict) -> dict:
    """Apply options that name modules, and import these, as MMEngine does when it reads a file.

    Returns:
        The other options.
    """
    naming = {key: options[key] for key in options if key.startswith('custom_imports')}
    if naming:
        for key in naming:
            check_option(cfg, key)
        cfg.merge_from_dict(naming)
        try:
            for name in imports_of(cfg):
                import_module(name)
        except ImportError as error:
            raise UserError(f'--cfg-options custom_imports.imports: {error}') from error
    return {key: options[key] for key in options if key not in naming}


def _of_backbone(options: dict) -> dict:
    """Return the backbone's settings in `--cfg-options`, such as `image_size`."""
    found = (
        (re.fullmatch(r'model\.(?:\w+\.)*backbone\.(\w+)', key), options[key]) for key in options
    )
    return {match[1]: value for match, value in found if match and match[1] != 'type'}


def _names_no_type(option: str) -> bool:
    return option.rpartition('.')[2] != 'type'


def read_config(path: str) -> Config:
    """Read a config by its path or name. See `find_config`.

    If the name states a batch size, it becomes the base of `--auto-scale-lr`; see `batch_in_name`.

    Raises:
        MissingFileError: the config, or a file that it inherits from, does not exist.
        UserError: the file is not valid Python, or imports a package that is not installed, as
            some of MMDetection's configs do.
    """
    file = find_config(path)
    if Path(file).suffix not in KINDS and Path(file).is_file():
        order = '; the config comes before the checkpoint' if Path(file).suffix in WEIGHTS else ''
        raise UserError(
            f'{path} is not a config; allowed: a file named {" or ".join(KINDS)}{order}'
        )
    try:
        cfg = Config.fromfile(file)
    except MissingFileError:
        raise
    except (FileNotFoundError, IsADirectoryError) as error:  # MMEngine only gives the path
        raise MissingFileError(
            f'config {path} inherits from a file that does not exist: {error}; correct its _base_'
        ) from error
    except SyntaxError as error:
        raise UserError(f'config {path} is not valid Python: {error}') from error
    except ImportError as error:
        reason = str(error.__cause__ or error)  # MMEngine's own message lists all of sys.path
        raise UserError(f'config {path} needs a package that is not installed: {reason}') from error
    except Exception as error:
        if isinstance(error, TypeError) and '_delete_=True' in str(error):  # merging with _base_
            raise UserError(f'config {path}: {error}') from error
        if Path(file).suffix == '.py':  # an error raised in the config, with its line
            raise
        raise UserError(f'config {path} cannot be read: {first_line(error)}') from error
    name_classes(cfg)
    if (batch := batch_in_name(path)) and cfg.get('auto_scale_lr'):
        cfg.auto_scale_lr.base_batch_size = batch
    return cfg


def batch_in_name(path: str) -> int | None:
    """Return the batch size for which an OpenMMLab config's learning rate is meant, if in its name.

    `mmdet::rtmdet/rtmdet_l_8xb32-300e_coco` was trained on 8 GPUs with 32 images each. 25 of
    MMDetection's configs, all of RTMDet's among them, inherit another number in `auto_scale_lr`
    from a schedule or model whose learning rate they replace.
    """
    found = BATCH.search(path) if '::' in path else None
    return math.prod(map(int, found.groups())) if found else None


def _move_data(cfg: Config, data_root: str) -> None:
    """Point every dataset and every evaluator's `ann_file` to another folder."""
    old = cfg.get('data_root', '')
    for loader in DATALOADERS:
        for dataset in innermost(cfg[loader].dataset) if cfg.get(loader) else ():
            dataset['data_root'] = data_root
    for evaluator in (cfg.get('val_evaluator'), cfg.get('test_evaluator')):
        if isinstance(evaluator, dict) and str(evaluator.get('ann_file', '')).startswith(old):
            file = evaluator['ann_file'][len(old) :].lstrip('/')
            evaluator['ann_file'] = os.path.join(data_root, file)
    cfg.data_root = data_root
