"""Any transformers backbone as a backbone of four levels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from backbones.adapted.hf_models import (
    SCHEME,
    build,
    licence,
    quiet,
    read_config,
    refusals,
    set_entry,
    written_by,
)
from backbones.adapted.pyramid import AdaptedPyramid
from backbones.errors import UserError, listed

LOG = logging.getLogger('backbones')
REPEATED = {'layer', 'layers', 'block', 'blocks', 'stage', 'stages', 'level', 'levels'}
PROBE = 224  # side in pixels of the image that shows the strides; divisible by 14 and 16


class HfPyramid(AdaptedPyramid):
    """A model on the Hugging Face hub, 'OWNER/REPO', or in a folder saved by transformers.

    See `AdaptedPyramid`. transformers' `AutoBackbone` builds the model and returns the maps; code
    in a repository is never executed. For freezing and for layer decay, the layers are the model's
    numbered parts, in order.
    """

    WEIGHTS = 'its folder has no model.safetensors'

    def build_trunk(self, drop_path_rate: float | None) -> nn.Module:
        config = read_config(self.arch)
        if drop_path_rate is not None:
            set_entry(self.arch, config, ('drop_path_rate',), drop_path_rate)
        if self.image_size:
            set_entry(self.arch, config, ('image_size',), list(self.image_size))
        if self.in_channels != getattr(config, 'num_channels', 3):
            set_entry(self.arch, config, ('num_channels',), self.in_channels)
        with refusals(self.arch):
            config.out_indices = list(range(len(config.stage_names)))
        config.dtype = torch.float32
        self.config = config
        return build(self.arch, config)

    def maps(self) -> list[tuple[int, float]]:
        with refusals(self.arch), torch.device('meta'):
            shapes = build(self.arch, self.config).eval()
            found = shapes(torch.empty(1, self.in_channels, *self.own_size())).feature_maps
        if not all(isinstance(m, Tensor) and m.ndim == 4 for m in found):
            raise UserError(f'{SCHEME}{self.arch} returns no feature maps')
        return [(m.shape[1], self.own_size()[1] / m.shape[3]) for m in found]

    def take(self, indices: list[int]) -> None:
        self.config.out_indices = list(indices)
        self.trunk = build(self.arch, self.config)
        self.known |= set(self.trunk.state_dict())

    def trunk_maps(self, images: Tensor) -> list[Tensor]:
        return list(self.trunk(images).feature_maps)

    def blocks(self) -> Sequence[nn.Module]:
        return max((m for m in self.trunk.modules() if isinstance(m, nn.ModuleList)), key=len)

    def prefix_tokens(self) -> int:
        names = [name.rpartition('.')[2] for name, _ in self.trunk.named_parameters()]
        return int('cls_token' in names) + getattr(self.config, 'num_register_tokens', 0)

    def groups(self, *, coarse: bool) -> dict[str, int]:
        groups, seen = {}, {(): 0}  # the stem, before all numbered parts
        for name, _ in self.trunk.named_parameters():
            parts = name.split('.')
            ends = [i + 1 for i in range(1, len(parts)) if parts[i].isdigit()]
            ends = [end for end in ends if parts[end - 2] in REPEATED]
            part = tuple(parts[: (ends[0] if coarse else ends[-1])]) if ends else ()
            if not ends and len(seen) > 1:  # after the numbered parts
                part = ('last',)
            groups[name] = seen.setdefault(part, len(seen))
        return groups

    def own_size(self) -> tuple[int, int]:
        size = self.image_size or getattr(self.config, 'image_size', None) or PROBE
        return (size, size) if isinstance(size, int) else tuple(size)

    def licence(self) -> str | None:
        return licence(self.arch)

    def no_weight_decay(self) -> set[str]:
        names = (name for name, _ in self.named_parameters())
        return {n for n in names if n.endswith(('position_embeddings', '_token', '_tokens'))}

    def first_kernels(self) -> Sequence[str]:
        return [name for name, p in self.trunk.named_parameters() if p.ndim == 4][:1]

    def converted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Let transformers rename a file's tensors; a head's tensors are left out."""
        cls: Any = type(self.trunk)
        with quiet():
            model, info = cls.from_pretrained(
                None,
                config=self.config,
                state_dict=dict(state),
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        found, known = model.state_dict(), written_by(self.config)
        for key, shape, _ in info['mismatched_keys']:
            same = (t for name, t in state.items() if f'.{name}'.endswith(f'.{key}'))
            found[key] = next(same, torch.empty(shape, device='meta'))
        # tensors that no such file has, such as norms after stages, keep their initial values
        ends = {name[i:] for name in known for i in (0, name.find('.') + 1)}
        missing = info['missing_keys'] & ends if known else info['missing_keys']
        if kept := sorted(info['missing_keys'] - missing):
            LOG.info('not in any such file, and randomly initialised: %s', listed(kept))
        surplus = {k: state[k] for k in info['unexpected_keys'] if k in state and k not in known}
        return {**{k: t for k, t in found.items() if k not in missing}, **surplus}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        if enable and not getattr(self.trunk, 'supports_gradient_checkpointing', False):
            raise UserError(
                f'with_cp: transformers cannot recompute the blocks of {self.arch}; leave it out'
            )
        if enable:
            self.trunk.gradient_checkpointing_enable()
        elif self.with_cp:
            self.trunk.gradient_checkpointing_disable()
        self.with_cp = enable
