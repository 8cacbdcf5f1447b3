"""From a config to a module, and the proof, by one prediction, that its parts fit together."""

import contextlib
import copy

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from backbones.errors import UserError, first_line
from backbones.openmmlab.config_tree import nodes, replace_sync_bn
from backbones.openmmlab.console import warnings_only
from backbones.openmmlab.registries import import_scope
from backbones.package_files import LIBRARIES


def check_fit(cfg: Config, model: ConfigDict) -> None:
    """Build the model without any weights' file, and let all of it run on an empty image.

    Its weights are initialised, always the same, so that the answer is, too.

    Raises:
        UserError: it cannot be built or run; in one line.
    """
    if 'TrackDataPreprocessor' in str(model.get('data_preprocessor')):
        raise UserError('it takes clips of videos, and only models of single images are tried')
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)
            built = build_for_trial(cfg, model)
            built.eval()  # not chained: some backbones return nothing
            built.test_step(empty_batch(cfg, model))
            _run_auxiliary_heads(built, image_side(model))
    except Exception as error:  # whatever foreign code raises
        raise UserError(first_line(error)) from error


def build_model(
    cfg: Config,
    part: ConfigDict | None = None,
    *,
    device: str | None = None,
    files: bool = False,
    processes: bool = False,
) -> nn.Module:
    """Make a module of a config: the only place that does.

    Args:
        cfg: a config for MMDetection or MMSegmentation.
        part: of its model; None is the whole model.
        device: where the parameters are made; 'meta' takes no memory.
        files: `init_weights` shall load the files that the config names; otherwise no part knows
            of any.
        processes: BatchNorm may be synchronised over processes; otherwise it is plain.

    """
    _enter(cfg.get('default_scope'))
    settings = copy.deepcopy(cfg.model if part is None else part)
    if not files:
        settings = without_files(settings)
    if not processes:
        replace_sync_bn(settings)
    with torch.device(device) if device else contextlib.nullcontext():
        return MODELS.build(settings)


def enter_library(cfg: Config) -> str:
    """Import the library of a config and let the names of types mean its classes.

    Returns:
        Its name.

    Raises:
        UserError: the config is for neither MMDetection nor MMSegmentation.
    """
    scope = cfg.get('default_scope')
    if scope not in LIBRARIES:
        raise UserError(
            f'default_scope is {scope!r}; allowed: {", ".join(map(repr, LIBRARIES))}. Set it in '
            'the config to the library of its model'
        )
    _enter(scope)
    return scope


def _enter(scope: str | None) -> None:
    import_scope(scope)
    if scope:
        init_default_scope(scope)


def build_for_trial(cfg: Config, model: ConfigDict) -> nn.Module:
    """The model with initialised weights."""
    settings = copy.deepcopy(model)
    for node in nodes(settings):
        if 'clip_border' in node:  # MMDetection paints no mask of a box outside, on a CPU
            node.clip_border = True
    if cfg.default_scope == 'mmdet':  # inside another model it has none of its own
        settings.setdefault('data_preprocessor', dict(type='DetDataPreprocessor'))
    built = build_model(cfg, settings)
    with warnings_only(MMLogger.get_current_instance()):
        built.init_weights()
    return built


def _run_auxiliary_heads(built: nn.Module, side: int) -> None:
    """Run what MMSegmentation's models have for training only."""
    heads = getattr(built, 'auxiliary_head', None)
    if heads is not None:
        features = built.extract_feat(torch.zeros(1, 3, side, side))
        for head in heads if isinstance(heads, nn.ModuleList) else [heads]:
            head(features)


def without_files(model: ConfigDict) -> ConfigDict:
    """A copy of a model's config in which no part fetches weights."""
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
    """One grey image, as the data loaders of MMDetection or MMSegmentation give it."""
    if cfg.get('default_scope') == 'mmseg':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    side = image_side(model)
    sample = Sample(metainfo=metainfo(side))
    if needs_proposals(model):
        sample.proposals = whole_image(side)
    return dict(
        inputs=[torch.full((3, side, side), 114, dtype=torch.uint8)],
        data_samples=[sample],
    )


def needs_proposals(model: ConfigDict) -> bool:
    """Whether boxes come with the data, as for Fast R-CNN."""
    return bool(model.get('roi_head')) and not model.get('rpn_head')


def whole_image(side: int) -> InstanceData:
    """One proposal."""
    return InstanceData(bboxes=torch.tensor([[0.0, 0, side, side]]), scores=torch.ones(1))


def image_side(model: ConfigDict) -> int:
    """Height and width of an image that is small, but large enough for the model, in pixels.

    Detectors of DINO's family pick hundreds of cells of the pyramid as queries, DDQ 1350.
    """
    return 256 if 'num_queries' in model else 128


def metainfo(side: int) -> dict:
    """What models ask of an image of this height and width, pixels."""
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
