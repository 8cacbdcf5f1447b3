"""Any timm model as a backbone of four levels."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from torch import Tensor, nn

from backbones.adapted.pyramid import AdaptedPyramid
from backbones.adapted.timm_models import build_trunk, pretrained_cfg
from backbones.errors import UserError


class TimmPyramid(AdaptedPyramid):
    """A timm model by timm's name, with or without a tag: 'convnext_tiny.fb_in1k'.

    See `AdaptedPyramid`. For freezing and layer decay, the layers are timm's groups. Checkpoints
    have timm's parameter names.
    """

    WEIGHTS = 'timm lists none'

    def build_trunk(self, drop_path_rate: float | None) -> nn.Module:
        return build_trunk(self.arch, self.in_channels, drop_path_rate, self.image_size)

    def maps(self) -> list[tuple[int, float]]:
        return [(info['num_chs'], info['reduction']) for info in self.trunk.feature_info]

    def take(self, indices: list[int]) -> None:
        # a plain transformer's maps pass its last norm, as they do for its classifier
        self.trunk.prune_intermediate_layers(indices, prune_norm=not self.plain)
        for module in self.trunk.modules():  # MMDetection compares it with the dataset's classes
            vars(module).pop('num_classes', None)

    def trunk_maps(self, images: Tensor) -> list[Tensor]:
        return self.trunk.forward_intermediates(
            images,
            indices=self.indices,
            norm=self.plain,
            output_fmt='NCHW',
            intermediates_only=True,
        )

    def blocks(self) -> Sequence[nn.Module]:
        if not isinstance(
            found := getattr(self.trunk, 'blocks', None), Sequence | nn.Sequential | nn.ModuleList
        ):
            raise UserError(f'window: {self.arch} has no list of blocks')
        return list(found)

    def prefix_tokens(self) -> int:
        return getattr(self.trunk, 'num_prefix_tokens', 0)

    def groups(self, *, coarse: bool) -> dict[str, int]:
        from timm.models import group_parameters

        return group_parameters(self.trunk, self.trunk.group_matcher(coarse=coarse), reverse=True)

    def own_size(self) -> tuple[int, int]:
        return tuple(self.trunk.pretrained_cfg['input_size'][-2:])

    def licence(self) -> str | None:
        return pretrained_cfg(self.arch).get('license')

    def left_out(self) -> tuple[str, ...]:
        head = pretrained_cfg(self.arch).get('classifier') or ()
        return tuple(f'{name}.' for name in ([head] if isinstance(head, str) else head))

    def first_kernels(self) -> list[str]:
        first = pretrained_cfg(self.arch).get('first_conv') or ()
        return [f'{name}.weight' for name in ([first] if isinstance(first, str) else first)]

    def converted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Let timm rename and resample a file that differs, such as one for another image size."""
        own = self.trunk.state_dict()
        same = all(k in state and state[k].shape == t.shape for k, t in own.items())
        module = sys.modules[type(self.trunk).__module__]
        convert = getattr(module, 'checkpoint_filter_fn', None)
        return state if same or convert is None else convert(state, self.trunk)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        if enable != self.with_cp:
            try:
                self.trunk.set_grad_checkpointing(enable)
            except (AssertionError, AttributeError) as error:
                raise UserError(
                    f'with_cp: timm cannot recompute the blocks of {self.arch}; leave it out'
                ) from error
        self.with_cp = enable
