"""What this project needs from timm: a model, and facts about it."""

from importlib.util import find_spec
from typing import Any

from backbones.errors import UserError, did_you_mean, first_line, listed

SCHEME = 'timm:'
# arguments with which models accept images of any size, tried in turn, since timm has no common one
ANY_SIZE: tuple[dict[str, Any], ...] = (
    dict(dynamic_img_size=True, dynamic_img_pad=True),
    dict(strict_img_size=False),
    dict(dynamic_img_size=True),
    {},
)


def require(what: str) -> None:
    """Check that timm is installed.

    Raises:
        UserError: it is not; the message names what needs it, and how to install it.
    """
    if find_spec('timm') is None:
        raise UserError(f"{what} needs timm: pip install 'dense-backbones[timm]'")


def check_name(arch: str) -> None:
    """Check that timm is installed and has a model.

    Raises:
        UserError: timm is not installed, or has no such model.
    """
    require(f'{SCHEME}{arch}')
    import timm

    name, _, tag = arch.partition('.')
    if not timm.is_model(name):
        raise UserError(f'timm has no model {name!r}{did_you_mean(name, timm.list_models())}')
    if not tag:
        return
    tags = [known.partition('.')[2] for known in timm.list_pretrained(f'{name}.*')]
    if tag not in tags:
        raise UserError(
            f'timm has no weights {tag!r} of {name}; allowed: {listed(tags) or "none"}'
            f'{did_you_mean(tag, tags)}'
        )


def build_trunk(
    arch: str,
    in_channels: int,
    drop_path_rate: float | None,
    image_size: tuple[int, int] | None = None,
) -> Any:
    """Build timm's model with random weights and without classifier, for any size or one.

    Raises:
        UserError: timm is not installed, has no such model, or the model has no feature maps.
    """
    check_name(arch)
    import timm

    settings: dict[str, Any] = dict(in_chans=in_channels, num_classes=0)
    if drop_path_rate is not None:
        settings['drop_path_rate'] = drop_path_rate
    trunk = None
    for size in ANY_SIZE if image_size is None else (dict(img_size=image_size), {}):
        try:
            trunk = timm.create_model(arch, pretrained=False, **settings, **size)
            break
        except TypeError as error:  # an argument that this model does not have
            unknown = error
    if trunk is None:
        raise UserError(f'timm cannot build {arch}: {first_line(unknown)}') from unknown
    needed = ('forward_intermediates', 'prune_intermediate_layers', 'feature_info')
    if missing := [part for part in needed if not hasattr(trunk, part)]:
        raise UserError(
            f'{arch} has no feature maps: timm does not implement {listed(missing)} for it'
        )
    return trunk


def pretrained_cfg(arch: str) -> dict:
    """Return what timm states about a model's published weights; {} if there are none."""
    import timm

    found = timm.get_pretrained_cfg(arch)
    return found.to_dict() if found else {}


def family(arch: str) -> str:
    """Return the timm module that has a model, such as 'vision_transformer'."""
    import timm

    return timm.models.model_entrypoint(arch.partition('.')[0]).__module__.rpartition('.')[2]
