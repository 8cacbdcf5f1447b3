"""Finding the levels that a config's backbone emits, and those of ours that replace them."""

import torch
from mmengine.config import Config, ConfigDict

from backbones.errors import UserError, first_line
from backbones.openmmlab.build import build_model
from backbones.openmmlab.registries import find_class
from backbones.pyramid import Pyramid
from backbones.timm_interface import STRIDES

PROBE = 128  # height and width of the image used to measure the old backbone, pixels
Level = tuple[int, int]  # channels and stride of a feature map


def measure_levels(cfg: Config, old: ConfigDict) -> list[Level]:
    """Return the channels and strides that a backbone emits.

    Raises:
        UserError: it cannot be built or run here, or emits something other than maps.
    """
    cls = find_class(old['type'], cfg.default_scope)
    if isinstance(cls, type) and issubclass(cls, Pyramid):
        ours = build_model(cfg, old, device='meta')
        return list(zip(ours.channels, ours.strides))
    try:
        backbone = build_model(cfg, old)
        backbone.eval()  # not chained: some return None
        with torch.no_grad():
            maps = backbone(torch.zeros(1, old.get('in_channels', 3), PROBE, PROBE))
    except Exception as error:  # third-party code may raise anything
        raise UserError(
            f'--backbone: cannot measure the levels of the old backbone, {old["type"]}, on an '
            f'image of {PROBE}x{PROBE}: {first_line(error)}'
        ) from error
    if isinstance(maps, torch.Tensor):
        raise UserError(
            f'--backbone: the old backbone, {old["type"]}, emits a single map; ours emit a tuple '
            'of maps, which the head cannot use'
        )
    if not all(isinstance(m, torch.Tensor) and m.ndim == 4 for m in maps):
        raise UserError(
            f'--backbone: the old backbone, {old["type"]}, emits more than feature maps, which '
            'ours cannot replace'
        )
    return [(m.shape[1], PROBE // m.shape[2]) for m in maps]


def choose_levels(levels: list[Level]) -> list[int]:
    """Choose which of our levels replace the old ones: those with the same strides.

    Four levels that start at stride 4 are matched in order, since dilated backbones do not halve
    the last levels.

    Raises:
        UserError: we have no such levels.
    """
    strides = [stride for _, stride in levels]
    if len(levels) == 4 and strides[0] == STRIDES[0]:
        return [0, 1, 2, 3]
    if strides == sorted(set(strides) & set(STRIDES)):
        return [STRIDES.index(stride) for stride in strides]
    raise UserError(
        f'--backbone: the old backbone emits the strides {strides}; ours emit '
        f'{list(STRIDES)}, or some of them in this order'
    )
