"""Learning rates that decay with depth, for any backbone that defines its parameters' depth."""

import torch
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from backbones.errors import UserError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecay(DefaultOptimWrapperConstructor):
    """Build the optimizer with learning rate lr x decay_rate^(last - layer) in the backbone.

    `layer` and `last` come from the backbone's `get_layer_depth`; necks and heads use the full
    rate. There is no weight decay for biases and parameters with at most one axis longer than 1
    (norms, layer scales), including those of necks and heads, and for those that `no_weight_decay`
    names.

    Args:
        optim_wrapper_cfg: as in MMEngine.
        paramwise_cfg: `dict(decay_rate=...)`, the factor of the learning rate from one layer to
            the one before it, 0 < decay_rate <= 1.

    Raises:
        UserError: `paramwise_cfg` has other keys or none, the rate is out of range, or the model
            has no backbone with `get_layer_depth`.

    Source: BEiT (arXiv:2106.08254); github.com/Westlake-AI/MogaNet (detection), which calls the
    rule 'layer_wise'.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg)
        settings = dict(paramwise_cfg or {})
        if set(settings) != {'decay_rate'}:
            raise UserError(
                f'paramwise_cfg has the keys {sorted(settings)}; LayerDecay accepts only decay_rate'
            )
        self.paramwise_cfg = settings
        self.decay_rate = settings['decay_rate']
        if not 0 < self.decay_rate <= 1:
            raise UserError(f'decay_rate is {self.decay_rate}; allowed: above 0, at most 1')

    def add_params(self, params: list[dict], module: nn.Module, **_: object) -> None:
        """Append one group to `params` per learning rate and weight decay."""
        backbone = getattr(module, 'backbone', None)
        if not hasattr(backbone, 'get_layer_depth'):
            raise UserError(
                f'LayerDecay needs model.backbone.get_layer_depth, which {type(backbone).__name__} '
                'lacks: remove optim_wrapper.constructor, or use one of our backbones'
            )
        exempt = {f'backbone.{name}' for name in getattr(backbone, 'no_weight_decay', set)()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                decay = 0.0 if name in exempt else self._decay(name, parameter)
                key = self._rate(backbone, name), decay
                groups.setdefault(key, []).append(parameter)
        for (scale, decay), members in sorted(groups.items(), key=lambda item: item[0]):
            params.append(
                dict(
                    params=members,
                    lr=self.base_lr * scale,
                    weight_decay=decay,
                    lr_scale=scale,
                )
            )
            print_log(
                f'{len(members)} parameters: lr x {scale:.4f}, weight decay {decay}', 'current'
            )

    def _rate(self, backbone: nn.Module, name: str) -> float:
        """Return the learning-rate factor."""
        if not name.startswith('backbone.'):
            return 1.0
        layer, layers = backbone.get_layer_depth(name, 'backbone.')
        return self.decay_rate ** (layers - 1 - layer)

    def _decay(self, name: str, parameter: torch.Tensor) -> float:
        """Return the weight decay."""
        exempt = name.endswith('.bias') or sum(size > 1 for size in parameter.shape) <= 1
        return 0.0 if exempt else self.base_wd or 0.0
