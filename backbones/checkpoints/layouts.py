"""Published key layouts as data."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor


def fit(name: str, tensor: Tensor, target: Tensor) -> Tensor | None:
    """Reshape `tensor` like `target` if they differ only in a kernel's 1x1 axes; else None."""
    if tensor.shape == target.shape:
        return tensor
    kernel, matrix = sorted((tensor.shape, target.shape), key=len, reverse=True)
    return tensor.reshape(target.shape) if kernel == (*matrix, 1, 1) else None


@dataclass(frozen=True)
class PublishedKeys:
    """How a published state dict maps to ours.

    Args:
        renames: (regular expression, replacement) pairs, applied in order to each published key.
        dropped: regular expressions of published keys that a dense model does not have.
        added: regular expressions of our keys that no published classification file has; they keep
            their initial values.
        dense: regular expression of keys that only published dense files have, or ''; in a file
            with such keys, `added` does not excuse a missing key.
        wrappers: entries of the file that may hold the state dict, best first: averaged weights
            come first if the authors report their accuracy.
        fit: maps (our name, tensor, target) to a tensor of the target's shape; None if impossible.
    """

    renames: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = (r'head\.',)
    added: tuple[str, ...] = ()
    dense: str = ''
    wrappers: tuple[str, ...] = ('state_dict', 'model')
    fit: Callable[[str, Tensor, Tensor], Tensor | None] = fit

    def rename(self, key: str) -> str:
        """Return our name for a published key."""
        for pattern, replacement in self.renames:
            key = re.sub(pattern, replacement, key)
        return key

    def drops(self, key: str) -> bool:
        """Return whether a dense model does not have a published key."""
        return any(re.match(pattern, key) for pattern in self.dropped)

    def adds(self, name: str) -> bool:
        """Return whether no published classification file has our key `name`."""
        return any(re.match(pattern, name) for pattern in self.added)

    def is_dense(self, keys: Iterable[str]) -> bool:
        """Return whether published keys are those of a dense file."""
        return bool(self.dense) and any(re.match(self.dense, key) for key in keys)
