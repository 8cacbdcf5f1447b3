"""Start a training run from a whole model: a file, or one that the authors published."""

import urllib.request
from pathlib import Path

import yaml
from mmengine.config import Config

from backbones.checkpoints import load_model
from backbones.checkpoints.fetch import cached, is_remote
from backbones.errors import UserError, listed
from backbones.openmmlab.build import build_model, enter_library
from backbones.openmmlab.config_tree import classes_of, innermost
from backbones.package_files import FOLDER
from backbones.training.preflight import tensors_of_classes

DATA = ('coco', 'ade20k')  # what the published models were trained on
NONE = 'none'
PATIENCE = 5  # seconds to wait for a server


def published_files() -> dict[str, str]:
    """Return the URLs of the authors' whole models, by config name."""
    table = yaml.safe_load((FOLDER / 'configs/published.yml').read_text())
    return {
        name: table['sources'][row['source']]['release'] + row['checkpoint']
        for name, row in table['configs'].items()
        if 'checkpoint' in row
    }


def choose_start(
    given: str | None, base: str, *, backbone: str | None = None, changed: str | None = None
) -> tuple[str | None, str]:
    """Decide from which whole model a training run starts.

    Args:
        given: a file, URL or name on the hub; 'coco' or 'ade20k' for the authors' file of the base;
            'none'; None uses the authors' file if there is one and its server answers.
        base: the config to inherit from, as typed.
        backbone: the backbone that replaces the base's. The authors' file then has another backbone
            and is not the default; if requested, only its other parts are used.
        changed: what else the published model does not fit, such as other channels.

    Returns:
        The file, or None to start from the backbone's weights; and a notice, '' for none.

    Raises:
        UserError: no model was published for the base, or it would not fit.
    """
    files = published_files()
    url = files.get(Path(base).stem)
    if given == NONE:
        return None, ''
    if given in DATA:
        fitting = sorted(name for name in files if name.endswith(f'_{given}'))
        if url is None or Path(base).stem not in fitting:
            raise UserError(
                f'--start {given}: no such model of {base} was published; allowed with --base '
                f'{listed(fitting)}; or give a file'
            )
        if changed and not backbone:
            raise UserError(
                f'--start {given}: the published model of {base} does not fit {changed}; remove '
                'one of them'
            )
        return url, ''
    if given is not None:
        return given, ''
    if url is None or backbone or changed:
        return None, ''
    if answers(url):
        return url, f"starts from the authors' whole model, {url}; --start none turns this off"
    return None, (
        f"starts from the backbone's ImageNet weights: the authors' whole model, {url}, would be a "
        'better start, but cannot be reached. Fetch it elsewhere and give it with --start FILE'
    )


def answers(url: str) -> bool:
    """Return whether a file is in the cache, or its server answers within seconds."""
    if cached(url).is_file():
        return True
    request = urllib.request.Request(url, method='HEAD')
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def check_start(cfg: Config, checkpoint: str, file: dict | None) -> None:
    """Load a file like the training run will, to reject now what does not fit.

    The log names the layers that are re-initialised for other classes.

    Args:
        file: what `checkpoints.read` returned for `checkpoint`; None reads it, if it is local.

    Raises:
        UserError: see `backbones.checkpoints.load_model`.
    """
    if file is None and is_remote(checkpoint):
        return  # fetched and checked when the training run starts
    enter_library(cfg)
    classes = classes_of(cfg, innermost(cfg.train_dataloader.dataset)[0])
    model = build_model(cfg)
    load_model(
        model,
        checkpoint,
        file=file,
        classes=classes,
        new_classes=lambda: tensors_of_classes(cfg),
        backbone=cfg.get('load_backbone', True),
    )
