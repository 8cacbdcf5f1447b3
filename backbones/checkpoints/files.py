"""Reading a checkpoint from a path, a URL or the Hugging Face hub, without executing its code."""

import pickle
import re
from pathlib import Path

from torch import Tensor

from backbones.checkpoints.fetch import locate
from backbones.checkpoints.kinds import ANEW, BAD_ZIP, check_kind, is_foreign_pickle
from backbones.checkpoints.limits import check_archive, check_pickles, check_tensors
from backbones.checkpoints.pickles import ALLOWED, RefusedCall, names_asked_for
from backbones.checkpoints.torch_files import load
from backbones.errors import CheckpointError, listed

# errors that reading a damaged file can raise
DAMAGE = (
    *BAD_ZIP,
    *(pickle.UnpicklingError, AttributeError, TypeError, MemoryError, AssertionError),
)


def read(checkpoint: str) -> dict:
    """Read the tensors of a checkpoint into main memory.

    In a PyTorch file, only the functions that rebuild tensors are called. Everything else that
    authors store is replaced by stand-ins: arguments and config nodes lose their content, while
    NumPy numbers and MMEngine's logs keep plain numbers (see `arrays`). A file that asks for any
    other function or class is rejected.

    Args:
        checkpoint: path, http(s) URL, optionally with `#sha256=DIGITS`, or
            `hf-hub:OWNER/REPO[@REVISION][/FILE]`; a file of PyTorch (zip or older) or safetensors,
            distinguished by content, not by name.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it cannot be fetched, is damaged, is not a checkpoint, or asks for code.
    """
    path, source = locate(str(checkpoint))
    check_archive(path, source)
    check_kind(path, source)
    if _is_safetensors(path):
        return _read_safetensors(path, source)
    check_pickles(path, source)
    try:
        file = load(path)
    except RefusedCall as error:
        raise _refusal(source, [str(error)]) from error
    except DAMAGE as error:
        if names := names_asked_for(path) - set(ALLOWED):
            raise _refusal(source, sorted(names)) from error
        if is_foreign_pickle(path):
            raise CheckpointError(
                f'{source} is a pickle that PyTorch did not write; only files of torch.save and '
                'safetensors are read: convert it if you know what is in it'
            ) from error
        raise CheckpointError(
            f'{source} is truncated or damaged ({path.stat().st_size} bytes): {ANEW}, and compare '
            f'its size with the original'
        ) from error
    if not isinstance(file, dict):
        raise CheckpointError(f'{source} holds a {type(file).__name__}; expected a dict of tensors')
    check_tensors(file, source)
    return file


def select(
    file: dict, key: str | None, wrappers: tuple[str, ...], source: str
) -> tuple[str, dict[str, Tensor]]:
    """Take the state dict out of a checkpoint's wrapper.

    Args:
        file: what `read` returns.
        key: the entry that holds the state dict; None means the first of `wrappers` with tensors,
            otherwise the file itself.
        wrappers: see `PublishedKeys.wrappers`.
        source: the file's name for messages.

    Returns:
        The name of the entry, '' for the file itself, and its tensors, without the name prefixes
        of DistributedDataParallel, averaged models and `torch.compile`.

    Raises:
        CheckpointError: `key` is not in the file, or there are no tensors.
    """
    if key is not None and key not in file:
        raise CheckpointError(f'{source} has no entry {key!r}; it has {listed(file)}')
    entries = {key: file[key]} if key is not None else {w: file[w] for w in wrappers if w in file}
    for name, entry in (*entries.items(), *([('', file)] if key is None else [])):
        if state := _tensors(entry):
            return name, {re.sub(r'^(module\.|_orig_mod\.)+', '', k): v for k, v in state.items()}
    raise CheckpointError(
        f'{source} holds no tensors under {key or " / ".join(wrappers) + " or at the top level"}; '
        f'its entries are {listed(file)}'
    )


def other_entries(file: dict, taken: str) -> list[str]:
    """Return the entries besides `taken` that have named tensors, such as averaged weights."""
    return [str(k) for k, v in file.items() if k != taken and taken and _named_tensors(v)]


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors: a JSON header's length, then that header."""
    with path.open('rb') as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], 'little')
    return head[8:] == b'{' and (length < 100 << 20)


def _read_safetensors(path: Path, source: str) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device='cpu')
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(
            f'{source} is a truncated or damaged safetensors file ({path.stat().st_size} bytes): '
            f'{ANEW} ({error})'
        ) from error


def _refusal(source: str, names: list[str]) -> CheckpointError:
    return CheckpointError(
        f'{source} is rejected: reading it would call {listed(names)}, and checkpoints must not '
        'call anything. Ask its author for a file of plain tensors, written with '
        "torch.save({'state_dict': model.state_dict()}, FILE) or safetensors.torch.save_file"
    )


def _tensors(entry: object) -> dict[str, Tensor]:
    if not isinstance(entry, dict):
        return {}
    return {k: v for k, v in entry.items() if isinstance(v, Tensor) and isinstance(k, str)}


def _named_tensors(entry: object) -> bool:
    """Return whether an entry looks like a state dict: parameter names have a dot."""
    return any('.' in k for k in _tensors(entry))
