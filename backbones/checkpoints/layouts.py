"""What a published key layout is, as data."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor


def fit(name: str, tensor: Tensor, target: Tensor) -> Tensor | None:
    """`tensor` in the shape of `target` if only the ones of a 1x1 kernel differ, else None."""
    if tensor.shape == target.shape:
        return tensor
    kernel, matrix = sorted((tensor.shape, target.shape), key=len, reverse=True)
    return tensor.reshape(target.shape) if kernel == (*matrix, 1, 1) else None


@dataclass(frozen=True)
class PublishedKeys:
    """How a published state dict maps to ours.

    Args:
        renames: (regular expression, replacement) pairs, applied in order to each published key.
        dropped: regular expressions of published keys without a place in a dense model.
        added: regular expressions of our keys that no published classification file has; they keep
            their initial values.
        dense: regular expression of the keys that only a published dense file has, '' if there
            are no such files; next to them `added` does not excuse a missing key.
        wrappers: entries of the file under which the state dict may lie, best first: averaged
            weights come first where the authors report their accuracy.
        fit: brings (our name, tensor, target) to the target's shape, None if that is not defined.
    """

    renames: tuple[tuple[str, str], ...]
    dropped: tuple[str, ...] = (r'head\.',)
    added: tuple[str, ...] = ()
    dense: str = ''
    wrappers: tuple[str, ...] = ('state_dict', 'model')
    fit: Callable[[str, Tensor, Tensor], Tensor | None] = fit

    def rename(self, key: str) -> str:
        """Our name of a published key."""
        for pattern, replacement in self.renames:
            key = re.sub(pattern, replacement, key)
        return key

    def drops(self, key: str) -> bool:
        """Whether a published key has no place in a dense model."""
        return any(re.match(pattern, key) for pattern in self.dropped)

    def adds(self, name: str) -> bool:
        """Whether no published classification file has our key `name`."""
        return any(re.match(pattern, name) for pattern in self.added)

    def is_dense(self, keys: Iterable[str]) -> bool:
        """Whether published keys are those of a dense file."""
        return bool(self.dense) and any(re.match(self.dense, key) for key in keys)
