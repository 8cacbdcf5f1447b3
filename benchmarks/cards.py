"""Find which variants train on which card by counting a training step's memory from shapes.

The step is Mask R-CNN's on a GPU, though none is needed: tensors have no values, and operators
choose the forms they would use there. It includes weights, gradients and AdamW's two moments, the
images, and what the forward pass keeps of backbone, neck and heads; with `with_cp`, also what one
block keeps while it is recomputed. It excludes losses, temporary results, memory reserved by
libraries, and fragmentation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from memory import MIB, counting, held_bytes
from torch import Tensor, nn

from backbones.openmmlab.build import build_model
from backbones.openmmlab.config import load_config
from backbones.openmmlab.registries import import_scope
from backbones.ops import dispatch
from backbones.package_files import config_file
from backbones.registry import variant

CONFIG = 'mask_rcnn_cswin_t_coco'
STATE = 16  # bytes per parameter: value, gradient and two moments in float32
PROPOSALS, POSITIVE = 512, 128  # per image: boxes that are classified, and that get a mask
# options to add, in the order to try them: dtype, `prefer`, `with_cp`
WAYS = {
    'nothing': (torch.float32, 'time', False),
    '`--amp`': (torch.bfloat16, 'time', False),
    '`--prefer memory`': (torch.float32, 'memory', False),
    '`--amp`, `--prefer memory`': (torch.bfloat16, 'memory', False),
    '`with_cp`': (torch.float32, 'time', True),
    'all three': (torch.bfloat16, 'memory', True),
}


def step(name: str, size: tuple[int, int], batch: int) -> dict:
    """Count the memory of a training step in each way, in MiB.

    Args:
        name: a variant.
        size: height and width of the images in pixels.
        batch: number of images.
    """
    with counting(), torch.device('cuda'), dispatch.mode(as_if_on='cuda'):
        model = detector(name)
        images = torch.empty(batch, 3, *size)
        found = {way: round(step_bytes(model, images, *how) / MIB) for way, how in WAYS.items()}
    return dict(backbone=name, size=list(size), batch=batch, **found)


def step_bytes(
    model: nn.Module, images: Tensor, dtype: torch.dtype, prefer: str, with_cp: bool
) -> int:
    boxes = torch.empty(len(images) * PROPOSALS, 256, 7, 7)
    masks = torch.empty(len(images) * POSITIVE, 256, 14, 14)
    state = list(model.parameters())
    given = (*state, *model.buffers(), images)
    model.backbone.set_grad_checkpointing(with_cp)
    model.backbone.prefer = prefer
    seen: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        stage.blocks[0].register_forward_pre_hook(
            lambda block, inputs: seen.append((block, inputs[0]))
        )
        for stage in model.backbone.stages
    ]

    def forward() -> list:
        levels = model.extract_feat(images)
        heads = model.roi_head.bbox_head(boxes), model.roi_head.mask_head(masks)
        return [model.rpn_head(levels), heads]

    with autocast(dtype), dispatch.mode(prefer=prefer):
        kept = held_bytes(forward, given)
        for hook in hooks:
            hook.remove()
        again = [held_bytes(running(*pair), given) for pair in seen if with_cp]
    parameters = sum(x.numel() for x in state)
    return STATE * parameters + images.nbytes + kept + max(again, default=0)


def running(block: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    x = x.detach().requires_grad_()
    return lambda: block(x)


def detector(name: str) -> nn.Module:
    cfg, row = load_config(config_file(CONFIG)), variant(name)
    cfg.model.backbone = row.settings('detection')
    cfg.model.neck.in_channels = list(row.channels)
    import_scope('mmdet')
    return build_model(cfg).train()


@contextmanager
def autocast(dtype: torch.dtype) -> Iterator[None]:
    """Do what `torch.autocast('cuda', dtype)` does, which disables itself without a GPU."""
    before = torch.get_autocast_dtype('cuda')
    torch.set_autocast_dtype('cuda', dtype)
    torch.set_autocast_enabled('cuda', dtype != torch.float32)
    try:
        yield
    finally:
        torch.set_autocast_enabled('cuda', False)
        torch.set_autocast_dtype('cuda', before)
        torch.clear_autocast_cache()
