"""Counting a detector's or segmentor's parameters and multiply-adds without data or memory."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from backbones.openmmlab.build import build_model, enter_library
from backbones.ops.dispatch import plain

SHAPES = {'mmdet': (800, 1280), 'mmseg': (512, 2048)}  # height and width in the papers, pixels
BOXES, MASKS = 1000, 100  # proposals that each box head and each mask head processes


def complexity(cfg: Config, *, shape: tuple[int, int] | None = None) -> dict:
    """Count the parameters and multiply-adds of each part of the model for one test image.

    Convolutions, linear layers and matrix products of attention count; norms, activations, RoI
    pooling and resizing do not. As in MMDetection 2.x, each box head gets 1000 proposals and each
    mask head 100; auxiliary heads compute nothing at test time. In query-based models (DINO,
    Mask2Former), everything after the backbone is one part, `transformer`.

    Args:
        cfg: a config for MMDetection or MMSegmentation.
        shape: height and width of the image in pixels; None uses `image_shape`.

    Returns:
        `shape`, `parts` (name to `params` and `macs`), and the totals `params` and `macs`.

    Raises:
        UserError: see `enter_library`.
    """
    enter_library(cfg)
    height, width = shape or image_shape(cfg)
    # the counter misses element-wise products, of which some attention backends consist
    with torch.device('meta'), torch.no_grad(), plain():
        model = build_model(cfg).eval()
        params = {name: _params(part) for name, part in model.named_modules()}
        count = _query_macs if _has_queries(model) else _macs
        macs = count(model, torch.empty(1, 3, height, width))
    params['transformer'] = params[''] - params['backbone']
    parts = {name: dict(params=params[name], macs=count) for name, count in macs.items()}
    total = {key: sum(part[key] for part in parts.values()) for key in ('params', 'macs')}
    return dict(shape=(height, width), parts=parts, **total)


def image_shape(cfg: Config) -> tuple[int, int]:
    """Return the height and width in pixels of the image for which papers give counts.

    In segmentation it is the test pipeline's resize scale, if the config names one.
    """
    if cfg.default_scope == 'mmseg':
        for step in cfg.get('test_dataloader', {}).get('dataset', {}).get('pipeline', ()):
            if step['type'] == 'Resize' and isinstance(step.get('scale'), tuple):
                width, height = step['scale']
                return height, width
    return SHAPES[cfg.default_scope]


def count_macs(part: Callable, *inputs: object) -> tuple[int, object]:
    """Count the multiply-adds of convolutions and matrix products in `part(*inputs)`.

    Returns:
        The count, and the result of `part`.
    """
    with FlopCounterMode(display=False) as counter:
        output = part(*inputs)
    return counter.get_total_flops() // 2, output


def _params(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def _query_head(model: nn.Module) -> nn.Module:
    """Return Mask2Former's head, whose name depends on the library."""
    heads = (getattr(model, name, None) for name in ('panoptic_head', 'decode_head'))
    return next((head for head in heads if head is not None), nn.Identity())


def _has_queries(model: nn.Module) -> bool:
    return hasattr(model, 'forward_transformer') or hasattr(
        _query_head(model), 'transformer_decoder'
    )


def _query_macs(model: nn.Module, images: Tensor) -> dict[str, int]:
    """Count the multiply-adds of the backbone and of the transformer after it.

    Deformable attention reads map sizes from tensors, which have no values on the meta device. But
    the count is linear in the number of pixels, plus a constant for the products among queries, so
    two small images on the CPU give the count for any image. Consumes the model.
    """
    levels: list[Tensor] = []
    macs, _ = count_macs(lambda: levels.extend(model.backbone(images)))
    strides = [images.shape[2] // level.shape[2] for level in levels]
    del model.backbone
    model.to_empty(device='cpu')
    for parameter in model.parameters():
        parameter.zero_()

    def run(side: int) -> None:
        maps = [
            torch.zeros(1, level.shape[1], side // stride, side // stride)
            for level, stride in zip(levels, strides)
        ]
        sizes = dict(batch_input_shape=(side, side), img_shape=(side, side))
        sample = SimpleNamespace(metainfo=sizes, **sizes)
        maps = model.neck(maps) if getattr(model, 'neck', None) is not None else maps
        if hasattr(model, 'forward_transformer'):
            model.bbox_head(**model.forward_transformer(maps, [sample]))
        else:
            _query_head(model)(maps, [sample])

    # DINO picks its 900 queries from as many cells
    short, long = (256, 320) if hasattr(model, 'forward_transformer') else (64, 128)
    with torch.device('cpu'):
        small, large = (count_macs(run, side)[0] for side in (short, long))
    per_pixel = (large - small) / (long**2 - short**2)
    rest = small - per_pixel * short**2
    return dict(
        backbone=macs, transformer=round(rest + per_pixel * images.shape[2] * images.shape[3])
    )


def _macs(model: nn.Module, images: Tensor) -> dict[str, int]:
    """Count the multiply-adds of each part, in order."""
    macs: dict[str, int] = {}

    def run(name: str, part: Callable, *inputs: object) -> object:
        count, output = count_macs(part, *inputs)
        macs[name] = macs.get(name, 0) + count
        return output

    levels = run('backbone', model.backbone, images)
    if getattr(model, 'neck', None) is not None:
        levels = run('neck', model.neck, levels)
    for name in ('rpn_head', 'bbox_head', 'decode_head'):
        if isinstance(getattr(model, name, None), nn.Module):
            run(name, getattr(model, name).forward, levels)
    if getattr(model, 'auxiliary_head', None) is not None:
        macs['auxiliary_head'] = 0
    roi_head = getattr(model, 'roi_head', None)
    for name, count in (('bbox', BOXES), ('mask', MASKS)):
        heads = getattr(roi_head, f'{name}_head', None)
        if heads is None:
            continue
        pooled = getattr(roi_head, f'{name}_roi_extractor')
        many = isinstance(heads, nn.ModuleList)
        for head, extractor in zip(heads if many else [heads], pooled if many else [pooled]):
            size = extractor.roi_layers[0].output_size
            boxes = torch.empty(count, extractor.out_channels, *size)
            run(f'roi_head.{name}_head', head, boxes)
    return macs
