"""What this project needs from transformers: a model's configuration, the model, facts about it."""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from backbones.errors import MissingFileError, UserError, first_line, listed

SCHEME = 'hf:'


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn transformers' errors while reading and building into one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # contradictory settings can raise anything
        raise UserError(f'transformers cannot build {SCHEME}{name}: {first_line(error)}') from error


def read_config(name: str) -> Any:
    """Read a model's configuration from a folder or the hub, without running its code.

    Raises:
        UserError: transformers is not installed, finds no configuration, or has no backbone of this
            kind; the message lists those that it has.
    """
    if find_spec('transformers') is None:
        raise UserError(f"{SCHEME}{name} needs transformers: pip install 'dense-backbones[hf]'")
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES as KINDS

    folder = Path(name).expanduser()
    if (folder.is_absolute() or name.startswith('.')) and not (folder / 'config.json').is_file():
        raise MissingFileError(f'{SCHEME}{name}: {folder} is not a folder with a config.json')
    with refusals(name):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    allowed = sorted(set(KINDS) - {'timm_backbone'})
    if config.model_type == 'timm_backbone':
        raise UserError(f'{SCHEME}{name} is a timm model: write timm:{config.backbone}')
    if config.model_type not in allowed:
        raise UserError(
            f'{SCHEME}{name} is a {config.model_type}, for which transformers has no backbone; it '
            f'has: {", ".join(allowed)}'
        )
    return config


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' report on a file, since our message says what does not fit."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def build(name: str, config: Any) -> nn.Module:
    """Build a model with random weights.

    Raises:
        UserError: transformers refuses the configuration.
    """
    from transformers import AutoBackbone

    with refusals(name):
        return AutoBackbone.from_config(config)


def set_entry(name: str, config: Any, keys: tuple[str, ...], value: object) -> None:
    """Set the first of several entries that a configuration has.

    Raises:
        UserError: it has none of them.
    """
    for key in keys:
        if hasattr(config, key):
            setattr(config, key, value)
            return
    raise UserError(f'{SCHEME}{name}: a {config.model_type} has no setting {listed(keys)}')


NUMBERS = ('image_mean', 'image_std')
Colours = tuple[tuple[float, ...], tuple[float, ...]]


def colours(name: str) -> Colours | None:
    """Return mean and deviation of a model's images, from 0 to 255; None if they are not given.

    Raises:
        UserError: they are not three numbers each.
    """
    said = _processor(name)
    if said.get('do_rescale') is not False:
        scale = 1 / (said.get('rescale_factor') or 1 / 255)
    else:  # for images from 0 to 1 already, unless the numbers are for bytes
        scale = 1 if max(said.get('image_mean') or (0,)) > 1 else 255
    if said.get('do_normalize') is False:
        return (0.0,) * 3, (float(scale),) * 3
    if not said.get('image_mean') or not said.get('image_std'):
        return None
    mean, std = (tuple(round(scale * value, 4) for value in said[key]) for key in NUMBERS)
    return mean, std


def _processor(name: str) -> dict[str, Any]:
    """Return how to prepare a model's images; {} if its author did not say."""
    path = _file(name, 'preprocessor_config.json')
    try:
        said = json.loads(Path(path).read_text()) if path else {}
    except ValueError:
        said = None
    faults = []
    if not isinstance(said, dict):
        said, faults = {}, ['it is not a JSON object']
    for key in NUMBERS:
        value = said.get(key)
        three = isinstance(value, list) and len(value) == 3 and all(map(_is_number, value))
        if value is not None and not (three and (key == 'image_mean' or min(value) > 0)):
            faults.append(f'{key} is {str(value)[:40]}; allowed: three numbers')
    factor = said.get('rescale_factor')
    if factor is not None and not (_is_number(factor) and factor > 0):
        faults.append(f'rescale_factor is {str(factor)[:40]}; allowed: above 0')
    if faults:
        raise UserError(f'{SCHEME}{name}: preprocessor_config.json: {"; ".join(faults)}')
    return said


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@functools.lru_cache(maxsize=4)
def licence(name: str) -> str | None:
    """Return the licence on a model's card; None if there is none."""
    import yaml
    from huggingface_hub import metadata_load

    path = _file(name, 'README.md')
    try:
        facts = (metadata_load(path) if path else None) or {}
    except (ValueError, yaml.YAMLError):
        return None
    # the hub calls a licence that it does not know 'other'
    said = facts.get('license_name') or facts.get('license')
    return ', '.join(map(str, said)) if isinstance(said, list) else said


def _file(name: str, file: str) -> str | None:
    """Return the path of a repository's or folder's file; None if there is none, or no network."""
    from transformers.utils import cached_file

    try:
        return cached_file(name, file)
    except (OSError, ValueError):
        return None


def written_by(config: Any) -> set[str]:
    """Return the names of all tensors in the whole model that a file holds, such as a head's."""
    import torch
    import transformers

    names: set[str] = set()
    written = getattr(config, 'architectures', None)
    for name in written if isinstance(written, list) else ():
        cls: Any = getattr(transformers, name, None) if isinstance(name, str) else None
        # a file may name any class: only a model of this kind is built
        model = isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)
        if model and getattr(cls, 'config_class', None) is type(config):
            with torch.device('meta'):
                names |= set(cls(config).state_dict())
    return names
