"""A backbone around another library's model; it makes the levels that the model lacks."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.adapted.library_model import LibraryModel
from backbones.adapted.parts import make_level, probe
from backbones.adapted.weights import load_adapted
from backbones.adapted.windows import Windows
from backbones.errors import UserError, first_line
from backbones.ops.dispatch import like
from backbones.pyramid import MIN_SIZE
from backbones.stage import BATCH_NORMS
from backbones.timm_interface import STRIDES, levels_of

MULTIPLE = STRIDES[-1]  # images are padded to multiples of this, in pixels
TAPS = ('last', 'several')


class AdaptedPyramid(LibraryModel):
    """Another library's model, with feature maps at strides 4, 8, 16 and 32.

    If the model has a map at a level's stride, the level is exactly that map. Other levels
    are made from the nearest map, as in ViTDet's simple feature pyramid (arXiv:2203.16527, Sec. 3):
    by transposed convolutions or pooling, then a 1x1 and a 3x3 convolution, each with a layer norm.
    For plain transformers, all four levels are made, without class and register tokens. If patches
    do not have 16 pixels, images are scaled so that a patch covers 16.

    Images are padded at the right and the bottom to multiples of 32 pixels, and levels are cropped
    to ceil(H / stride) x ceil(W / stride) cells. Maps of other sizes, as some models with
    unpadded convolutions produce, are resampled to these. Parameters on which no level depends are
    frozen.

    Args:
        arch: the library's name for the model.
        drop_path_rate: None keeps the model's rate.
        in_channels: number of channels of the images.
        out_indices: see `Pyramid`.
        frozen_stages: -1 freezes nothing, n the first n + 1 groups of the model's layers (the stem
            is the first), and 'all' the whole model, whose activations are then not stored. The
            layers that make levels are never frozen.
        norm_eval: see `Pyramid`.
        with_cp: see `Pyramid`.
        taps: 'last' makes the levels of a plain transformer from its last map, 'several' from four
            equally spaced maps.
        width: number of channels of the levels that are made.
        window: confine the attention of a plain transformer to windows of this side, in patches,
            in all but four blocks (ViTDet, Sec. 3); images are padded to multiples of it. None:
            all blocks see the whole image.
        image_size: height and width to which all images are padded, for models that accept only
            one size; None for any size.
        init_cfg: None, or `dict(type='Pretrained', checkpoint=...)` of a file with the library's
            parameter names, or one of ours.

    Raises:
        UserError: there is no such model, or it has no feature maps.
    """

    WEIGHTS = 'none are known'
    NORM_NAMES = ('makers',)  # also trained with low-rank adapters

    def __init__(
        self,
        arch: str,
        *,
        drop_path_rate: float | None = None,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int | str = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        taps: str = 'last',
        width: int = 256,
        window: int | None = None,
        image_size: tuple[int, int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        if taps not in TAPS:
            raise UserError(f"taps is {taps!r}; allowed: 'last', 'several'")
        self.arch, self.in_channels = arch, in_channels
        self.out_indices = levels_of(out_indices)
        self.strides = tuple(STRIDES[i] for i in self.out_indices)
        self.norm_eval, self.frozen_stages = norm_eval, frozen_stages
        self.init_cfg, self.is_init = init_cfg, False
        self.loaded: str | None = None
        self.image_size = image_size
        self.trunk = self.build_trunk(drop_path_rate)
        self.known = set(self.trunk.state_dict())  # including what is left out below
        self._choose_maps(taps, width)
        self.windows = None if window is None else self._windows(window)
        self.multiple = math.lcm(MULTIPLE, self.patch * window) if window else MULTIPLE
        self.with_cp = False
        self.set_grad_checkpointing(with_cp)
        self.frozen: list[nn.Module] = []
        self._probe()
        self._freeze()

    def _choose_maps(self, taps: str, width: int) -> None:
        """Decide from which map each level is made, and build the layers for it."""
        widths, reductions = zip(*self.maps())
        strides = [2 ** round(math.log2(r)) for r in reductions]
        self.scale = reductions[-1] / strides[-1]  # 14 / 16 for patches of 14 pixels
        self.plain, self.patch = len(set(strides)) == 1, strides[-1]
        self.makers, channels, sources = nn.ModuleList(), [], []
        for i, stride in zip(self.out_indices, self.strides):
            nearest = min(abs(math.log2(s / stride)) for s in strides)
            source = max(j for j, s in enumerate(strides) if abs(math.log2(s / stride)) == nearest)
            if self.plain and taps == 'several':
                source = len(strides) * (i + 1) // 4 - 1
            made = self.plain or nearest > 0
            maker = make_level(widths[source], strides[source], stride, width)
            self.makers.append(maker if made else nn.Identity())
            channels.append(width if made else widths[source])
            sources.append(source)
        self.channels, self.indices = tuple(channels), sorted(set(sources))
        self.places = [self.indices.index(source) for source in sources]
        self.take(self.indices)

    def _windows(self, side: int) -> Windows:
        if not self.plain:
            raise UserError(
                f'window is only for plain transformers; {self.arch} has maps at several strides'
            )
        if self.image_size:
            raise UserError('window works only with images of any size: leave image_size out')
        return Windows(self.arch, self.blocks(), side, self.prefix_tokens())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid. See `Pyramid.forward`.

        Raises:
            UserError: the images have another shape, or a size that the model does not accept.
        """
        height, width = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(height, width) < MIN_SIZE:
            raise UserError(
                f'input has shape {tuple(x.shape)}; {type(self).__name__} takes '
                f'(B, {self.in_channels}, H, W) with H and W from {MIN_SIZE} pixels'
            )
        images = padded = F.pad(x, self._padding(height, width))
        if self.windows:
            self.windows.size = images.shape[-2] // self.patch, images.shape[-1] // self.patch
        if self.scale != 1:
            size = [round(side * self.scale) for side in images.shape[-2:]]
            images = F.interpolate(images, size, mode='bicubic', antialias=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen_stages != 'all'):
            maps = self._maps(images)
        levels = []
        for make, place, stride in zip(self.makers, self.places, self.strides):
            level = make(maps[place])
            if self.uneven:
                cells = [-(-side // stride) for side in padded.shape[-2:]]
                level = F.interpolate(level, cells, mode='bilinear')
            level = level[..., : -(-height // stride), : -(-width // stride)]
            levels.append(like(level, x))
        return tuple(levels)

    def _padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        if self.image_size is None:
            return 0, -width % self.multiple, 0, -height % self.multiple
        right, bottom = self.image_size[1] - width, self.image_size[0] - height
        if min(right, bottom) < 0:
            raise UserError(
                f'image is {height} x {width} pixels; {self.arch} was built for {self.image_size}'
            )
        return 0, right, 0, bottom

    def _maps(self, images: Tensor) -> list[Tensor]:
        try:
            return self.trunk_maps(images)
        except (AssertionError, IndexError, RuntimeError, ValueError) as error:  # size not accepted
            if torch.compiler.is_compiling() or not self._is_about_size(images, error):
                raise
            height, width = images.shape[-2:]
            raise UserError(
                f'{self.arch} does not accept images of {height} x {width} pixels: '
                f'{first_line(error)}; image_size=(HEIGHT, WIDTH) builds it for one size'
            ) from error

    def _is_about_size(self, images: Tensor, error: Exception) -> bool:
        """Whether the model accepts these images if they are resized to its native size."""
        if self.image_size or isinstance(error, torch.OutOfMemoryError | UserError):
            return False
        model, size = copy.deepcopy(self).eval(), self.own_size()
        try:
            with torch.no_grad():
                model.trunk_maps(F.interpolate(images[:1], size))
        except Exception:  # whatever it is, the first error is reported
            return False
        return size != tuple(images.shape[-2:])

    def _probe(self) -> None:
        """Compute shapes once, and freeze the parameters on which no level depends."""
        self.uneven = False
        size = self.image_size or [-(-s // self.multiple) * self.multiple for s in self.own_size()]
        levels, idle = probe(self, size)
        self.uneven = any(
            tuple(level.shape[-2:]) != tuple(-(-side // stride) for side in size)
            for level, stride in zip(levels, self.strides)
        )
        self.idle = {name.removeprefix('trunk.') for name in idle}
        for name in idle:
            self.get_parameter(name).requires_grad_(False)

    def _freeze(self) -> None:
        if self.frozen_stages == 'all':
            self.trunk.requires_grad_(False)
            self.frozen = [self.trunk]
        elif isinstance(self.frozen_stages, int) and self.frozen_stages >= -1:
            self._freeze_groups(self.frozen_stages)
        else:
            raise UserError(
                f"frozen_stages is {self.frozen_stages!r}; allowed: -1 (none), 0, 1, ..., 'all'"
            )
        self.train(self.training)

    def _freeze_groups(self, last: int) -> None:
        groups = self.groups(coarse=True) if last >= 0 else {}
        frozen = {name for name, group in groups.items() if group <= last}
        for prefix, module in self.trunk.named_modules():
            own = {f'{prefix}.{n}'.lstrip('.') for n, _ in module.named_parameters(recurse=False)}
            for name in own & frozen:
                self.trunk.get_parameter(name).requires_grad_(False)
            if own and own <= frozen:
                self.frozen.append(module)

    def train(self, mode: bool = True) -> AdaptedPyramid:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        for module in self.modules() if self.norm_eval else ():
            if isinstance(module, BATCH_NORMS):
                module.eval()
        return self

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Return a parameter's layer. See `ForTimm.get_layer_depth`."""
        layers = max(self._layers.values()) + 2
        inside = name.removeprefix(f'{prefix}trunk.')
        return self._layers.get(inside, layers - 1), layers

    @functools.cached_property
    def _layers(self) -> dict[str, int]:
        """The groups of parameters, cached because they are requested once per parameter."""
        return self.groups(coarse=False)

    def init_weights(self) -> None:
        """Load `init_cfg`'s checkpoint, strictly; without one, the library's weights stay."""
        if self.init_cfg:
            settings = {k: v for k, v in self.init_cfg.items() if k in ('checkpoint', 'key')}
            load_adapted(self, **settings)
        self.is_init = True
