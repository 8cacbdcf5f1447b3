"""Reading a small YAML file of settings, with every value as text.

YAML reads `no` as False, `02146` as 1126 and `12:30` as 750, but as class names they have to stay
as written. Aliases and nesting are limited, since a few hundred bytes can expand to gigabytes.
"""

from collections import Counter
from pathlib import Path

import yaml

LARGEST = 1 << 20  # bytes of a file
ENTRIES = 100_000  # with all aliases expanded
DEPTH = 20
EMPTY = ('', '~', 'null', 'Null', 'NULL')


class YamlError(ValueError):
    """An error in a YAML file, in one line."""


class ShallowLoader(yaml.SafeLoader):
    """A loader that limits nesting, since PyYAML's time grows with the square of the depth."""

    depth = -1

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH:
            raise YamlError(f'it is nested more than {DEPTH} levels deep')
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(file: Path) -> object:
    """Return dicts, with text keys, and lists of texts; None for an empty value.

    Raises:
        YamlError: the file is not YAML, not UTF-8, too large or nested too deeply.
    """
    try:
        size = file.stat().st_size
        if not file.is_file() or size > LARGEST:
            raise YamlError(f'it is not a settings file ({size} bytes)')
        node = yaml.compose(file.read_text(encoding='utf-8-sig'), ShallowLoader)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise YamlError(' '.join(str(error).split())) from error
    if node is None:
        return None
    _count(node, {}, 0)
    return _value(node)


def _count(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """Count a node's entries; those behind an alias are counted once and multiplied."""
    if depth > DEPTH:
        raise YamlError(f'it is nested more than {DEPTH} levels deep')
    if id(node) not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            children = node.value
        elif isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_count(child, known, depth + 1) for child in children)
    if known[id(node)] > ENTRIES:
        raise YamlError(f'its aliases expand to more than {ENTRIES} entries')
    return known[id(node)]


def _value(node: yaml.Node) -> object:
    if isinstance(node, yaml.SequenceNode):
        return [_value(entry) for entry in node.value]
    if isinstance(node, yaml.MappingNode):
        pairs = [(str(_value(key)), _value(value)) for key, value in node.value]
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(
                key for key, count in Counter(key for key, _ in pairs).items() if count > 1
            )
            raise YamlError(f'it has {twice!r} twice')
        return found
    return None if node.style is None and node.value in EMPTY else node.value
