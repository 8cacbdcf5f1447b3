"""Reading a checkpoint from a path, a URL or the Hugging Face hub; nothing in it is executed."""

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

# with what reading a damaged file can end
DAMAGE = (
    *BAD_ZIP,
    *(pickle.UnpicklingError, AttributeError, TypeError, MemoryError, AssertionError),
)


def read(checkpoint: str) -> dict:
    """Read the tensors of a checkpoint into main memory.

    Of a PyTorch file only what rebuilds tensors is called. Whatever else authors store beside their
    weights is replaced by stand-ins: arguments and config nodes by ones that drop their content,
    numbers of numpy and MMEngine's logs by ones that keep plain numbers (see `arrays`). A file that
    asks for any other function or class is refused.

    Args:
        checkpoint: path, http(s) URL, perhaps with `#sha256=DIGITS`, or
            `hf-hub:OWNER/REPO[@REVISION][/FILE]`; a file of PyTorch (zip or older) or of
            safetensors, told apart by content, not by name.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it cannot be fetched, is damaged, is something else, or asks for code.
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
                f'{source} is a pickle that PyTorch did not write, and only tensors of torch.save '
                'and safetensors are read: convert it where you know what is in it'
            ) from error
        raise CheckpointError(
            f'{source} is truncated or damaged ({path.stat().st_size} bytes): {ANEW}, and compare '
            f'its size with the original'
        ) from error
    if not isinstance(file, dict):
        raise CheckpointError(
            f'{source} holds a {type(file).__name__}; a checkpoint is a dict of tensors'
        )
    check_tensors(file, source)
    return file


def select(
    file: dict, key: str | None, wrappers: tuple[str, ...], source: str
) -> tuple[str, dict[str, Tensor]]:
    """Take the state dict out of a checkpoint's wrapper.

    Args:
        file: what `read` returns.
        key: the entry that holds the state dict; None takes the first of `wrappers` with tensors,
            else the file itself.
        wrappers: see `PublishedKeys.wrappers`.
        source: what errors call the file.

    Returns:
        The name of the entry, '' for the file itself, and its tensors, without the prefixes that
        DistributedDataParallel, averaged models and `torch.compile` put before names.

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
        f'{source} holds no tensors under {key or " / ".join(wrappers) + " or at its top"}; '
        f'its entries are {listed(file)}'
    )


def other_entries(file: dict, taken: str) -> list[str]:
    """The entries with tensors by names that were not `taken`, e.g. averaged weights."""
    return [str(k) for k, v in file.items() if k != taken and taken and _named_tensors(v)]


def _is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON header, and the header."""
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
        f'{source} is refused: reading it would call {listed(names)}, and nothing in a checkpoint '
        'may call anything. Ask its author for a file of plain tensors. Whoever made it writes one '
        "with torch.save({'state_dict': model.state_dict()}, FILE) or safetensors.torch.save_file"
    )


def _tensors(entry: object) -> dict[str, Tensor]:
    if not isinstance(entry, dict):
        return {}
    return {k: v for k, v in entry.items() if isinstance(v, Tensor) and isinstance(k, str)}


def _named_tensors(entry: object) -> bool:
    """Whether an entry looks like a state dict: a parameter's name has a dot."""
    return any('.' in k for k in _tensors(entry))
