"""What a file's first and last bytes reveal about it."""

import os
from pathlib import Path

TAIL = 4096  # bytes to search at the end of a file


def what_else(path: Path) -> tuple[str, str]:
    """Return fault and description of a file that Pillow does not recognise as an image."""
    with open(path, 'rb') as file:
        start = file.read(64).lstrip().lower()
    for sign, what in (
        (b'<!doctype', 'a web page, perhaps a failed download'),
        (b'<html', 'a web page, perhaps a failed download'),
        (b'version https://git-lfs', 'a git-lfs pointer; fetch it with git lfs pull'),
        (b'\x93numpy', 'a NumPy array, which is read as an image only; save label maps as PNG'),
        (b'{', 'JSON'),
        (b'<?xml', 'XML'),
    ):
        if start.startswith(sign):
            return 'not-an-image', what
    if start[4:8] == b'ftyp':
        return 'unsupported-format', f'{start[8:12].decode("latin-1")}, perhaps from a phone'
    if start.startswith(b'\x89png\n\x1a'):
        return (
            'damaged-image',
            'git has changed its line ends: write "*.png binary" into .gitattributes',
        )
    if start.startswith((b'\xff\xd8', b'\x89png', b'riff', b'bm', b'ii*', b'mm\0*')):
        return 'damaged-image', 'its header is truncated'
    return 'not-an-image', f'starts with {start[:12]!r}'


def has_end(path: Path, kind: str) -> bool:
    """Return whether a file has its format's end marker; True if the format has none."""
    ends = {'JPEG': b'\xff\xd9', 'PNG': b'IEND'}
    if kind not in ends:
        return True
    with open(path, 'rb') as file:
        file.seek(max(-TAIL, -path.stat().st_size), os.SEEK_END)
        return ends[kind] in file.read()
