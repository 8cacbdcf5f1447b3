"""Digests in exported files, compared before a file is opened.

Runtimes compare none: a flipped bit in a weight would silently change their results.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbones.errors import MissingFileError, UserError
from backbones.file_digest import sha256

GRAPH = 'graph_sha256'  # key in the metadata: length and digest of all that precedes them
WEIGHTS = 'weights_sha256'  # key in OpenVINO's metadata: digest of the file of weights
# OpenVINO stores `value="` after a key, ONNX a tag and the length of the text
STATED = re.compile(rf'{GRAPH}(?: value="|\x12.)(\d{{1,18}}) \w{{64}}'.encode(), re.DOTALL)


def digest_of(graph: bytes | memoryview) -> str:
    """Return what the metadata of an .onnx or .xml file that starts with these bytes state."""
    return f'{len(graph)} {hashlib.sha256(graph).hexdigest()}'


def with_metadata(file: Any, metadata: Mapping[str, str]) -> bytes:
    """Return the content of an ONNX file with metadata and with a digest of its graph.

    The class names come last: predictions need them, so a file that lost its end is refused.

    Args:
        file: an `onnx.ModelProto` without metadata.
    """
    graph = file.SerializeToString()
    about = type(file)()
    facts = {GRAPH: digest_of(graph), **metadata}
    for key in sorted(facts, key='classes'.__eq__):
        about.metadata_props.add(key=key, value=facts[key])
    return graph + about.SerializeToString()  # joined messages are one message


def check_graph(file: Path) -> None:
    """Make sure that an .onnx or .xml file is the exported one, if its metadata state a digest.

    Raises:
        UserError: something that precedes the metadata differs.
    """
    content = file.read_bytes()
    stated = STATED.search(content)  # the first; OpenVINO copies an ONNX file's behind its own
    if stated and not stated[0].endswith(digest_of(memoryview(content)[: int(stated[1])]).encode()):
        raise UserError(
            f'{file} was damaged, or changed by another program, after the export: copy it or '
            f'export it again. To keep a change, delete {GRAPH} from its metadata'
        )


def check_weights(file: Path) -> None:
    """Make sure that the weights of an OpenVINO file were written with it.

    Raises:
        MissingFileError: they are missing.
        UserError: they were not, or are damaged.
    """
    weights = file.with_suffix('.bin')
    if not weights.is_file():
        raise MissingFileError(
            f'{weights}, which has the weights of {file}, does not exist: keep the two together'
        )
    stated = re.search(rf'<{WEIGHTS} value="(\w+)"'.encode(), file.read_bytes())
    if stated and stated[1].decode() != sha256(weights):
        raise UserError(
            f'{weights} is not the file of weights that was exported with {file.name}: copy the '
            'two together, or export again'
        )
