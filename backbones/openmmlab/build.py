"""Building a module from a config, and checking with one prediction that its parts fit."""

import contextlib
import copy

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from backbones.errors import UserError, first_line
from backbones.openmmlab.config_tree import channels_in, nodes, replace_sync_bn
from backbones.openmmlab.console import warnings_only
from backbones.openmmlab.registries import import_scope
from backbones.package_files import LIBRARIES


def check_fit(cfg: Config, model: ConfigDict) -> None:
    """Build the model without weight files, and run all of it on an empty image.

    The weights are initialised from a fixed seed, so the result is reproducible.

    Raises:
        UserError: the model cannot be built or run; the message has one line.
    """
    check_single_images(model)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            built = build_for_trial(cfg, model)
            built.eval()  # not chained, since some backbones return None
            built.test_step(empty_batch(cfg, model))
            _run_auxiliary_heads(built, channels_in(model), image_side(model))
    except Exception as error:  # third-party code may raise anything
        raise UserError(first_line(error)) from error


def check_single_images(model: ConfigDict) -> None:
    """Refuse a model of video clips.

    Raises:
        UserError: it is one.
    """
    if 'TrackDataPreprocessor' in str(model.get('data_preprocessor')):
        raise UserError('the model needs video clips; only models for single images are supported')


def build_model(
    cfg: Config,
    part: ConfigDict | None = None,
    *,
    device: str | None = None,
    files: bool = False,
    processes: bool = False,
) -> nn.Module:
    """Build a module from a config; no other code does this.

    Args:
        cfg: a config for MMDetection or MMSegmentation.
        part: the part of its model to build; None builds the whole model.
        device: where the parameters are created; 'meta' takes no memory.
        files: let `init_weights` load the files named in the config; otherwise all names are
            removed.
        processes: keep SyncBN, which synchronises over processes; otherwise it becomes BN.
    """
    _enter(cfg.get('default_scope'))
    settings = cfg.model if part is None else part
    settings = copy.deepcopy(settings) if files else without_files(settings)
    if not processes:
        replace_sync_bn(settings)
    with torch.device(device) if device else contextlib.nullcontext():
        return MODELS.build(settings)


def enter_library(cfg: Config) -> str:
    """Import a config's library and make its scope the default for type names.

    Returns:
        The scope, 'mmdet' or 'mmseg'.

    Raises:
        UserError: the config is for neither MMDetection nor MMSegmentation.
    """
    scope = cfg.get('default_scope')
    if scope not in LIBRARIES:
        raise UserError(
            f'default_scope is {scope!r}; allowed: {", ".join(map(repr, LIBRARIES))}. Set it in '
            'the config to the library of the model'
        )
    _enter(scope)
    return scope


def _enter(scope: str | None) -> None:
    import_scope(scope)
    if scope:
        init_default_scope(scope)


def build_for_trial(cfg: Config, model: ConfigDict) -> nn.Module:
    """Build the model with initialised weights."""
    settings = copy.deepcopy(model)
    for node in nodes(settings):
        if 'clip_border' in node:  # on a CPU, MMDetection cannot paste masks beyond the border
            node.clip_border = True
    if cfg.default_scope == 'mmdet':  # a model inside another one has no preprocessor
        settings.setdefault('data_preprocessor', dict(type='DetDataPreprocessor'))
    built = build_model(cfg, settings)
    with warnings_only(MMLogger.get_current_instance()):
        built.init_weights()
    return built


def _run_auxiliary_heads(built: nn.Module, channels: int, side: int) -> None:
    """Run the auxiliary heads, which MMSegmentation's models use only in training."""
    heads = getattr(built, 'auxiliary_head', None)
    if heads is not None:
        features = built.extract_feat(torch.zeros(1, channels, side, side))
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            head(features)


def without_files(model: ConfigDict) -> ConfigDict:
    """Return a copy of a model's config that loads no weight files."""
    return ConfigDict(
        {
            key: _without_files(value)
            for key, value in model.items()
            if key not in ('pretrained', 'teacher_ckpt')
            and not (key == 'init_cfg' and 'Pretrained' in str(value))
        }
    )


def _without_files(value: object) -> object:
    if isinstance(value, list | tuple):
        return type(value)(map(_without_files, value))
    return without_files(value) if isinstance(value, dict) else value


def empty_batch(cfg: Config, model: ConfigDict) -> dict:
    """Return a batch of one grey image in the form of the library's data loaders."""
    if cfg.get('default_scope') == 'mmseg':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    side = image_side(model)
    sample = Sample(metainfo=metainfo(side))
    if needs_proposals(model):
        sample.proposals = whole_image(side)
    return dict(
        inputs=[torch.full((channels_in(model), side, side), 114, dtype=torch.uint8)],
        data_samples=[sample],
    )


def needs_proposals(model: ConfigDict) -> bool:
    """Return whether proposals come with the data, as for Fast R-CNN."""
    return bool(model.get('roi_head')) and not model.get('rpn_head')


def whole_image(side: int) -> InstanceData:
    """Return one proposal that covers the whole image."""
    return InstanceData(bboxes=torch.tensor([[0.0, 0, side, side]]), scores=torch.ones(1))


def image_side(model: ConfigDict) -> int:
    """Return the side of a small test image that is large enough for the model, in pixels.

    DINO-like detectors pick hundreds of pyramid cells as queries, DDQ even 1350. A backbone that
    was built for one size gets that size.
    """
    if size := (model.get('backbone') or {}).get('image_size'):
        return min(size)
    return 256 if 'num_queries' in model else 128


def metainfo(side: int) -> dict:
    """Return the metadata that models expect with an image of this height and width in pixels."""
    size = (side, side)
    return dict(
        img_id=0,
        img_path='empty.png',
        img_shape=size,
        ori_shape=size,
        pad_shape=size,
        batch_input_shape=size,
        scale_factor=(1.0, 1.0),
        border=[0, side, 0, side],
        flip=False,
        flip_direction=None,
    )
