"""Reading a checkpoint from a path, a URL or the Hugging Face hub; nothing in it is executed."""

import contextlib
import os
import pickle
import pickletools
import re
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from mmengine import dist
from torch import Tensor

from backbones.errors import MissingFileError, UserError

HUB = 'hf-hub:'
HUB_FILES = ('model.safetensors', 'pytorch_model.bin')  # where the hub's libraries put weights
SHOWN = 12  # entries that an error lists
ANEW = 'download it again'
# allowed functions that call, or fetch, what they are given
CALLING = {'builtins.getattr', 'torch._tensor._rebuild_from_type_v2'}


class CheckpointError(UserError):
    """A checkpoint that cannot be read, or does not fit the model."""


def read(checkpoint: str) -> dict:
    """Read the tensors of a checkpoint into main memory.

    Of a PyTorch file only what rebuilds tensors is called. Whatever else authors store beside their
    weights (arguments, config nodes, numbers of numpy, MMEngine's logs) is replaced by stand-ins
    that drop their content; a file that asks for any other function or class is refused.

    Args:
        checkpoint: path, http(s) URL, or `hf-hub:OWNER/REPO[@REVISION][/FILE]`; a file of PyTorch
            (zip or older) or of safetensors, told apart by content, not by name.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it cannot be fetched, is damaged, is something else, or asks for code.
    """
    path, source = locate(str(checkpoint))
    _check_kind(path, source)
    if _is_safetensors(path):
        return _read_safetensors(path, source)
    try:
        with _only(STAND_INS):
            file = torch.load(path, map_location='cpu', weights_only=True)
    except _RefusedCall as error:
        raise _refusal(source, [str(error)]) from error
    except (
        *(pickle.UnpicklingError, RuntimeError, EOFError, KeyError, AttributeError, TypeError),
        *(ValueError, IndexError, OSError, MemoryError, AssertionError, OverflowError),
    ) as error:
        asked = _names_asked_for(path)
        names = asked - _allowed()
        if not names and isinstance(error, AttributeError | TypeError):  # of a call, not of damage
            names = asked & CALLING
        if names:
            raise _refusal(source, sorted(names)) from error
        raise CheckpointError(
            f'{source} is truncated or damaged ({path.stat().st_size} bytes): {ANEW}, and compare '
            f'its size with the original'
        ) from error
    if not isinstance(file, dict):
        raise CheckpointError(
            f'{source} holds a {type(file).__name__}; a checkpoint is a dict of tensors'
        )
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
        raise CheckpointError(f'{source} has no entry {key!r}; it has {_listed(file)}')
    entries = {key: file[key]} if key is not None else {w: file[w] for w in wrappers if w in file}
    for name, entry in (*entries.items(), *([('', file)] if key is None else [])):
        if state := _tensors(entry):
            return name, {re.sub(r'^(module\.|_orig_mod\.)+', '', k): v for k, v in state.items()}
    raise CheckpointError(
        f'{source} holds no tensors under {key or " / ".join(wrappers) + " or at its top"}; '
        f'its entries are {_listed(file)}'
    )


def other_entries(file: dict, taken: str) -> list[str]:
    """The entries with tensors by names that were not `taken`, e.g. averaged weights."""
    return [str(k) for k, v in file.items() if k != taken and taken and _named_tensors(v)]


def locate(checkpoint: str) -> tuple[Path, str]:
    """Find the file of a path, or fetch a URL's or the hub's into its cache, once a machine.

    Returns:
        The path, and what to call the file: its path, or where it comes from and where it lies.

    Raises:
        MissingFileError, CheckpointError: see `read`.
    """
    if checkpoint.startswith(HUB):
        path = _once(lambda: _fetch_from_hub(checkpoint), checkpoint)
        return path, f'{checkpoint} ({path})'
    if re.match(r'https?://', checkpoint):
        path = Path(torch.hub.get_dir(), 'checkpoints', Path(checkpoint.split('?')[0]).name)
        _once(lambda: _download(checkpoint, path), checkpoint)
        return path, f'{checkpoint} ({path})'
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if p.is_file())
        raise MissingFileError(
            f'checkpoint {path.absolute()} is a folder; give the file in it: '
            f'{_listed(files) or "there is none"}'
        )
    if not path.is_file():
        raise MissingFileError(
            f'checkpoint {path.absolute()} does not exist; give the path or URL of a checkpoint '
            f'file, or {HUB}OWNER/REPO'
        )
    return path, str(path)


