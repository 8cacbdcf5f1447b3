"""The hot operators: plain functions, each with the published formulation as its `_reference`."""

import contextlib
from collections.abc import Callable, Iterator

_default = 'auto'


@contextlib.contextmanager
def default_backend(name: str) -> Iterator[None]:
    """Run every operator called with `backend='auto'` by backend `name` inside the `with` block.

    Args:
        name: 'reference' runs whole backbones as published; 'auto' changes nothing.
    """
    global _default
    before, _default = _default, name
    try:
        yield
    finally:
        _default = before


def pick(backend: str, candidates: dict[str, Callable], auto: str) -> Callable:
    """Choose an operator's implementation.

    Args:
        backend: 'auto' or a name in `candidates`.
        candidates: implementations by name, 'reference' among them.
        auto: the name that 'auto' stands for, here and now.

    Raises:
        ValueError: an unknown backend.
    """
    name = _default if backend == 'auto' else backend
    name = auto if name == 'auto' else name
    if name not in candidates:
        raise ValueError(f'backend is {name!r}; allowed: auto, {", ".join(candidates)}')
    return candidates[name]
