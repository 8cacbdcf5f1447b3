"""A separate learning rate for the backbone on top of MMEngine's weight-decay rules."""

from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from backbones.errors import UserError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneRate(DefaultOptimWrapperConstructor):
    """Build the optimizer by MMEngine's rules, then scale the backbone's learning rate.

    In MMEngine's constructor, `custom_keys={'backbone': dict(lr_mult=0.1)}` overrides every other
    rule for the parameters it matches, so the backbone's norms would get weight decay again.

    Args:
        optim_wrapper_cfg: as in MMEngine.
        paramwise_cfg: as in MMEngine, plus `backbone_lr_mult`, the factor for `model.backbone`.

    Raises:
        UserError: `backbone_lr_mult` is missing or negative.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        self.backbone_lr_mult = self.paramwise_cfg.get('backbone_lr_mult', -1)
        if not self.backbone_lr_mult >= 0:
            raise UserError(
                f'paramwise_cfg is {self.paramwise_cfg}; BackboneRate needs backbone_lr_mult in '
                'it, a factor of at least 0'
            )

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Append one group per parameter of `module`, whose name in the model is `prefix`."""
        before = len(params)
        super().add_params(params, module, prefix, is_dcn_module)
        if prefix == 'backbone':
            for group in params[before:]:
                group['lr'] = group.get('lr', self.base_lr) * self.backbone_lr_mult
