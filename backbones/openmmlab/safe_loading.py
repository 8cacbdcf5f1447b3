"""Letting MMEngine load checkpoints only through `read` while a tool runs.

If its list of allowed functions does not cover a file, MMEngine unpickles it without restriction.
It also executes the text of the config in a resumed checkpoint.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from backbones.checkpoints import read
from backbones.checkpoints.arrays import Log
from backbones.errors import UserError, did_you_mean
from backbones.openmmlab import compat

# what the Runner and its hooks read about a training run; the config's text is never executed
META = {
    'cfg': str,
    'dataset_meta': dict,
    'epoch': int,
    'experiment_name': str,
    'hook_msgs': dict,
    'iter': int,
    'mmengine_version': str,
    'seed': int,
    'time': str,
}
STEPS = 'keep_ckpt_ids'  # numbers of the checkpoints that hooks will delete
PLAIN = bool | int | float | str | None
_handed_on: dict[str, dict] = {}  # files already read, until MMEngine asks for them


@contextlib.contextmanager
def safe_loading() -> Iterator[None]:
    """Make all of MMEngine's checkpoint loaders, local and remote, use `read`."""
    before = compat.checkpoint_loaders()
    CheckpointLoader.register_scheme([*before], load_from_safe_reader, force=True)
    try:
        yield
    finally:
        for prefix, loader in before.items():
            CheckpointLoader.register_scheme(prefix, loader, force=True)
        _handed_on.clear()


def hand_on(checkpoint: str, file: dict) -> None:
    """Keep a file that `read` has returned for MMEngine's next request for that checkpoint."""
    _handed_on.clear()  # one file is enough, and may take gigabytes
    _handed_on[checkpoint] = file


def handed_on(checkpoint: str) -> dict | None:
    """Return the file that was handed on, without removing it."""
    return _handed_on.get(checkpoint)


def load_from_safe_reader(filename: str, map_location: object = None) -> dict:
    """Read a checkpoint for MMEngine into main memory, whatever `map_location` says.

    Args:
        filename: any source that `read` accepts, or a name in MMEngine's lists, such as
            `torchvision://resnet50` and `open-mmlab://...`.

    Raises:
        UserError: see `read`; or the name or address is unknown.
    """
    place = _resolved(str(filename))
    file = _handed_on.pop(str(filename), None) or read(place)
    if str(filename).startswith('mmcls://'):
        return compat.of_classifier(file)
    return plain(file, Path(place).parent)


def plain(file: dict, folder: Path) -> dict:
    """Return a checkpoint in which everything except the weights is data of known types.

    Args:
        file: the content that `read` has returned.
        folder: the checkpoint's folder; hooks delete no files outside it that `message_hub` names.
    """
    made = dict(file)
    if 'meta' in made:
        made['meta'] = _plain_meta(made['meta'])
    if 'message_hub' in made:
        made['message_hub'] = _plain_hub(made['message_hub'], folder)
    return made


def storable(hub: dict) -> dict:
    """Return a message hub's state as numbers, texts and tensors.

    MMEngine's histories and NumPy's numbers are classes, which `torch.load` refuses by default.

    Args:
        hub: what `MessageHub.state_dict` returns.
    """
    info = {k: v.item() if isinstance(v, np.generic) else v for k, v in hub['runtime_info'].items()}
    return dict(
        hub,
        log_scalars={
            key: dict(zip(('values', 'counts'), map(torch.from_numpy, log.data)))
            for key, log in hub['log_scalars'].items()
        },
        runtime_info=info,
    )


def histories(logs: dict) -> dict[str, HistoryBuffer]:
    """Return the histories that `storable` or MMEngine has stored, without anything else."""
    found = {}
    for key, log in logs.items():
        if isinstance(log, Log) and hasattr(log, 'values'):
            log = HistoryBuffer(np.array(log.values), np.array(log.counts))
        elif isinstance(log, dict):
            parts = [part for k in ('values', 'counts') if isinstance(part := log.get(k), Tensor)]
            if len(parts) == 2 and parts[0].dim() == 1 and parts[0].shape == parts[1].shape:
                log = HistoryBuffer(*(part.numpy() for part in parts))
        if isinstance(log, HistoryBuffer):
            found[str(key)] = log
    return found


def _plain_meta(meta: object) -> dict:
    given = meta if isinstance(meta, dict) else {}
    return {
        key: _plain_value(given[key])
        for key, kind in META.items()
        if isinstance(given.get(key), kind)
    }


def _plain_hub(hub: object, folder: Path) -> dict:
    parts = hub if isinstance(hub, dict) else {}
    logs, info, resumed = (
        part if isinstance(part := parts.get(key), dict) else {}
        for key in ('log_scalars', 'runtime_info', 'resumed_keys')
    )
    kept = {str(key): _plain_value(value) for key, value in info.items()}
    for key, value in kept.items():
        if isinstance(value, str) and ('best_ckpt' in key or key == 'last_ckpt'):
            kept[key] = str(folder / os.path.basename(value))
    steps = kept.get(STEPS, [])
    if not (isinstance(steps, list) and all(isinstance(step, int) for step in steps)):
        kept[STEPS] = []
    return dict(
        log_scalars=histories(logs),
        runtime_info=kept,
        resumed_keys={str(key): bool(value) for key, value in resumed.items()},
    )


def _plain_value(value: object) -> object:
    """Keep numbers, strings and tensors, and lists and dicts of them; anything else is None."""
    if isinstance(value, PLAIN | Tensor):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set):
        return type(value)(map(_plain_value, value))
    return None


def _resolved(name: str) -> str:
    """Return the path or URL for a name in one of MMEngine's lists."""
    scheme, sign, rest = name.partition('://')
    if not sign or scheme in ('http', 'https'):
        return name
    urls = dict(
        torchvision=mmengine_checkpoint.get_torchvision_models,
        modelzoo=mmengine_checkpoint.get_torchvision_models,
        openmmlab=mmengine_checkpoint.get_external_models,
        mmcls=mmengine_checkpoint.get_mmcls_models,
    )
    find = urls.get(scheme.replace('-', ''))
    if find is None:
        raise UserError(
            f'{name}: checkpoints can be read from paths, http(s), hf-hub: and {", ".join(urls)}://'
            '; download the file and give its path'
        )
    known = find()
    if scheme.replace('-', '') == 'openmmlab':
        rest = mmengine_checkpoint.get_deprecated_model_names().get(rest, rest)
    if rest not in known:
        raise UserError(f'{name}: {rest!r} is unknown to MMEngine{did_you_mean(rest, known)}')
    found = known[rest]
    return found if '://' in found else os.path.join(compat.cache_folder(), found)
