"""Time the parts of a training iteration: data, backbone, neck and heads, optimizer."""

import statistics
import sys
import tempfile
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from PIL import Image
from subjects import annotations, tensors_of
from torch import Tensor, nn
from torch.utils import benchmark

from backbones.openmmlab.build import build_model
from backbones.openmmlab.config import load_config

SIZES = dict(mmdet=(800, 1280), mmseg=(512, 512))  # images in a training batch
ON_DISK = dict(mmdet=(480, 640), mmseg=(512, 683))  # typical images of COCO and ADE20K


class Given(nn.Module):
    """Return precomputed levels in place of a backbone."""

    def __init__(self, levels: list[Tensor]) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.levels


def iteration(config: str, size: tuple[int, int] | None, threads: int, repeats: int) -> dict:
    """Time the parts of a training iteration with the batch of one GPU, in turns.

    Args:
        config: a config file; its model gets random weights.
        size: height and width of the images in pixels; default: that of the method.
        threads: number of CPU threads.
        repeats: timed runs of each part, after one untimed run.

    Returns:
        The setting, and each part's median in milliseconds: `data` is the batch through the
        training pipeline, `heads` the model without its backbone; `heads` and `backbone` include
        forward and backward pass.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    cfg = load_config(config)
    scope = cfg.default_scope
    size, batch = size or SIZES[scope], cfg.train_dataloader.batch_size
    model = build_model(cfg).train()
    with tempfile.TemporaryDirectory() as folder:
        steps = dict(data=loading(cfg, Path(folder), batch), **computing(cfg, model, size, batch))
        times: dict[str, list[float]] = {part: [] for part in steps}
        for turn in range(repeats + 1):
            for part, step in steps.items():
                start = benchmark.timer()
                step()
                times[part].append(benchmark.timer() - start)
            print(f'  {config}: turn {turn} of {repeats}', file=sys.stderr)
    found = {f'{part}_ms': 1e3 * statistics.median(t[1:]) for part, t in times.items()}
    setting = dict(config=Path(config).stem, size=list(size), batch=batch, threads=threads)
    return (
        setting
        | dict(repeats=repeats)
        | {key: float(f'{value:.4g}') for key, value in found.items()}
    )


def computing(
    cfg: Config, model: nn.Module, size: tuple[int, int], batch: int
) -> dict[str, Callable]:
    """Return the model's step and its optimizer's step."""
    images, samples = torch.randn(batch, 3, *size), annotations(cfg.default_scope, batch, size)
    whole = model.backbone
    with torch.no_grad():
        levels = whole(images)
    given = Given([level.requires_grad_() for level in levels])
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)

    def backbone() -> None:
        out = whole(images)
        torch.autograd.backward(out, [torch.full_like(level, 1e-3) for level in out])

    def heads() -> None:
        model.backbone = given
        losses = model(images, samples, 'loss')
        sum(x.mean() for key, x in flat(losses) if 'loss' in key).backward()
        model.backbone = whole

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return dict(backbone=backbone, heads=heads, optimizer=update)


def flat(losses: dict) -> list[tuple[str, Tensor]]:
    return [(key, x) for key, value in losses.items() for x in tensors_of(value)]


def loading(cfg: Config, folder: Path, batch: int) -> Callable[[], object]:
    """Return a function that runs the training pipeline on a typical image with annotations."""
    height, width = ON_DISK[cfg.default_scope]
    noise = np.random.default_rng(0).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(folder / 'image.jpg')
    pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
    facts = dict(img_path=str(folder / 'image.jpg'), img_id=0, height=height, width=width)
    if cfg.default_scope == 'mmdet':
        box = [100, 100, 300, 250]
        outline = [100, 100, 300, 100, 300, 250, 100, 250]
        one = dict(bbox=box, bbox_label=0, mask=[outline], ignore_flag=0)
        facts |= dict(instances=[one] * 8)
    else:
        labels = np.zeros((height, width), dtype=np.uint8)
        Image.fromarray(labels).save(folder / 'labels.png')
        facts |= dict(seg_map_path=str(folder / 'labels.png'), label_map=None, seg_fields=[])
        facts |= dict(reduce_zero_label=True)

    def load() -> None:
        for _ in range(batch):
            while pipeline(deepcopy(facts)) is None:  # if no box is left, try again like datasets
                pass

    return load
