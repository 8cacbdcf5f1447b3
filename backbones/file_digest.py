"""The SHA-256 of a file."""

import hashlib
from pathlib import Path

BLOCK = 1 << 20  # bytes read at once


def sha256(path: Path) -> str:
    """Return a file's SHA-256, in hexadecimal digits."""
    found = hashlib.sha256()
    with path.open('rb') as file:  # hashlib.file_digest came with Python 3.11
        while block := file.read(BLOCK):
            found.update(block)
    return found.hexdigest()
