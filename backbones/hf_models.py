"""What this project asks of transformers: a model's configuration, the model, facts about it."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from backbones.errors import MissingFileError, UserError, first_line, listed

SCHEME = 'hf:'


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn what transformers raises while it reads and builds into one sentence."""
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError) as error:
        raise UserError(f'transformers cannot build {SCHEME}{name}: {first_line(error)}') from error


def read_config(name: str) -> Any:
    """Read a model's configuration, from a folder or the hub, without code of its own.

    Raises:
        UserError: transformers is not installed, finds no configuration, or has no backbone of this
            kind; lists those that it has.
    """
    if find_spec('transformers') is None:
        raise UserError(f"{SCHEME}{name} needs transformers: pip install 'dense-backbones[hf]'")
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES as KINDS

    folder = Path(name).expanduser()
    if (folder.is_absolute() or name.startswith('.')) and not (folder / 'config.json').is_file():
        raise MissingFileError(f'{SCHEME}{name}: {folder} is no folder with a config.json')
    with refusals(name):
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    allowed = sorted(set(KINDS) - {'timm_backbone'})
    if config.model_type == 'timm_backbone':
        raise UserError(f'{SCHEME}{name} is a model of timm: write timm:{config.backbone}')
    if config.model_type not in allowed:
        raise UserError(
            f'{SCHEME}{name} is a {config.model_type}, for which transformers has no backbone; it '
            f'has: {", ".join(allowed)}'
        )
    return config


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' own report of a file from the console: ours says what does not fit."""
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
    """Set the first entry of a configuration that it has.

    Raises:
        UserError: it has none of them.
    """
    for key in keys:
        if hasattr(config, key):
            setattr(config, key, value)
            return
    raise UserError(f'{SCHEME}{name}: a {config.model_type} has no {listed(keys)} to be set')


@functools.lru_cache(maxsize=4)
def processor(name: str) -> dict[str, Any]:
    """Return how a model's images are to be prepared; {} where its author wrote nothing."""
    path = _file(name, 'preprocessor_config.json')
    try:
        return json.loads(Path(path).read_text()) if path else {}
    except ValueError:
        return {}  # colours stay those of ImageNet


@functools.lru_cache(maxsize=4)
def licence(name: str) -> str | None:
    """Return the licence that a model's card states; None where there is none."""
    import yaml
    from huggingface_hub import metadata_load

    path = _file(name, 'README.md')
    try:
        facts = (metadata_load(path) if path else None) or {}
    except (ValueError, yaml.YAMLError):
        return None
    # the hub's word for one that it does not know is 'other'
    return facts.get('license_name') or facts.get('license')


def _file(name: str, file: str) -> str | None:
    """Return where a file of a repository or folder is; None if it has none, or no network."""
    from transformers.utils import cached_file

    try:
        return cached_file(name, file)
    except (OSError, ValueError):
        return None


def written_by(config: Any) -> set[str]:
    """Return the names of all tensors of the whole model whose file this is, such as a head's."""
    import torch
    import transformers

    names: set[str] = set()
    for name in getattr(config, 'architectures', None) or ():
        if cls := getattr(transformers, name, None):
            with torch.device('meta'):
                names |= set(cls(config).state_dict())
    return names
