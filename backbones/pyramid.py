"""The contract that every backbone keeps: one class, four levels, strict loading."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from backbones.checkpoints import Loaded, PublishedKeys, load_backbone
from backbones.errors import UserError, did_you_mean
from backbones.feature_info import FeatureInfo
from backbones.layers import drop_path_schedule, nchw, nhwc
from backbones.ops import to_fast_layout
from backbones.recompute import BATCH_NORMS, recomputed
from backbones.variants import Variant

STRIDES = (4, 8, 16, 32)
MIN_SIZE = 32


class Stage(nn.Module):
    """What leads into a level (`downsample`, the identity for the first) and its `blocks`."""

    def __init__(self, downsample: nn.Module, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)


class Pyramid(nn.Module):
    """Base of the backbones: emits feature maps at strides 4, 8, 16 and 32.

    A subclass fills the class attributes and says in `build_stem`, `build_stage` and `build_norm`
    what its parts are. It changes how levels come about by overriding `forward_stage` and
    `forward_level`, not by a loop of its own.

    Args:
        arch: a name in `ARCHS`, or a dict with the same keys as its entries.
        drop_path_rate: probability of dropping the last block's branches; it rises linearly from 0.
            See `drop_path_schedule`.
        out_indices: levels to emit, rising, out of 0..3; stages above the last are not built.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages with their
            output norms: no gradient, and eval mode also during training.
        norm_eval: keep all BatchNorm layers in eval mode during training.
        with_cp: recompute the blocks in the backward pass instead of storing their activations.
        init_cfg: None, or `dict(type='Pretrained', checkpoint=...)` with a path, a URL or
            `hf-hub:OWNER/REPO`; also `key` and `prefix` of `load_backbone`, and `map_location`,
            which changes nothing: files are read into main memory, parameters stay where they are.

    Attributes:
        channels, strides: of the emitted levels, in order; strides in input pixels.
        num_stages: how many stages are built.
        is_init: whether `init_weights` ran; MMEngine's models do not call it again then.
        loaded: what was loaded, None from scratch.

    Class attributes:
        ARCHS: the variants, name -> `Variant` or a dict of the architecture (`dims` and `depths` by
            stage, and what else the class needs).
        NANO: an architecture with every kind of block that trains on a CPU in minutes.
        PUBLISHED: the layout of published files.
        WEIGHTS: where ImageNet weights are that no row's `weights` names, in words.
        NORM_NAMES: of the output norms, as in published dense code.
        BLOCK_AXES: order of the axes of the maps that blocks take, 'BHWC' or 'BCHW'.

    Raises:
        UserError: an argument outside its allowed set.
    """

    ARCHS: dict[str, Variant] = {}
    NANO: dict[str, object] = {}
    PUBLISHED: PublishedKeys
    WEIGHTS = 'none were published'
    NORM_NAMES = ('norm0', 'norm1', 'norm2', 'norm3')
    BLOCK_AXES = 'BHWC'

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
        super().__init__()
        self.init_cfg, self.is_init = copy.deepcopy(init_cfg), False
        self.arch = self.resolve(arch)
        self.out_indices = tuple(out_indices)
        self.frozen_stages, self.norm_eval, self.with_cp = frozen_stages, norm_eval, with_cp
        self._check_levels()
        self.num_stages = self.out_indices[-1] + 1
        self.channels = tuple(self.arch['dims'][i] for i in self.out_indices)
        self.strides = tuple(STRIDES[i] for i in self.out_indices)
        self.loaded: Loaded | None = None

        drop_path = drop_path_schedule(drop_path_rate, self.arch['depths'])
        self.stem = self.build_stem()
        # no stage that no level needs: each parameter must get a gradient
        self.stages = nn.ModuleList(self.build_stage(i, drop_path) for i in range(self.num_stages))
        self.build_levels()
        self._freeze()

    def _check_levels(self) -> None:
        """Check `out_indices` and `frozen_stages`.

        Raises:
            UserError: see there.
        """
        levels = tuple(sorted(set(self.out_indices) & set(range(4))))
        if not levels or self.out_indices != levels:
            raise UserError(
                f'out_indices is {self.out_indices}; allowed: rising levels out of 0, 1, 2, 3'
            )
        if self.frozen_stages not in range(-1, levels[-1] + 2):
            raise UserError(
                f'frozen_stages is {self.frozen_stages}; allowed: -1 (none) to {levels[-1] + 1}'
            )

    def build_stem(self) -> nn.Module:
        """Build what turns images into the first stage's map."""
        raise NotImplementedError

    def build_stage(self, i: int, drop_path: list[list[float]]) -> Stage:
        """Build stage i.

        Args:
            i: 0 to 3.
            drop_path: probability of dropping a block's branches, by stage and block.
        """
        raise NotImplementedError

    def build_norm(self, dim: int) -> nn.Module:
        """Build the norm of an output level with `dim` channels."""
        raise NotImplementedError

    def build_levels(self) -> None:
        """Add what each emitted level passes after its stage: its output norm."""
        for i, dim in zip(self.out_indices, self.channels):
            self.add_module(self.NORM_NAMES[i], self.build_norm(dim))

    @classmethod
    def resolve(cls, arch: str | dict) -> dict:
        """Look `arch` up in the class table, or check that a dict has exactly the table's keys."""
        keys = set(next(iter(cls.ARCHS.values())))
        if isinstance(arch, dict):
            if set(arch) != keys:
                raise UserError(
                    f'{cls.__name__} arch dict has the keys {sorted(arch)}; it needs '
                    f'exactly {sorted(keys)}'
                )
            return dict(arch)
        if arch not in cls.ARCHS:
            raise UserError(
                f'{cls.__name__} has no arch {arch!r}; allowed: {", ".join(cls.ARCHS)}, '
                f'or a dict with the keys {sorted(keys)}{did_you_mean(arch, cls.ARCHS)}'
            )
        return dict(cls.ARCHS[arch])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            x: (B, 3, H, W) normalised images, H and W at least 32 pixels.

        Returns:
            A (B, channels[i], H_i, W_i) map per level of `out_indices`, H_i = ceil(H / strides[i]).

        Raises:
            UserError: the input has another shape or is smaller than 32 pixels.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise UserError(
                f'input has shape {tuple(x.shape)}; {type(self).__name__} takes (B, 3, H, W)'
            )
        if min(x.shape[-2:]) < MIN_SIZE:
            raise UserError(
                f'image is {x.shape[-2]} x {x.shape[-1]} pixels; {type(self).__name__} needs '
                f'at least {MIN_SIZE} x {MIN_SIZE}: resize or pad it'
            )
        x, levels = self.stem(to_fast_layout(x)), []
        for i in range(self.num_stages):
            x = self.forward_stage(i, x)
            if i in self.out_indices:
                levels.append(self.forward_level(i, x))
        return tuple(levels)

    def forward_stage(self, i: int, x: Tensor) -> Tensor:
        """Run the downsampling and the blocks of stage i, (B, C, H, W) -> (B, C_i, H_i, W_i)."""
        last = self.BLOCK_AXES == 'BHWC'
        x = self.stages[i].downsample(x)
        x = nhwc(x) if last else x
        for block in self.stages[i].blocks:
            x = recomputed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
        return nchw(x) if last else x

    def forward_level(self, i: int, x: Tensor) -> Tensor:
        """Turn the output of stage i into level i: its output norm."""
        return self.get_submodule(self.NORM_NAMES[i])(x)

    @property
    def feature_info(self) -> FeatureInfo:
        """Channels and strides as timm's feature extractors tell them."""
        info = [
            dict(num_chs=self.arch['dims'][i], reduction=STRIDES[i], module=f'stages.{i}')
            for i in range(self.num_stages)
        ]
        return FeatureInfo(info, self.out_indices)

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
                if isinstance(module, BATCH_NORMS):
                    module.eval()
        return self

    def init_weights(self) -> None:
        """Initialise from scratch as published, or load `init_cfg`'s checkpoint, strictly.

        Raises:
            UserError: see `backbones.checkpoints.load_backbone`.
        """
        pretrained = (self.init_cfg or {}).get('type') == 'Pretrained'
        if self.init_cfg and not pretrained:
            raise UserError(
                f'init_cfg is {self.init_cfg}; allowed: None (the published initialisation) or '
                "dict(type='Pretrained', checkpoint=PATH_OR_URL)"
            )
        self.init_from_scratch()
        if pretrained:
            load_backbone(self, **self._pretrained_settings())
        self.is_init = True

    def _pretrained_settings(self) -> dict:
        """The arguments of `load_backbone` in `init_cfg`.

        Raises:
            UserError: a key that it does not know, or no checkpoint.
        """
        init_cfg = self.init_cfg or {}
        given = {k: v for k, v in init_cfg.items() if k not in ('type', 'map_location')}
        unknown = set(given) - {'checkpoint', 'key', 'prefix'}
        if unknown or not given.get('checkpoint'):
            raise UserError(
                f'init_cfg has the keys {", ".join(init_cfg)}; it needs checkpoint, and may '
                'have key (an entry of the file), prefix and map_location (without effect)'
            )
        return given

    def init_from_scratch(self) -> None:
        """Draw the parameters whose published initialisation differs from PyTorch's default."""
        raise NotImplementedError
