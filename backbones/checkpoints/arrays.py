"""NumPy numbers in a checkpoint, and MMEngine's logs of them, rebuilt from plain bytes.

A resumed training run needs them: the best metric so far, and the values that the log averages.
None of NumPy's unpickling code is called; everything except arrays of plain numbers is dropped.
"""

import math
import struct

# plain number types as NumPy and struct name them; files store them in little-endian order
KINDS = {
    **{'b1': '?', 'i1': 'b', 'i2': 'h', 'i4': 'i', 'i8': 'q', 'u1': 'B', 'u2': 'H', 'u4': 'I'},
    **{'u8': 'Q', 'f2': 'e', 'f4': 'f', 'f8': 'd'},
}


class Dropped:
    """Stands in for an object other than weights; drops its arguments and its state."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class NumberKind(Dropped):
    """Stands in for `numpy.dtype`; keeps the name of a plain number type."""

    def __init__(self, name: object = '', *args: object) -> None:
        if isinstance(name, str) and name in KINDS:
            self.name = name

    def __setstate__(self, state: object) -> None:
        if not (isinstance(state, tuple) and len(state) > 1 and state[1] in ('<', '|')):
            vars(self).clear()


class Numbers(Dropped):
    """Stands in for `numpy.ndarray`.

    Attributes:
        values: a flat tuple; set only for plain numbers with all their bytes.
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
        values, counts: its history, as tuples of the same length.
    """

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            return
        parts = (state.get('_log_history'), state.get('_count_history'))
        values, counts = (getattr(p, 'values', None) for p in parts)
        if values is not None and counts is not None and len(values) == len(counts):
            self.values, self.counts = values, counts


def scalar(kind: object = None, data: object = None) -> bool | float | Dropped:
    """Stand in for NumPy's rebuilder of a single number; returns a Python number."""
    values = _read(kind, data) if isinstance(kind, NumberKind) else None
    return values[0] if values is not None and len(values) == 1 else Dropped()


def _read(kind: NumberKind, data: object) -> tuple | None:
    name = vars(kind).get('name')
    if name is None or not isinstance(data, bytes) or len(data) % int(name[1]):
        return None
    return struct.unpack(f'<{len(data) // int(name[1])}{KINDS[name]}', data)