def _once(fetch: Callable[[], Path], checkpoint: str) -> Path:
    """Let one process of a machine fetch a file into the cache, and the others wait for it."""
    error = path = None
    try:
        if int(os.environ.get('LOCAL_RANK', 0)) == 0:
            path = fetch()
    except CheckpointError as problem:  # the others must not wait for ever
        error = problem
    dist.barrier()
    if error:
        raise error
    return path or fetch()


def _download(url: str, path: Path) -> Path:
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path))
    except OSError as error:
        raise CheckpointError(
            f'cannot download {url}: {error}. Fetch it elsewhere and put it at {path}, or give its '
            'path instead (tools/train.py: --pretrained FILE, or none for no weights)'
        ) from error
    return path


def _fetch_from_hub(checkpoint: str) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    found = re.fullmatch(rf'{HUB}([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.+))?', checkpoint)
    if not found:
        raise CheckpointError(f'{checkpoint} is not of the form {HUB}OWNER/REPO[@REVISION][/FILE]')
    repo, revision, file = found.groups()
    names, unreachable = [file] if file else HUB_FILES, None
    try:
        for name in names:
            try:
                return Path(huggingface_hub.hf_hub_download(repo, name, revision=revision))
            except errors.RemoteEntryNotFoundError:
                continue
            except errors.LocalEntryNotFoundError as error:  # the next may be in the cache
                unreachable = error
        if unreachable:
            raise unreachable
        known = huggingface_hub.list_repo_files(repo, revision=revision)
    except errors.RepositoryNotFoundError as error:  # a private one looks the same
        raise CheckpointError(
            f'{checkpoint}: the hub shows no such repository. Check the name; if it is private or '
            'gated, log in with `hf auth login`'
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f'{checkpoint}: {repo} has no revision {revision!r}') from error
    except (errors.HFValidationError, OSError) as error:
        raise CheckpointError(
            f'cannot fetch {checkpoint}: the hub does not answer, and {" or ".join(names)} is not '
            f'in its cache ({type(error).__name__}). Check the connection and HF_HUB_OFFLINE, or '
            f'fetch the file elsewhere and give its path'
        ) from error
    raise CheckpointError(
        f'{checkpoint}: {repo} has no {" or ".join(names)}; add the name of a file, one of '
        f'{_listed(known)}'
    )


def _check_kind(path: Path, source: str) -> None:
    """Tell what a file is that is no checkpoint.

    Raises:
        CheckpointError: see there.
    """
    with path.open('rb') as file:
        head = file.read(512)
    start = head.lstrip().lower()
    where = f'{source} ({path.stat().st_size} bytes)'
    if not head:
        raise CheckpointError(f'{where} is empty: {ANEW}')
    if start.startswith(b'version https://git-lfs'):
        raise CheckpointError(
            f'{where} is a git-lfs pointer, not the file itself: run `git lfs pull` where it was '
            'cloned, or download the file'
        )
    if start.startswith((b'<!doctype', b'<html', b'<?xml', b'<head', b'<!--')):
        raise CheckpointError(
            f'{where} is a web page, as a failed download leaves it: delete it, open the link in a '
            'browser, and save the file itself'
        )
    if zipfile.is_zipfile(path):
        names = zipfile.ZipFile(path).namelist()
        if any(n.endswith('/constants.pkl') or '/code/' in n for n in names):
            raise CheckpointError(
                f'{where} is a TorchScript archive, a program with its weights. Where it was made, '
                'save the tensors alone: torch.save(model.state_dict(), FILE)'
            )
        if not any(n.endswith('data.pkl') for n in names):
            raise CheckpointError(
                f'{where} is a zip archive that PyTorch did not write; it holds {_listed(names)}. '
                'Unpack it and give the checkpoint in it'
            )
    elif b'\0' not in head and head.isascii() and head[:1] not in b'(c':  # these begin old pickles
        raise CheckpointError(
            f'{where} is a text that begins with {head[:40].decode()!r}, not a checkpoint: {ANEW}'
        )


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


