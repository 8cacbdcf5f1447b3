"""The contract that every backbone keeps: one class, four levels, strict loading."""

import contextlib
import difflib
from collections.abc import Callable, Iterator

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from backbones.checkpoints import PublishedKeys, load_backbone
from backbones.layers import drop_path_schedule, nchw, nhwc
from backbones.ops.pointwise import to_fast_layout

STRIDES = (4, 8, 16, 32)
MIN_SIZE = 32


class Stage(nn.Module):
    """What leads into a level (`downsample`, the identity for the first) and its `blocks`."""

    def __init__(self, downsample: nn.Module, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)


class Pyramid(BaseModule):
    """Base of the backbones: emits feature maps at strides 4, 8, 16 and 32.

    A subclass fills `ARCHS` and `PUBLISHED`, and adds its modules in `build`.

    Args:
        arch: a name in `ARCHS`, or a dict with the same keys as its entries.
        drop_path_rate: probability of dropping the last block's branches; it rises linearly from 0.
        out_indices: levels to emit, rising, out of 0..3; stages above the last are not built.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages with their
            output norms: no gradient, and eval mode also during training.
        norm_eval: keep all BatchNorm layers in eval mode during training.
        with_cp: recompute the blocks in the backward pass instead of storing their activations.
        init_cfg: None, or `dict(type='Pretrained', checkpoint=PATH_OR_URL)`.

    Attributes:
        channels, strides: of the emitted levels, in order; strides in input pixels.
        loaded: what the weights are, in words.

    Raises:
        ValueError: an argument outside its allowed set.
    """

    ARCHS: dict[str, dict] = {}
    PUBLISHED: PublishedKeys
    NORM_NAMES = ('norm0', 'norm1', 'norm2', 'norm3')
    CHANNELS_LAST = True  # blocks work on (B, H, W, C)

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.0,
        out_indices: tuple[int, ...] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.arch = self.resolve(arch)
        self.out_indices = tuple(out_indices)
        if not self.out_indices or self.out_indices != tuple(
            sorted(set(self.out_indices) & set(range(4)))
        ):
            raise ValueError(
                f'out_indices is {out_indices}; allowed: rising levels out of 0, 1, 2, 3'
            )
        self.depth = self.out_indices[-1] + 1  # stages that are built
        if frozen_stages not in range(-1, self.depth + 1):
            raise ValueError(
                f'frozen_stages is {frozen_stages}; allowed: -1 (none) to {self.depth}'
            )
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp
        self.channels = tuple(self.arch['dims'][i] for i in self.out_indices)
        self.strides = tuple(STRIDES[i] for i in self.out_indices)
        self.loaded = 'from scratch'
        self.build(drop_path_schedule(drop_path_rate, self.arch['depths']))
        self._freeze()

    def build(self, rates: list[list[float]]) -> None:
        """Add `stem`, `stages` and the output norms.

        Only the `self.depth` stages that `out_indices` asks for: no parameter may be without a
        gradient.

        Args:
            rates: probability of dropping a block's branches, by stage and block.
        """
        raise NotImplementedError

    @classmethod
    def resolve(cls, arch: str | dict) -> dict:
        """Look `arch` up in the class table, or check that a dict has exactly the table's keys."""
        keys = set(next(iter(cls.ARCHS.values())))
        if isinstance(arch, dict):
            if set(arch) != keys:
                raise ValueError(
                    f'{cls.__name__} arch dict has the keys {sorted(arch)}; it needs '
                    f'exactly {sorted(keys)}'
                )
            return dict(arch)
        if arch not in cls.ARCHS:
            close = difflib.get_close_matches(str(arch), cls.ARCHS, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise ValueError(
                f'{cls.__name__} has no arch {arch!r}; allowed: {", ".join(cls.ARCHS)}, '
                f'or a dict with the keys {sorted(keys)}{hint}'
            )
        return dict(cls.ARCHS[arch])

    def add_norms(self, norm: Callable[[int], nn.Module]) -> None:
        """Give each emitted level its output norm, built by `norm(channels)`."""
        for i, dim in zip(self.out_indices, self.channels):
            self.add_module(self.NORM_NAMES[i], norm(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            x: (B, 3, H, W) normalised images, H and W at least 32 pixels.

        Returns:
            A (B, channels[i], H_i, W_i) map per level of `out_indices`, H_i = ceil(H / strides[i]).

        Raises:
            ValueError: the input has another shape or is smaller than 32 pixels.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(
                f'input has shape {tuple(x.shape)}; {type(self).__name__} takes (B, 3, H, W)'
            )
        if min(x.shape[-2:]) < MIN_SIZE:
            raise ValueError(
                f'image is {x.shape[-2]} x {x.shape[-1]} pixels; {type(self).__name__} needs '
                f'at least {MIN_SIZE} x {MIN_SIZE}: resize or pad it'
            )
        return self.forward_levels(to_fast_layout(x))

    def forward_levels(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run stem and stages and collect the emitted levels. `x` is a checked image."""
        x, levels = self.stem(x), []
        for i in range(self.depth):
            x = self.forward_stage(i, x)
            if i in self.out_indices:
                levels.append(self.get_submodule(self.NORM_NAMES[i])(x))
        return tuple(levels)

    def forward_stage(self, i: int, x: Tensor) -> Tensor:
        """Run the downsampling and the blocks of stage i, (B, C, H, W) -> (B, C_i, H_i, W_i)."""
        x = self.stages[i].downsample(x)
        return nchw(self.run(i, nhwc(x))) if self.CHANNELS_LAST else self.run(i, x)

    def run(self, i: int, x: Tensor) -> Tensor:
        """Run the blocks of stage i, one checkpoint a block if `with_cp`."""
        for block in self.stages[i].blocks:
            x = _recomputed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
        return x

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Tell how deep a parameter lies, for learning rates that fall with depth.

        The stem is layer 0, each block one layer, a downsampling belongs to the block that it
        leads to, and all that follows the blocks (or is not of the backbone) to the last layer.

        Args:
            name: of a parameter.
            prefix: what comes before the backbone's own names, e.g. 'backbone.'.

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

    def frozen_modules(self) -> Iterator[nn.Module]:
        """The modules that `frozen_stages` freezes."""
        if self.frozen_stages >= 0:
            yield self.stem
        for i in range(self.frozen_stages):
            yield self.stages[i]
            if i in self.out_indices:
                yield self.get_submodule(self.NORM_NAMES[i])

    def _freeze(self) -> None:
        """Stop the gradients of the frozen modules."""
        for module in self.frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'Pyramid':
        super().train(mode)
        for module in self.frozen_modules():
            module.eval()
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Initialise from scratch as published, or load `init_cfg`'s checkpoint, strictly.

        Raises:
            FileNotFoundError, ValueError: see `backbones.checkpoints.load_backbone`.
        """
        pretrained = (self.init_cfg or {}).get('type') == 'Pretrained'
        if self.init_cfg and not pretrained:
            raise ValueError(
                f'init_cfg is {self.init_cfg}; allowed: None (the published initialisation) or '
                "dict(type='Pretrained', checkpoint=PATH_OR_URL)"
            )
        self.init_from_scratch()
        if pretrained:
            load_backbone(self, **{k: v for k, v in self.init_cfg.items() if k != 'type'})
        self._is_init = True

    def init_from_scratch(self) -> None:
        """Draw the parameters whose published initialisation differs from PyTorch's default."""
        raise NotImplementedError


def _recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block without storing its activations."""
    contexts = (contextlib.nullcontext(), _keep_bn_statistics(block))
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: contexts)


@contextlib.contextmanager
def _keep_bn_statistics(block: nn.Module) -> Iterator[None]:
    """Leave running statistics alone while a checkpointed block is computed for the second time."""
    norms = [
        (m, m.momentum, m.num_batches_tracked)
        for m in block.modules()
        if isinstance(m, _BatchNorm) and m.training and m.track_running_stats
    ]
    for m, _, count in norms:
        m.momentum, m.num_batches_tracked = 0.0, count.clone()
    try:
        yield
    finally:
        for m, momentum, count in norms:
            m.momentum, m.num_batches_tracked = momentum, count
