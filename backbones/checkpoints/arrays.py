"""Numbers of numpy in a checkpoint, and MMEngine's logs of them, rebuilt from plain bytes.

A resumed training needs them: the best metric so far, and the values that the log averages over.
Nothing of numpy's pickling is called; what is not an array of plain numbers keeps no content.
"""

import math
import struct

# what numpy and struct call the kinds of plain numbers; files have them in little-endian order
KINDS = {
    **{'b1': '?', 'i1': 'b', 'i2': 'h', 'i4': 'i', 'i8': 'q', 'u1': 'B', 'u2': 'H', 'u4': 'I'},
    **{'u8': 'Q', 'f2': 'e', 'f4': 'f', 'f8': 'd'},
}


class Dropped:
    """Stands in for an object beside the weights; drops its arguments and its state."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class NumberKind(Dropped):
    """Stands in for `numpy.dtype`; keeps the name of a plain kind of number."""

    def __init__(self, name: object = '', *args: object) -> None:
        if isinstance(name, str) and name in KINDS:
            self.name = name

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ('<', '|')):
            vars(self).clear()


class Numbers(Dropped):
    """Stands in for `numpy.ndarray`.

    Attributes:
        values: a flat tuple; only of plain numbers whose bytes are all there.
    """

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) == 5):
            return
        _, shape, kind, _, data = state
        sides = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
        if not sides or not isinstance(kind, NumberKind):
            return
        values = _read(kind, data)
        if values is not None and len(values) == math.prod(shape):
            self.values = values


class Log(Dropped):
    """Stands in for MMEngine's HistoryBuffer.

    Attributes:
        values, counts: tuples of the same length, its history.
    """

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            return
        parts = (state.get('_log_history'), state.get('_count_history'))
        values, counts = (getattr(p, 'values', None) for p in parts)
        if values is not None and counts is not None and len(values) == len(counts):
            self.values, self.counts = values, counts


def scalar(kind: object = None, data: object = None) -> bool | float | Dropped:
    """Stand in for numpy's rebuilder of a single number, which becomes one of Python."""
    values = _read(kind, data) if isinstance(kind, NumberKind) else None
    return values[0] if values is not None and len(values) == 1 else Dropped()


def _read(kind: NumberKind, data: object) -> tuple | None:
    name = vars(kind).get('name')
    if name is None or not isinstance(data, bytes) or len(data) % int(name[1]):
        return None
    return struct.unpack(f'<{len(data) // int(name[1])}{KINDS[name]}', data)
