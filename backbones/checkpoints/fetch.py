"""Finding the file for a path, a URL or a name on the Hugging Face hub."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as dist

from backbones.errors import CheckpointError, MissingFileError, listed
from backbones.file_digest import sha256

HUB = 'hf-hub:'
HUB_FILES = ('model.safetensors', 'pytorch_model.bin')  # names that the hub's libraries use


def is_remote(checkpoint: str) -> bool:
    """Return whether a checkpoint has to be fetched."""
    return checkpoint.startswith((HUB, 'http://', 'https://'))


def locate(checkpoint: str) -> tuple[Path, str]:
    """Find the file of a path, or fetch it from a URL or the hub into a cache, once per machine.

    Returns:
        The path, and a name for messages: the path, or the file's origin and the path.

    Raises:
        MissingFileError, CheckpointError: see `read`.
    """
    if checkpoint.startswith(HUB):
        path = _once(lambda: _fetch_from_hub(checkpoint), checkpoint)
        _check_blob(checkpoint, path)
        return path, f'{checkpoint} ({path})'
    if is_remote(checkpoint):
        url, expected = split_checksum(checkpoint)
        path = cached(url)
        _once(lambda: _download(url, path, expected), url)
        _check_sum(url, path, expected)
        return path, f'{url} ({path})'
    path = Path(checkpoint).expanduser()
    if path.is_dir():
        files = sorted(p.name for p in path.iterdir() if p.is_file())
        raise MissingFileError(
            f'checkpoint {path.absolute()} is a folder; give a file in it: '
            f'{listed(files) or "it has none"}'
        )
    if not path.is_file():
        raise MissingFileError(
            f'checkpoint {path.absolute()} does not exist; give the path or URL of a checkpoint '
            f'file, or {HUB}OWNER/REPO{_others(path)}'
        )
    return path, str(path)


def _others(path: Path) -> str:
    """Name the checkpoints beside a path, since runs without a validation write no best.pth."""
    names = sorted(p.name for p in path.parent.glob('*.pth')) if path.parent.is_dir() else []
    return f'; {path.parent.absolute()} has {listed(names)}' if names else ''


def _once(fetch: Callable[[], Path], checkpoint: str) -> Path:
    """Let one process per machine fetch a file into the cache, while the others wait."""
    error = path = None
    try:
        if int(os.environ.get('LOCAL_RANK', 0)) == 0:
            path = fetch()
    except CheckpointError as problem:  # the others must not wait forever
        error = problem
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
    if error:
        raise error
    return path or fetch()


def cached(url: str) -> Path:
    """Return the cache path of a URL; URLs with the same file name get different folders."""
    name = re.sub(r'[^\w.-]', '_', url.split('?')[0].rpartition('/')[2])[-100:].strip('.') or 'file'
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Path(torch.hub.get_dir(), 'checkpoints', key, name)


def split_checksum(checkpoint: str) -> tuple[str, str]:
    """Split URL#sha256=DIGITS, pip's notation for a file's expected SHA-256.

    Returns:
        The URL, and the digits, '' for none.

    Raises:
        CheckpointError: the digits are not 64 hexadecimal digits.
    """
    url, sign, digits = checkpoint.partition('#sha256=')
    if sign and not re.fullmatch('[0-9a-f]{64}', digits):
        raise CheckpointError(
            f'{checkpoint}: a SHA-256 has 64 digits from 0-9 and a-f, as `sha256sum` prints them'
        )
    return url, digits


def _sum_of(path: Path) -> Path:
    return path.with_name(f'{path.name}.sha256')


def _download(url: str, path: Path, expected: str) -> Path:
    if path.is_file() and _sum_of(path).is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            torch.hub.download_url_to_file(url, str(path))
        named = re.search(r'-([0-9a-f]{8,64})\.', path.name)  # PyTorch's convention
        if named and not named[1].isdecimal():  # decimal digits alone are a date
            _refuse_other(url, path, named[1])
        _refuse_other(url, path, expected)
        _sum_of(path).write_text(f'{sha256(path)}  {path.name}\n')  # readable by sha256sum
    except OSError as error:
        raise CheckpointError(
            f'cannot download {url}: {error}. Fetch it elsewhere and put it at {path}, or give its '
            'path instead (tools/train.py: --pretrained FILE, or --pretrained none to start '
            'without)'
        ) from error
    return path


def _refuse_other(url: str, path: Path, expected: str) -> None:
    """Compare a file with the checksum in its name or in the user's URL.

    Args:
        expected: all or the first digits of the checksum; '' for none.

    Raises:
        CheckpointError: they differ; the file is removed.
    """
    if not sha256(path).startswith(expected):
        path.unlink()
        raise CheckpointError(
            f'{url} is not the expected file: its SHA-256 does not begin with {expected}. Try '
            'again, or fetch it elsewhere and give its path'
        )


def _check_sum(url: str, path: Path, expected: str) -> None:
    """Compare a cached file with `expected`, and with its checksum when it was fetched.

    Raises:
        CheckpointError: they differ.
    """
    fetched = _sum_of(path).read_text().partition(' ')[0]
    if expected and fetched != expected:
        raise CheckpointError(
            f'{path} is not the expected file: its SHA-256 is {fetched}, not {expected}. '
            'Remove it to fetch it again'
        )
    if fetched != sha256(path):
        raise CheckpointError(
            f'{path} has changed since it was fetched from {url} (see {_sum_of(path).name} beside '
            'it): remove both files to fetch it again'
        )


def _check_blob(checkpoint: str, path: Path) -> None:
    """Compare a file of the hub with its SHA-256, the name of large files in the hub's cache.

    Raises:
        CheckpointError: they differ.
    """
    blob = path.resolve()
    if re.fullmatch('[0-9a-f]{64}', blob.name) and sha256(blob) != blob.name:
        raise CheckpointError(
            f'{checkpoint} has changed since it was fetched: remove {blob} to fetch it again'
        )


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
                local = unreachable is not None  # wait only once for a hub that does not answer
                return Path(
                    huggingface_hub.hf_hub_download(
                        repo, name, revision=revision, local_files_only=local
                    )
                )
            except errors.LocalEntryNotFoundError as error:  # the next name may be in the cache
                unreachable = error
            except errors.EntryNotFoundError:
                continue
        if unreachable:
            raise unreachable
        known = huggingface_hub.list_repo_files(repo, revision=revision)
    except errors.RepositoryNotFoundError as error:  # or it is private
        raise CheckpointError(
            f'{checkpoint}: the hub has no such repository. Check the name; if it is private or '
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
        f'{checkpoint}: {repo} has no {" or ".join(names)}; add the name of a file: {listed(known)}'
    )
