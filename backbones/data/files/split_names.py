"""The names by which folders and files tell their split."""

import re

SPLITS = {
    'train': ('train', 'training'),
    'val': ('val', 'valid', 'validation', 'validate', 'dev'),
    'test': ('test', 'testing'),
}


def split_of(name: str) -> str | None:
    """Return a file's or folder's split by a word in its name: 'instances_train2017' -> 'train'.

    Returns:
        'train', 'val' or 'test'; None if no word matches.
    """
    words = re.findall(r'[a-z]+', name.lower())
    return next((s for s, known in SPLITS.items() if any(w in known for w in words)), None)
