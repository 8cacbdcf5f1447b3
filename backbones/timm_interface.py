"""What timm needs to know about a model: its levels' widths and strides, its parameters' depths."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from backbones.errors import UserError

STRIDES = (4, 8, 16, 32)
SCALES = ('layer_scale', 'sigma_scale')


def levels_of(given: int | Sequence[int]) -> tuple[int, ...]:
    """Resolve `out_indices` to increasing levels from 0 to 3.

    Raises:
        UserError: a level does not exist, is repeated, or is out of order.
    """
    indices = (given,) if isinstance(given, int) else tuple(given)
    allowed = range(-4, 4)
    levels = tuple(i % 4 for i in indices if isinstance(i, int) and i in allowed)
    if not levels or len(levels) < len(indices) or sorted(set(levels)) != list(levels):
        raise UserError(
            f'out_indices is {given}; allowed: levels from 0, 1, 2, 3 in increasing order, or -1 '
            'for the last'
        )
    return levels


class FeatureInfo(list):
    """One dict per built stage: `num_chs`, `reduction`, `module` and `index`.

    timm's feature extractors accept it like timm's own class of this name, which cannot be imported
    without all of timm's models.

    Args:
        stages: `num_chs` (channels), `reduction` (stride, in input pixels) and `module` (name).
        out_indices: the stages that the methods report on by default.
    """

    def __init__(self, stages: list[dict], out_indices: Sequence[int]) -> None:
        super().__init__(dict(stage, index=i) for i, stage in enumerate(stages))
        self.out_indices = tuple(out_indices)

    @property
    def info(self) -> list[dict]:
        """Return all stages."""
        return self

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> object:
        """Return the values of `key` for the emitted levels, or for any stages by number."""
        if isinstance(idx, int):
            return self[idx][key]
        return [self[i][key] for i in (self.out_indices if idx is None else idx)]

    def get_dicts(
        self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None
    ) -> object:
        """Return several entries at once, all if `keys` is None. See `get`."""
        if isinstance(idx, int):
            return {k: v for k, v in self[idx].items() if keys is None or k in keys}
        wanted = self.out_indices if idx is None else idx
        return [self.get_dicts(keys, i) for i in wanted]

    def channels(self, idx: int | Sequence[int] | None = None) -> object:
        """Return widths, in channels. See `get`."""
        return self.get('num_chs', idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> object:
        """Return strides, in input pixels. See `get`."""
        return self.get('reduction', idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> object:
        """Return the modules' names. See `get`."""
        return self.get('module', idx)


class ForTimm(nn.Module):
    """The part of a `Pyramid` that timm's tools call, under timm's names."""

    arch: dict
    stages: nn.Sequential
    num_stages: int
    frozen_stages: int
    out_indices: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    with_cp: bool

    def set_levels(self, out_indices: Sequence[int]) -> None:
        """Set which levels are emitted, and everything that depends on it."""
        self.out_indices, self.num_stages = tuple(out_indices), out_indices[-1] + 1
        self.channels = tuple(self.arch['dims'][i] for i in out_indices)
        self.strides = tuple(STRIDES[i] for i in out_indices)

    def with_levels(self, out_indices: Sequence[int]) -> nn.Module:
        """Build the same backbone with other levels and random weights."""
        raise NotImplementedError

    @property
    def feature_info(self) -> FeatureInfo:
        """Return channels and strides in the form that timm's feature extractors expect."""
        info = [
            dict(num_chs=self.arch['dims'][i], reduction=STRIDES[i], module=f'stages.{i}')
            for i in range(self.num_stages)
        ]
        return FeatureInfo(info, self.out_indices)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = True,
        stop_early: bool = True,
        output_fmt: str = 'NCHW',
        intermediates_only: bool = True,
    ) -> list[Tensor]:
        """Compute levels as timm's `FeatureGetterNet` requests them.

        Args:
            x: (B, in_channels, H, W) images.
            indices: numbers of the built levels; n means the last n, None all of them.
            norm, stop_early: no effect, since levels have passed their output norms.
            output_fmt: 'NCHW'.
            intermediates_only: must be True, since there is nothing after the levels.

        Raises:
            UserError: another format, or something after the levels.
        """
        if output_fmt != 'NCHW' or not intermediates_only:
            raise UserError("only output_fmt='NCHW' and intermediates_only=True are supported")
        levels = dict(zip(self.out_indices, self.forward(x)))
        return [levels[i] for i in self._take(indices)]

    def prune_intermediate_layers(
        self,
        indices: int | Sequence[int] = 1,
        prune_norm: bool = False,
        prune_head: bool = True,
    ) -> list[int]:
        """Remove what the levels do not need, in place; return their numbers.

        Args:
            indices: see `forward_intermediates`.
            prune_norm, prune_head: no effect, since levels need their norms and there is no head.
        """
        taken = self._take(indices)
        with torch.device('meta'):
            needed = {n for n, _ in self.with_levels(taken).named_modules()}
        for name, _ in [*self.named_modules()]:
            parent, _, own = name.rpartition('.')
            if name not in needed and (parent in needed or not parent):
                delattr(self.get_submodule(parent), own)
        self.set_levels(taken)
        self.frozen_stages = min(self.frozen_stages, self.num_stages)
        return taken

    def _take(self, indices: int | Sequence[int] | None) -> list[int]:
        """Resolve numbers of levels, in order."""
        if indices is None:
            return list(self.out_indices)
        if isinstance(indices, int):
            return list(self.out_indices[-indices:])
        taken = sorted({i % self.num_stages if -self.num_stages <= i < 0 else i for i in indices})
        if not {*taken} <= {*self.out_indices}:
            raise UserError(f'indices are {list(indices)}; allowed: {list(self.out_indices)}')
        return taken

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks in the backward pass, or store their activations (timm's name)."""
        self.with_cp = enable
        for stage in self.stages:
            stage.with_cp = enable

    def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
        """Return a function from a parameter's name to its layer, for timm's layer decay.

        Args:
            coarse: group by stage instead of by block; see `get_layer_depth`.
        """

        def layer(name: str) -> int:
            parts = name.split('.')
            if not coarse:
                return self.get_layer_depth(name)[0]
            if parts[0] == 'stages':
                return 1 + int(parts[1])
            return 0 if parts[0] == 'stem' else self.num_stages + 1

        return layer

    def no_weight_decay(self) -> set[str]:
        """Return names of parameters without weight decay, in addition to norms and biases.

        They are layer scales and position tables; timm calls this method.
        """
        names = (name for name, _ in self.named_parameters())
        return {n for n in names if n.rsplit('.', 1)[-1].startswith(('pos_embed', *SCALES))}

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Return a parameter's layer, for layer-wise learning rate decay.

        The stem is layer 0, and each block is one layer. Downsampling belongs to the block after
        it, and everything after the blocks, or outside the backbone, to the last layer.

        Args:
            name: the parameter's name.
            prefix: prefix of the backbone's names, such as 'backbone.'.

        Returns:
            The layer, from 0, and the number of layers.
        """
        blocks = [len(stage.blocks) for stage in self.stages]
        layers = sum(blocks) + 2
        if not name.startswith(prefix):
            return layers - 1, layers
        parts = name[len(prefix) :].split('.')
        if parts[0] == 'stem':
            return 0, layers
        if parts[0] != 'stages':
            return layers - 1, layers
        within = int(parts[3]) if parts[2] == 'blocks' else 0
        return 1 + sum(blocks[: int(parts[1])]) + within, layers