class _RefusedCall(Exception):
    """A call that a file asked for; the message is the function's name."""


class _Dropped:
    """Stands in for an object beside the weights; drops its arguments and its state."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _DroppedLog(_Dropped):
    """Stands in for MMEngine's HistoryBuffer."""


def _method_of_log(owner: object, name: str) -> type[_Dropped]:
    """Stand in for `getattr`, by which a HistoryBuffer names its own four statistics."""
    if owner is not _DroppedLog or name not in ('min', 'max', 'mean', 'current'):
        raise _RefusedCall('builtins.getattr')
    return _Dropped


# what files hold beside tensors, by the names that they have for it
STAND_INS: dict[str, Callable] = {
    # arguments and configs of trainers; dicts stay dicts, since their items are set one by one
    'argparse.Namespace': _Dropped,
    **dict.fromkeys(('pathlib.Path', 'pathlib.PosixPath', 'pathlib.WindowsPath'), _Dropped),
    **dict.fromkeys(
        (
            *('yacs.config.CfgNode', 'fvcore.common.config.CfgNode', 'easydict.EasyDict'),
            *('mmcv.utils.config.ConfigDict', 'mmengine.config.config.ConfigDict'),
            'addict.addict.Dict',
        ),
        OrderedDict,
    ),
    # numbers and arrays of numpy 1 and 2
    **dict.fromkeys(
        (
            *('numpy.ndarray', 'numpy.dtype'),
            *(
                f'numpy.{c}.multiarray.{f}'
                for c in ('core', '_core')
                for f in ('scalar', '_reconstruct')
            ),
        ),
        _Dropped,
    ),
    # MMEngine's logs
    'mmengine.logging.history_buffer.HistoryBuffer': _DroppedLog,
    'builtins.getattr': _method_of_log,
    'builtins.slice': _Dropped,
}


@contextlib.contextmanager
def _only(allowed: dict[str, Callable]) -> Iterator[None]:
    """Allow what `allowed` names beside PyTorch's own functions, and nothing else.

    What other code of this process has allowed PyTorch to call is not allowed here.
    """
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals([(f, name) for name, f in allowed.items()]):
            yield
    finally:
        torch.serialization.add_safe_globals(before)


def _allowed() -> set[str]:
    from torch import _weights_only_unpickler as unpickler

    return {*STAND_INS, *unpickler._get_allowed_globals()}


def _names_asked_for(path: Path) -> set[str]:
    """The functions and classes that a file's pickles name, as far as they can be read."""
    names: set[str] = set()
    # of a damaged pickle, what was read so far counts
    with contextlib.suppress(ValueError, OSError, EOFError, LookupError, zipfile.BadZipFile):
        if zipfile.is_zipfile(path):
            archive = zipfile.ZipFile(path)
            for part in (n for n in archive.namelist() if n.endswith('data.pkl')):
                _collect_names(archive.open(part), names)
        else:
            with path.open('rb') as file:
                while True:  # PyTorch's older files are several pickles in a row
                    _collect_names(file, names)
    return names


def _collect_names(file: object, names: set[str]) -> None:
    pushed, memo = [], {}  # enough of the pickle machine to know a STACK_GLOBAL's two strings
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ('GLOBAL', 'INST'):
            names.add(_today(*argument.split(' ')))
        elif opcode.name == 'STACK_GLOBAL':
            names.add('.'.join(map(str, pushed[-2:])))
        elif opcode.name == 'MEMOIZE':
            memo[len(memo)] = pushed[-1:]
        elif opcode.name.endswith('PUT'):
            memo[argument] = pushed[-1:]
        elif opcode.name.endswith('GET'):
            pushed += memo.get(argument, [])
        elif opcode.name != 'FRAME':
            pushed.append(argument)


def _today(module: str, name: str) -> str:
    """Python 3's name of what a pickle of Python 2's protocols names."""
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f'{module}.{name}'


def _refusal(source: str, names: list[str]) -> CheckpointError:
    return CheckpointError(
        f'{source} is refused: reading it would call {_listed(names)}, and nothing in a checkpoint '
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


def _listed(entries: object) -> str:
    names = list(map(str, entries))
    more = f', ... and {len(names) - SHOWN} more' if len(names) > SHOWN else ''
    return ', '.join(names[:SHOWN]) + more
