"""Annotation files in JSON."""

import json
from pathlib import Path
from typing import Any

from backbones.data.faults.faults import Faults

UNREADABLE = (ValueError, OSError, RecursionError)


def content_of(file: Path, faults: Faults) -> Any:
    """Return what a JSON file holds; None, with a fault, if it cannot be read."""
    try:
        return json.loads(file.read_text(encoding='utf-8-sig'))
    except UNREADABLE as error:
        faults.add('broken-file', file, error)
        return None
