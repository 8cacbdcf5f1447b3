"""Any model of timm as a backbone of four levels."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones.checkpoints.files import read, select
from backbones.checkpoints.match import adapt_channels
from backbones.errors import CheckpointError, UserError, first_line, listed
from backbones.layers import LayerNorm2d
from backbones.ops.dispatch import like
from backbones.pyramid import MIN_SIZE, levels_of
from backbones.stage import BATCH_NORMS
from backbones.timm_interface import STRIDES
from backbones.timm_models import build_trunk, pretrained_cfg

LOG = logging.getLogger('backbones')
MULTIPLE = STRIDES[-1]  # images are padded to multiples of it, pixels


class TimmPyramid(nn.Module):
    """A timm model that emits feature maps at strides 4, 8, 16 and 32.

    A level at whose stride the model has a map is that map, to the last bit. The others are made of
    the nearest one by the simple feature pyramid of ViTDet (arXiv:2203.16527, Sec. 3): transposed
    convolutions or pooling, then a 1x1 and a 3x3 convolution, each with a layer norm. So all four
    are made for a plain transformer, whose class and register tokens are left out. A patch of 14
    pixels counts as one of 16, of an image that is enlarged or shrunk as much.

    Images are padded at the right and the bottom to multiples of 32 pixels, and levels cut to
    ceil(H / stride) x ceil(W / stride) cells.

    Args:
        arch: timm's name, with or without a tag: 'convnext_tiny.fb_in1k'.
        drop_path_rate: None keeps the model's own.
        in_channels: of the images.
        out_indices: see `Pyramid`.
        frozen_stages: -1 freezes nothing, n the first n + 1 groups of timm's coarse `group_matcher`
            (the stem is the first); 'all' the whole model but not what makes levels: its
            activations are not stored.
        norm_eval: see `Pyramid`.
        with_cp: see `Pyramid`.
        taps: 'last' makes the levels of a plain transformer from its last map, 'several' from four
            maps at even distances.
        width: channels of the levels that are made.
        image_size: height and width that all images are padded to, for models that take one size
            only; None for any size.
        init_cfg: None, or `dict(type='Pretrained', checkpoint=...)` of a file in timm's names.

    Raises:
        UserError: no such model, or one without feature maps.
    """

    WEIGHTS = 'timm names none'

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
        image_size: tuple[int, int] | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__()
        if taps not in ('last', 'several'):
            raise UserError(f"taps is {taps!r}; allowed: 'last', 'several'")
        self.arch, self.in_channels = arch, in_channels
        self.out_indices = levels_of(out_indices)
        self.strides = tuple(STRIDES[i] for i in self.out_indices)
        self.norm_eval, self.frozen_stages = norm_eval, frozen_stages
        self.init_cfg, self.is_init = init_cfg, False
        self.loaded: str | None = None
        self.image_size = image_size
        self.trunk = build_trunk(arch, in_channels, drop_path_rate, image_size)
        self.known = set(self.trunk.state_dict())  # with what pruning removes
        self._choose_maps(taps, width)
        self.set_grad_checkpointing(with_cp)
        self._freeze()

    def _choose_maps(self, taps: str, width: int) -> None:
        """Decide which map each level comes from, and build what makes it."""
        reductions = [info['reduction'] for info in self.trunk.feature_info]
        widths = [info['num_chs'] for info in self.trunk.feature_info]
        strides = [2 ** round(math.log2(r)) for r in reductions]
        self.scale = reductions[-1] / strides[-1]  # 14 / 16 for patches of 14 pixels
        self.plain = len(set(strides)) == 1
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
        # of a plain transformer the maps pass its last norm, as for its own classifier
        self.trunk.prune_intermediate_layers(self.indices, prune_norm=not self.plain)
        for module in self.trunk.modules():  # MMDetection compares it with the dataset's classes
            vars(module).pop('num_classes', None)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the pyramid. See `Pyramid.forward`.

        Raises:
            UserError: the images have another shape, or a size that the model does not take.
        """
        height, width = x.shape[-2:]
        if x.ndim != 4 or x.shape[1] != self.in_channels or min(height, width) < MIN_SIZE:
            raise UserError(
                f'input has shape {tuple(x.shape)}; TimmPyramid takes (B, {self.in_channels}, H, '
                f'W) with H and W from {MIN_SIZE} pixels'
            )
        images = F.pad(x, self._padding(height, width))
        if self.scale != 1:
            size = [round(side * self.scale) for side in images.shape[-2:]]
            images = F.interpolate(images, size, mode='bicubic', antialias=True)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.frozen_stages != 'all'):
            maps = self._maps(images)
        levels = []
        for make, place, stride in zip(self.makers, self.places, self.strides):
            level = make(maps[place])[..., : -(-height // stride), : -(-width // stride)]
            levels.append(like(level, x))
        return tuple(levels)

    def _padding(self, height: int, width: int) -> tuple[int, int, int, int]:
        if self.image_size is None:
            return 0, -width % MULTIPLE, 0, -height % MULTIPLE
        right, bottom = self.image_size[1] - width, self.image_size[0] - height
        if min(right, bottom) < 0:
            raise UserError(
                f'image is {height} x {width} pixels; {self.arch} was built for {self.image_size}'
            )
        return 0, right, 0, bottom

    def _maps(self, images: Tensor) -> list[Tensor]:
        try:
            return self.trunk.forward_intermediates(
                images,
                indices=self.indices,
                norm=self.plain,
                output_fmt='NCHW',
                intermediates_only=True,
            )
        except (AssertionError, RuntimeError) as error:  # timm's ways to refuse a size
            if self.image_size or isinstance(error, torch.OutOfMemoryError):
                raise
            height, width = images.shape[-2:]
            raise UserError(
                f'{self.arch} does not take images of {height} x {width} pixels: '
                f'{first_line(error)}; image_size=(HEIGHT, WIDTH) builds it for one size'
            ) from error

    def _groups(self, *, coarse: bool) -> dict[str, int]:
        """The layer of each of the model's parameters, from 0 at the images."""
        from timm.models import group_parameters

        return group_parameters(self.trunk, self.trunk.group_matcher(coarse=coarse), reverse=True)

    def _freeze(self) -> None:
        self.frozen: list[nn.Module] = []
        if self.frozen_stages == 'all':
            self.trunk.requires_grad_(False)
            self.frozen = [self.trunk]
        elif isinstance(self.frozen_stages, int) and self.frozen_stages >= -1:
            for name, group in self._groups(coarse=True).items() if self.frozen_stages >= 0 else ():
                if group <= self.frozen_stages:
                    self.trunk.get_parameter(name).requires_grad_(False)
            for module in self.trunk.modules():
                own = list(module.parameters(recurse=False))
                if own and not any(p.requires_grad for p in own):
                    self.frozen.append(module)
        else:
            raise UserError(
                f"frozen_stages is {self.frozen_stages!r}; allowed: -1 (none), 0, 1, ..., 'all'"
            )
        self.train(self.training)

    def train(self, mode: bool = True) -> TimmPyramid:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        for module in self.modules() if self.norm_eval else ():
            if isinstance(module, BATCH_NORMS):
                module.eval()
        return self

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass, or store their activations (timm's name)."""
        self.with_cp = enable
        if enable:
            self.trunk.set_grad_checkpointing(enable)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that take no weight decay, as timm's model says."""
        own = self.trunk.no_weight_decay() if hasattr(self.trunk, 'no_weight_decay') else ()
        return {f'trunk.{name}' for name in own}

    def get_layer_depth(self, name: str, prefix: str = '') -> tuple[int, int]:
        """Tell how deep a parameter lies. See `ForTimm.get_layer_depth`."""
        layers = max(self._layers.values()) + 2
        inside = name.removeprefix(f'{prefix}trunk.')
        return self._layers.get(inside, layers - 1), layers

    @functools.cached_property
    def _layers(self) -> dict[str, int]:
        """The groups that are asked for once per parameter."""
        return self._groups(coarse=False)

    def init_weights(self) -> None:
        """Load `init_cfg`'s checkpoint, strictly; without one, timm's initialisation stays."""
        if self.init_cfg:
            self._load(**{k: v for k, v in self.init_cfg.items() if k in ('checkpoint', 'key')})
        self.is_init = True

    def _load(self, checkpoint: str, key: str | None = None) -> None:
        """Load the model's tensors from a file in timm's names; the classifier's are left out.

        Raises:
            CheckpointError: a tensor is missing, unknown or of another shape; lists them.
        """
        _, state = select(read(checkpoint), key, ('state_dict', 'model'), checkpoint)
        facts = pretrained_cfg(self.arch)
        head = facts.get('classifier') or ()
        heads = tuple(f'{name}.' for name in ([head] if isinstance(head, str) else head))
        own = self.trunk.state_dict()
        first = f'{facts.get("first_conv")}.weight'
        if first in state and first in own and state[first].shape != own[first].shape:
            adapted = adapt_channels(state[first], own[first])
            state[first] = state[first] if adapted is None else adapted
        wrong = [f'{k} is missing' for k in own if k not in state]
        wrong += [
            f'{k} is not of this model'
            for k in state
            if k not in self.known and not k.startswith(heads)
        ]
        wrong += [
            f'{k} has the shape {tuple(state[k].shape)}, the model {tuple(own[k].shape)}'
            for k in own
            if k in state and state[k].shape != own[k].shape
        ]
        if wrong:
            raise CheckpointError(f'{checkpoint} does not fit {self.arch}: {listed(wrong)}')
        self.trunk.load_state_dict({k: state[k] for k in own})
        self.loaded = f'loaded {len(own)} tensors of {self.arch} from {checkpoint}'
        LOG.info(self.loaded)


def make_level(channels: int, stride: int, wanted: int, width: int) -> nn.Sequential:
    """Build what makes a level at stride `wanted` of a map at `stride`: see `TimmPyramid`."""
    layers: list[nn.Module] = []
    while stride > wanted:
        layers += [nn.ConvTranspose2d(channels, channels // 2, 2, 2)]
        channels, stride = channels // 2, stride // 2
        if stride > wanted:
            layers += [LayerNorm2d(channels), nn.GELU()]
    while stride < wanted:
        layers.append(nn.MaxPool2d(2))
        stride *= 2
    layers += [nn.Conv2d(channels, width, 1, bias=False), LayerNorm2d(width)]
    layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), LayerNorm2d(width)]
    return nn.Sequential(*layers)
