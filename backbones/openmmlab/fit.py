"""A model is proven to fit together by one prediction."""

import logging
import traceback

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn

from backbones.errors import UserError
from backbones.openmmlab.wrappers import nodes, replace_sync_bn


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
            built = build(cfg, model)
            built.eval()  # not chained: some backbones return nothing
            built.test_step(empty_batch(cfg, model))
            _run_auxiliary_heads(built, image_side(model))
    except Exception as error:  # whatever foreign code raises
        raise UserError(first_line(error)) from error


def build(cfg: Config, model: ConfigDict) -> nn.Module:
    """The model with initialised weights, as it can be tried: in one process, without any file."""
    settings = without_files(model)
    replace_sync_bn(settings)
    for node in nodes(settings):
        if 'clip_border' in node:  # MMDetection paints no mask of a box outside, on a CPU
            node.clip_border = True
    if cfg.default_scope == 'mmdet':  # inside another model it has none of its own
        settings.setdefault('data_preprocessor', dict(type='DetDataPreprocessor'))
    built = MODELS.build(settings)
    level = logging.root.manager.disable  # else MMEngine logs a line for each parameter
    logging.disable(logging.INFO)
    try:
        built.init_weights()
    finally:
        logging.disable(level)
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


def first_line(error: BaseException) -> str:
    """What an error says, in one line; one without words, such as an assertion, by its code."""
    code = traceback.extract_tb(error.__traceback__)[-1].line if error.__traceback__ else ''
    line = (str(error).strip() or code or '').partition('\n')[0]
    return f'{type(error).__name__}: {" ".join(line.split()).rstrip(".")}'
