"""Reading checkpoint files and URLs, without executing anything in them."""

import os
import pickle
import re
from pathlib import Path

import numpy as np
import torch
from mmengine import dist
from mmengine.runner.checkpoint import get_torch_safe_globals
from torch import Tensor

SHOWN = 12  # entries that an error lists
# MMCV 1.x wrote numpy's numbers into `meta` (MMSegmentation: hook_msgs.best_score), made by these
# functions, by the names that numpy 1 has for them
OLD_NUMPY = [
    (np.float64().__reduce__()[0], 'numpy.core.multiarray.scalar'),
    (np.empty(0).__reduce__()[0], 'numpy.core.multiarray._reconstruct'),
]
NUMBERS = [type(np.dtype(code)) for code in '?bhilqBHILQefd']


def read(checkpoint: str) -> dict:
    """Read a checkpoint file or URL without executing anything in it.

    Raises:
        FileNotFoundError, ValueError: see `load_backbone`.
    """
    if re.match(r'https?://', str(checkpoint)):
        path = _download(checkpoint)
    else:
        path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'checkpoint {path.absolute()} does not exist; give the path or URL of a '
            'checkpoint file'
        )
    try:
        safe = [*get_torch_safe_globals(), *OLD_NUMPY, *NUMBERS]
        with torch.serialization.safe_globals(safe):
            file = torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r'GLOBAL ([\w.]+)', str(error)) or re.search(
            r'`?([\w]+\.[\w.]+)`?', str(error)
        )
        if 'Weights only load failed' in str(error) and found and 'GLOBAL' in str(error):
            raise ValueError(
                f'{path} is refused: loading it would execute {found[1]}. Ask its author for a '
                'file of plain tensors, or convert it where you trust it: torch.save('
                "dict(state_dict=torch.load(path, weights_only=False)['state_dict']), new)"
            ) from error
        raise ValueError(
            f'{path} is truncated or not a PyTorch checkpoint: {_first_line(error)}'
        ) from error
    except (RuntimeError, EOFError, KeyError, AttributeError, OSError) as error:
        raise ValueError(
            f'{path} is truncated or not a PyTorch checkpoint: {_first_line(error)}'
        ) from error
    if not isinstance(file, dict):
        raise ValueError(f'{path} holds a {type(file).__name__}; a checkpoint is a dict of tensors')
    return file


def select(
    file: dict, key: str | None, wrappers: tuple[str, ...], source: str
) -> dict[str, Tensor]:
    """Take the state dict out of a checkpoint's wrapper.

    Raises:
        ValueError: `key` is not in the file, or there are no tensors.
    """
    if key is not None and key not in file:
        raise ValueError(f'{source} has no entry {key!r}; it has {", ".join(map(str, file))}')
    state = file[key] if key is not None else next((file[w] for w in wrappers if w in file), file)
    state = (
        {k: v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, dict) else {}
    )
    if not state:
        raise ValueError(
            f'{source} holds no tensors under {key or " / ".join(wrappers) + " or at its top"}; '
            f'its entries are {", ".join(map(str, list(file)[:SHOWN]))}'
        )
    return state


def _download(url: str) -> Path:
    """Fetch a file into torch's hub cache, once a machine."""
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(url.split('?')[0]).name)
    try:
        if int(os.environ.get('LOCAL_RANK', 0)) == 0 and not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path))
    except OSError as error:
        raise ValueError(
            f'cannot download {url}: {error}. Fetch it elsewhere and put it at {path}, '
            'or give its path instead (tools/train.py: --pretrained FILE, or none for no weights)'
        ) from error
    dist.barrier()
    return path


def _first_line(error: Exception) -> str:
    return str(error).strip().split('\n')[0] or type(error).__name__
