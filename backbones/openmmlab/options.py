"""Checking that each option of `--cfg-options` sets something that is read."""

import inspect
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from backbones.errors import UserError, did_you_mean, listed
from backbones.openmmlab.registries import find_class
from backbones.variants import arguments_of

# top-level keys of a config that are read, though they are not arguments of MMEngine's Runner
RUNNER_KEYS = (
    'activation_checkpointing',
    'allow_faults',  # in tools/train.py
    'compile',
    'custom_imports',
    'default_scope',
    'dry_run',  # in tools/train.py
    'efficient_conv_bn_eval',
    'find_unused_parameters',
    'load_backbone',  # in tools/train.py
    'model_wrapper_cfg',
    'skip_unreadable',  # in tools/train.py
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)
# keys that MMEngine removes from a typed dict before it builds the class
TAKEN_OUT = ('_delete_', '_scope_', 'constructor', 'convert_to_iter_based', 'paramwise_cfg',
             'priority')  # fmt: skip
PATTERNS = ('custom_keys',)  # dicts whose keys are parts of names
TYPO = 0.8  # where unknown keys are allowed, a key at least this similar to another is a typo


def check_option(cfg: Config, option: str) -> None:
    """Reject an option whose key is misspelt or would not be read.

    A dict with a `type` accepts its class's arguments, and any others if the class passes them on;
    a dict without one accepts any key, and so does the config itself, as in MMEngine. In these, a
    key that closely resembles an existing one counts as a typo. A key of the config itself that
    MMEngine does not read, such as `lr` or `data_root`, is rejected if a part of the config has it:
    these have their own copies.

    Raises:
        UserError: it is; the message names close matches among the existing keys, or the copies.
    """
    first, *rest = option.split('.')
    if copies := ['.'.join([place, *rest]) for place in _copies(cfg, first)]:
        raise UserError(
            f'--cfg-options {option}: {first} at the top of a config is not read; set '
            f'{listed(copies)}'
        )
    node: object = dict(cfg.items())
    seen: list[str] = []
    for part in option.split('.'):
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(
                    f'--cfg-options {option}: {".".join(seen)} is a list of {len(node)}; '
                    f'allowed: 0 to {len(node) - 1}'
                )
            node = node[int(part)]
        elif isinstance(node, dict):
            if part not in node and not (seen and seen[-1] in PATTERNS):
                _check_key(cfg, node, part, option, '.'.join(seen))
            node = node.get(part)
        else:
            break  # inside a value that the option replaces
        seen.append(part)


def _check_key(cfg: Config, node: dict, key: str, option: str, place: str) -> None:
    """Reject a key that is missing from a dict of the config and would not be read."""
    arguments, others = _arguments(cfg, node, top=not place)
    known = sorted({*node, *arguments})
    if key in known:
        return
    hint = did_you_mean(key, known, closeness=TYPO if others else 0.6)
    if hint or not others:
        raise UserError(
            f'--cfg-options {option}: {place or "the config"} has no {key!r}'
            f'{hint or f"; it has: {known}"}'
        )


def _copies(cfg: Config, key: str) -> list[str]:
    """Return the places in parts of the config with the name or the value of a key at its top.

    There are none if MMEngine or this package reads the key itself.
    """
    read = _arguments(cfg, cfg, top=True)[0] - {'data_preprocessor'}  # the model's own comes first
    if key in read:
        return []
    value = cfg.get(key)
    return [
        place
        for part in read & set(cfg)
        for place, name, own in _settings(cfg[part], part)
        if name == key or (value and isinstance(value, dict | list) and own == value)
    ]


def _settings(node: object, place: str) -> Iterator[tuple[str, str, Any]]:
    """Yield place, name and value of each setting inside a part of a config."""
    pairs = node.items() if isinstance(node, dict) else ()
    for name, value in enumerate(node) if isinstance(node, list | tuple) else pairs:
        yield f'{place}.{name}', str(name), value
        yield from _settings(value, f'{place}.{name}')


def _arguments(cfg: Config, node: dict, *, top: bool) -> tuple[set[str], bool]:
    """Return the arguments of the class that `node` configures, and whether it accepts others."""
    if top:
        named = {*inspect.signature(Runner.__init__).parameters, *RUNNER_KEYS} - {'self', 'cfg'}
        return named, True
    cls = find_class(node['type'], cfg.get('default_scope')) if 'type' in node else None
    if not inspect.isclass(cls):
        return set(), True  # no type, or a library's function such as 'soft_nms'
    names, others = arguments_of(cls)
    return {*TAKEN_OUT, *names}, others
