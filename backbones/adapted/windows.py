"""Attention within windows for plain transformers, which makes large images affordable."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones.errors import UserError, first_line

GLOBAL = 4  # number of evenly spaced blocks that see the whole image (ViTDet, Sec. 3)
# what a block may take besides tokens: rotations, which are cut, too; a mask, which must be None
ROTATIONS = {'rope', 'position_embeddings'}
MASKS = {'attn_mask', 'attention_mask'}
KNOWN = {*ROTATIONS, *MASKS, 'is_causal', 'kwargs'}


class Windows:
    """Confine the attention of most blocks of a plain transformer to windows.

    Hooks cut the tokens into windows before a block and join them after it, so the library's blocks
    are used unchanged. Class and register tokens go into every window, and their mean comes out.
    Rotary positions depend only on distances, so all windows use those of the first. Models with
    positions relative to the whole image are refused.

    Args:
        name: the model's name, for messages.
        blocks: all of its blocks.
        side: side of a window, in patches.
        prefix: number of class and register tokens, which come first.

    Attributes:
        size: height and width of the map in patches, multiples of `side`; set before each image.

    Raises:
        UserError: a block cannot be computed in windows.

    Source: ViTDet (arXiv:2203.16527), Sec. 3; the treatment of class tokens is ours.
    """

    def __init__(self, name: str, blocks: Sequence[nn.Module], side: int, prefix: int) -> None:
        if not (isinstance(side, int) and side > 0):
            raise UserError(f'window is {side!r}; allowed: None, 1, 2, 3, ... patches')
        if len(blocks) <= GLOBAL:
            raise UserError(f'window needs more than {GLOBAL} blocks; {name} has {len(blocks)}')
        self.side, self.prefix, self.size = side, prefix, (side, side)
        seeing = {len(blocks) * (i + 1) // GLOBAL - 1 for i in range(GLOBAL)}
        self.windowed = [block for i, block in enumerate(blocks) if i not in seeing]
        for block in self.windowed:
            self._check(name, block)
            block.register_forward_pre_hook(self.cut, with_kwargs=True)
            block.register_forward_hook(self.join)

    def _check(self, name: str, block: nn.Module) -> None:
        """Check that a block takes only tokens, and any number of them."""
        _, *more = inspect.signature(block.forward).parameters
        why = f'its blocks take {", ".join(more)}' if set(more) - KNOWN else ''
        if not why and not ROTATIONS & set(more):
            tokens = next(block.parameters()).new_zeros(1, self.prefix + 7, _width(block))
            try:
                with torch.no_grad():
                    block(tokens)
            except (AssertionError, RuntimeError, ValueError) as error:
                why = first_line(error)
        if why:
            raise UserError(f'window: {name} cannot be computed in windows, because {why}')

    def cut(self, block: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict]:
        """Cut the tokens of images into windows."""
        x, *more = args
        if any(kwargs.get(key) is not None for key in MASKS):
            raise UserError('window: attention cannot be masked and confined to windows')
        kwargs = {k: self._first(v) if v is not None else v for k, v in kwargs.items()}
        return (self._cut(x), *map(self._first, more)), kwargs

    def join(self, block: nn.Module, args: tuple, out: Any) -> Any:
        """Join the tokens of windows into images."""
        return (self._join(out[0]), *out[1:]) if isinstance(out, tuple) else self._join(out)

    def _cut(self, x: Tensor) -> Tensor:
        B, _, C = x.shape
        rows, columns = (n // self.side for n in self.size)
        first, rest = x[:, : self.prefix], x[:, self.prefix :]
        rest = rest.reshape(B, rows, self.side, columns, self.side, C).transpose(2, 3)
        rest = rest.reshape(B * rows * columns, self.side**2, C)
        return torch.cat([first.repeat_interleave(rows * columns, 0), rest], 1)

    def _join(self, x: Tensor) -> Tensor:
        rows, columns = (n // self.side for n in self.size)
        first, rest = x[:, : self.prefix], x[:, self.prefix :]
        first = first.unflatten(0, (-1, rows * columns)).mean(1)
        rest = rest.reshape(len(first), rows, columns, self.side, self.side, -1).transpose(2, 3)
        return torch.cat([first, rest.reshape(len(first), -1, x.shape[-1])], 1)

    def _first(self, rotations: Any) -> Any:
        """Return the first window's rotations from tensors (..., tokens, channels)."""
        if isinstance(rotations, tuple):
            return tuple(map(self._first, rotations))
        if not isinstance(rotations, Tensor):
            return rotations
        height, width = self.size
        extra = rotations.shape[-2] - height * width  # class tokens that are not rotated
        first, rest = rotations[..., :extra, :], rotations[..., extra:, :]
        rest = rest.unflatten(-2, (height, width))[..., : self.side, : self.side, :]
        return torch.cat([first, rest.flatten(-3, -2)], -2)


def _width(block: nn.Module) -> int:
    """Return the channels of a block's tokens."""
    return next(m.normalized_shape[0] for m in block.modules() if hasattr(m, 'normalized_shape'))
