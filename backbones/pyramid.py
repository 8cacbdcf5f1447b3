"""The contract of every backbone: one class, four levels, strict loading."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones.checkpoints import Loaded, PublishedKeys, load_backbone
from backbones.errors import UserError, did_you_mean
from backbones.layers import drop_path_schedule
from backbones.ops import dispatch
from backbones.ops.dispatch import like, to_fast_layout
from backbones.stage import BATCH_NORMS, Stage
from backbones.timm_interface import STRIDES, ForTimm, levels_of

for name in ('like', 'to_fast_layout'):
    torch.fx.wrap(name)  # torch.fx need not trace into them
MIN_SIZE = 32  # pixels; of an image's sides


class Pyramid(ForTimm):
    """Base class of the backbones, which emit feature maps at strides 4, 8, 16 and 32.

    A subclass sets the class attributes, builds its parts in `build_stem`, `build_stage` and
    `build_norm`, and draws their initial values in `init_from_scratch`. To change how levels are
    computed, override `forward_stage` and `forward_level`. It must be possible to build the class
    on the meta device, so its constructor must not read values of tensors.

    Args:
        arch: a name in `ARCHS`, or a dict with the same keys as its entries.
        drop_path_rate: probability of dropping the last block's branches; it rises linearly from 0.
        in_channels: number of channels of the images.
        out_indices: levels to emit, increasing, from 0 to 3; stages after the last one are not
            built. -1 means 3, as in lists, and a single number means one level.
        frozen_stages: -1 freezes nothing, 0 the stem, n the stem and the first n stages with their
            output norms: they get no gradient and stay in eval mode during training.
        norm_eval: keep all BatchNorm layers in eval mode during training.
        with_cp: recompute the blocks in the backward pass instead of storing their activations.
        fast: use fast forms where nobody could notice the difference.
        prefer: 'time', or 'memory' to train on GPUs with the forms that keep the least memory.
        init_cfg: None, or `dict(type='Pretrained', checkpoint=...)` with a path, a URL or
            `hf-hub:OWNER/REPO`. `key` names one of several sets of weights in the file, such as
            'model_ema', and `prefix` the backbone in a whole model, such as 'backbone'.
            `map_location` is accepted and has no effect: files are read into main memory, and
            parameters stay on their device.

    Attributes:
        channels: channels of the emitted levels, in order.
        strides: strides of the emitted levels, in order, in input pixels.
        num_stages: number of stages that are built.
        is_init: whether `init_weights` has run; if so, MMEngine's models do not call it again.
        loaded: what was loaded; None if started from scratch.

    Class attributes:
        - `ARCHS`: the variants, name -> `Variant` or a dict of the architecture (`dims` and
          `depths` of the four stages, and whatever else the class needs).
        - `NANO`: an architecture with every kind of block, which trains on a CPU in minutes.
        - `PUBLISHED`: the layout of published files; by default, that of the class itself.
        - `WEIGHTS`: where to find ImageNet weights if a row names no `weights`, in words.
        - `NORM_NAMES`: names of the output norms, as in published dense code.

    Raises:
        UserError: an argument outside its allowed set.
    """

    ARCHS: Mapping[str, dict[str, Any]] = {}
    NANO: dict[str, object] = {}
    PUBLISHED = PublishedKeys(renames=())
    WEIGHTS = 'none were published'
    NORM_NAMES = ('norm0', 'norm1', 'norm2', 'norm3')

    def __new__(cls, *args: Any, **settings: Any) -> 'Pyramid':
        self = super().__new__(cls)
        self.arguments = args, settings  # also those of a subclass; see `with_levels`
        return self

    def __init__(
        self,
        arch: str | dict,
        *,
        drop_path_rate: float = 0.0,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        fast: bool = True,
        prefer: str = 'time',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        self.init_cfg, self.is_init = copy.deepcopy(init_cfg), False
        self.arch = self.resolve(arch)
        self.set_levels(levels_of(out_indices))
        self.in_channels, self.frozen_stages, self.norm_eval = in_channels, frozen_stages, norm_eval
        self.fast, self.prefer = fast, prefer
        self._check()
        self.loaded: Loaded | None = None

        drop_path = drop_path_schedule(drop_path_rate, self.arch['depths'])
        self.stem = self.build_stem()
        # only the stages that a level needs, because every parameter must get a gradient
        stages = (self.build_stage(i, drop_path) for i in range(self.num_stages))
        self.stages = nn.Sequential(*stages)  # timm's FeatureListNet expects one
        self.build_levels()
        self.set_grad_checkpointing(with_cp)
        self._freeze()
        self.built_on_meta = self._is_on_meta()

    def _check(self) -> None:
        """Check the numbers.

        Raises:
            UserError: one of them is outside its allowed set.
        """
        dispatch.check_preference(self.prefer)
        if not isinstance(self.in_channels, int) or self.in_channels < 1:
            raise UserError(f'in_channels is {self.in_channels!r}; allowed: 1, 2, 3, ...')
        last = self.out_indices[-1]
        if self.frozen_stages not in range(-1, last + 2):
            raise UserError(
                f'frozen_stages is {self.frozen_stages}; allowed: -1 (none) to {last + 1}'
            )

    def with_levels(self, out_indices: Sequence[int]) -> 'Pyramid':
        args, settings = self.arguments
        kept = {k: v for k, v in settings.items() if k not in ('frozen_stages', 'init_cfg')}
        return type(self)(*args, **{**kept, 'out_indices': out_indices})

    def build_stem(self) -> nn.Module:
        """Build the stem, which turns images into the first stage's map."""
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
        """Add the modules between a stage and its emitted level: the output norm."""
        for i, dim in zip(self.out_indices, self.channels):
            self.add_module(self.NORM_NAMES[i], self.build_norm(dim))

    @classmethod
    def resolve(cls, arch: str | dict) -> dict:
        """Look `arch` up in the class table, or check that a dict has exactly the table's keys."""
        keys = {key for row in cls.ARCHS.values() for key in row} or {'depths', 'dims'}
        if isinstance(arch, dict):
            if set(arch) != keys:
                raise UserError(
                    f'{cls.__name__} arch dict has the keys {sorted(arch)}; required are '
                    f'exactly {sorted(keys)}'
                )
        elif arch not in cls.ARCHS:
            raise UserError(
                f'{cls.__name__} has no arch {arch!r}; allowed: {", ".join(cls.ARCHS)}, '
                f'or a dict with the keys {sorted(keys)}{did_you_mean(arch, cls.ARCHS)}'
            )
        row = dict(arch if isinstance(arch, dict) else cls.ARCHS[arch])
        for key in ('dims', 'depths'):
            if len(row.get(key, ())) != len(STRIDES):
                raise UserError(
                    f'{cls.__name__} arch has {key} {row.get(key)}; required is a number for each '
                    f'of the {len(STRIDES)} stages'
                )
        return row

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid.

        Args:
            x: (B, in_channels, H, W) normalised images, H and W at least 32 pixels.

        Returns:
            A (B, channels[i], H_i, W_i) map per level of `out_indices`, H_i = ceil(H / strides[i]),
            in the memory layout of `x`.

        Raises:
            UserError: the input has another shape or is smaller than 32 pixels.
        """
        if not isinstance(x, torch.fx.Proxy):
            self._check_input(x)
        if (self.fast and self.prefer == 'time') or torch.compiler.is_compiling():
            return self.forward_levels(x)
        with dispatch.mode_of(self):
            return self.forward_levels(x)

    def forward_levels(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid of images that have been checked."""
        x, levels = self.stem(to_fast_layout(images)), []
        for i in range(self.num_stages):
            x = self.forward_stage(i, x)
            if i in self.out_indices:
                level = like(self.forward_level(i, x), images)
                # without an output norm, layers that work in place would change it
                levels.append(level.clone() if level is x else level)
        return tuple(levels)

    def _check_input(self, x: Tensor) -> None:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else f'{type(x).__module__}.{type(x).__name__}'
            raise UserError(
                f'input is of type {kind}; {type(self).__name__} expects a tensor of floats, '
                'normalised as in training'
            )
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise UserError(
                f'input has shape {tuple(x.shape)}; {type(self).__name__} expects '
                f'(B, {self.in_channels}, H, W)'
            )
        if min(x.shape[-2:]) < MIN_SIZE:
            raise UserError(
                f'image is {x.shape[-2]} x {x.shape[-1]} pixels; {type(self).__name__} needs '
                f'at least {MIN_SIZE} x {MIN_SIZE}: resize or pad it'
            )

    def forward_stage(self, i: int, x: Tensor) -> Tensor:
        """Run stage i, (B, C, H, W) -> (B, C_i, H_i, W_i)."""
        return self.stages[i](x)

    def forward_level(self, i: int, x: Tensor) -> Tensor:
        """Turn the output of stage i into level i by its output norm."""
        return getattr(self, self.NORM_NAMES[i])(x)

    def frozen_modules(self) -> Iterator[nn.Module]:
        """Yield the modules that `frozen_stages` freezes."""
        if self.frozen_stages >= 0:
            yield self.stem
        for i in range(self.frozen_stages):
            yield self.stages[i]
            if i in self.out_indices:
                yield getattr(self, self.NORM_NAMES[i])

    def _freeze(self) -> None:
        """Disable the gradients of the frozen modules."""
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
        """Initialise from scratch as published, or load `init_cfg`'s checkpoint strictly.

        On the meta device, nothing is done. A backbone that was built there gets all its values by
        a call after `to_empty`.

        Raises:
            UserError: the checkpoint cannot be read, or does not fit.
        """
        init_cfg = self.init_cfg
        pretrained = isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained'
        if init_cfg and not pretrained:
            raise UserError(
                f'init_cfg is {init_cfg}; allowed: None (the published initialisation) or '
                "dict(type='Pretrained', checkpoint=PATH_OR_URL)"
            )
        if self._is_on_meta():
            return
        if self.built_on_meta:
            for module in self.modules():
                if hasattr(module, 'reset_parameters'):
                    module.reset_parameters()
        self.init_from_scratch()
        if pretrained:
            load_backbone(self, **self._pretrained_settings())
        self.is_init = True

    def _is_on_meta(self) -> bool:
        return any(p.is_meta for p in self.parameters())

    def _pretrained_settings(self) -> dict:
        """Return the arguments of `load_backbone` in `init_cfg`.

        Raises:
            UserError: there is an unknown key, or no checkpoint.
        """
        init_cfg = self.init_cfg or {}
        given = {k: v for k, v in init_cfg.items() if k not in ('type', 'map_location')}
        unknown = set(given) - {'checkpoint', 'key', 'prefix'}
        if unknown or not given.get('checkpoint'):
            raise UserError(
                f'init_cfg has the keys {", ".join(init_cfg)}; checkpoint is required; key (an '
                'entry of the file), prefix and map_location (without effect) are optional'
            )
        return given

    def init_from_scratch(self) -> None:
        """Draw the parameters whose initialisation differs from PyTorch's default.

        These include all `nn.Parameter`s and buffers of your own modules: a backbone that was built
        on the meta device gets their values only here.
        """
        raise NotImplementedError
