"""Settings as config text: the differences from a base, in lines of at most 100 columns."""

from dataclasses import dataclass
from typing import TypeGuard

WIDTH = 100  # columns


@dataclass
class Call:
    """An expression with parts: `dict(a=1, b=2)` has the head `dict(` and the tail `)`."""

    head: str
    parts: list['Call | str']
    tail: str = ')'

    def text(self, indent: int = 0) -> str:
        """Format as one line if it fits, else with as many parts per line as fit."""
        flat = self.flat()
        if indent + len(flat) <= WIDTH:
            return flat
        inner = ' ' * (indent + 4)
        lines: list[str] = []
        for part in self.parts:
            text = part if isinstance(part, str) else part.text(indent + 4)
            joined = f'{lines[-1]} {text},' if lines else ''
            if lines and '\n' not in joined and len(inner + joined) <= WIDTH:
                lines[-1] = joined
            else:
                lines.append(f'{text},')
        return '\n'.join([self.head, *(inner + line for line in lines)])[:-1] + self.tail

    def flat(self) -> str:
        parts = [part if isinstance(part, str) else part.flat() for part in self.parts]
        return f'{self.head}{", ".join(parts)}{self.tail}'

    def named(self, name: str) -> 'Call':
        """Make it the value of a setting (`name = `) or of an argument (`name=`)."""
        return Call(name + self.head, self.parts, self.tail)


def literal(value: object) -> Call | str:
    """Format a value as Python code, with dicts as calls."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isidentifier() for key in value):
            return repr({key: value[key] for key in value})
        return Call('dict(', [named(key, literal(entry)) for key, entry in value.items()])
    if isinstance(value, list):
        return Call('[', [literal(entry) for entry in value], ']')
    if isinstance(value, tuple):
        return Call('(', [literal(entry) for entry in value], ',)' if len(value) == 1 else ')')
    return repr(value)


def named(name: str, value: Call | str, *, sign: str = '=') -> Call | str:
    """Format a named argument or, with the sign ' = ', a statement."""
    return name + sign + value if isinstance(value, str) else value.named(name + sign)


def statement(name: str, value: Call | str) -> str:
    """Format an assignment."""
    made = named(name, value, sign=' = ')
    return made if isinstance(made, str) else made.text()


def override(old: object, new: object, place: str) -> Call | str | None:
    """Format the change from the base's `old` at `place` to `new`; None if they are equal.

    MMEngine merges dicts key by key and replaces everything else.
    """
    if old == new:
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() - new.keys() or old.get('type') != new.get('type'):
            return literal({'_delete_': True, **new})
        changes = {k: override(old.get(k), new[k], f'{place}.{k}') for k in new
                   if k not in old or old[k] != new[k]}  # fmt: skip
        return Call('dict(', [named(k, v) for k, v in changes.items() if v is not None])
    if _are_dicts(old) and _are_dicts(new) and len(old) == len(new):
        parts = [_rewritten(a, b, 'x') for a, b in zip(old, new)]
        if len({str(part) for part in parts}) == 1:
            return Call('[', [parts[0]], f' for x in {place}]')
        return literal(new)
    return literal(new)


def _rewritten(old: dict, new: dict, place: str) -> Call | str:
    """Format a dict in a list as built from the base's, by Python rather than by MMEngine."""
    if old.keys() - new.keys() or old.get('type') != new.get('type'):
        return literal(new)
    parts: list[Call | str] = [place]
    for key, value in new.items():
        if key in old and old[key] == value:
            continue
        both = isinstance(value, dict) and isinstance(old.get(key), dict)
        part = _rewritten(old[key], value, f'{place}.{key}') if both else literal(value)
        parts.append(named(key, part))
    return Call('dict(', parts)


def _are_dicts(value: object) -> TypeGuard[list[dict]]:
    return isinstance(value, list) and all(isinstance(entry, dict) for entry in value)
