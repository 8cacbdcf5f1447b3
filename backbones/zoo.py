"""The backbones by short names, for those who use plain PyTorch."""

import difflib

from backbones.cloformer import CloFormer
from backbones.cswin import CSWin
from backbones.dilateformer import DilateFormer
from backbones.moganet import MogaNet
from backbones.pyramid import Pyramid
from backbones.volo import VOLO

BACKBONES = (DilateFormer, CSWin, VOLO, MogaNet, CloFormer)
SHORT = {'xtiny': 'xt', 'tiny': 't', 'small': 's', 'base': 'b', 'large': 'l', 'xlarge': 'xl'}


def list_backbones() -> list[str]:
    """Short names of all variants, e.g. 'dilateformer_t', 'cswin_b_384', 'volo_d1'."""
    return list(_variants())


def create(name: str, *, pretrained: str | None = None, **settings: object) -> Pyramid:
    """Build a backbone with initialised weights, without a config.

    Args:
        name: one of `list_backbones()`.
        pretrained: path or URL of a published file or of one of ours; None starts from scratch.
        settings: arguments of the class, e.g. `out_indices=(1, 2, 3)`.

    Returns:
        The backbone in training mode; `backbone(images)` is a tuple of feature maps.

    Raises:
        ValueError: an unknown name, or see `Pyramid`.
    """
    variants = _variants()
    if name not in variants:
        close = difflib.get_close_matches(name, variants, n=1)
        hint = f'; did you mean {close[0]!r}?' if close else ''
        raise ValueError(f'no backbone {name!r}; allowed: {", ".join(variants)}{hint}')
    cls, arch = variants[name]
    init_cfg = None if pretrained is None else dict(type='Pretrained', checkpoint=pretrained)
    backbone = cls(arch, init_cfg=init_cfg, **settings)
    backbone.init_weights()
    return backbone


def _variants() -> dict[str, tuple[type[Pyramid], str]]:
    return {
        '_'.join([cls.__name__.lower(), *(SHORT.get(part, part) for part in arch.split('_'))]): (
            cls,
            arch,
        )
        for cls in BACKBONES
        for arch in cls.ARCHS
    }
