#!/usr/bin/env python
"""Put one of our backbones into configs of many families of MMDetection and MMSegmentation.

Each model predicts on one small image and computes losses and gradients on two, on a CPU and
without weights. Writes docs/any_config.md. By default all configs are tried; arguments are parts of
the names of configs to try again, in addition to new ones.
"""

import json
import sys
from pathlib import Path
from typing import NamedTuple

import backbones  # before mmdet, whose modules import mmcv's operators

# isort: split
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample

from backbones.errors import UserError
from backbones.openmmlab.build import (
    build_for_trial,
    first_line,
    image_side,
    metainfo,
    needs_proposals,
    whole_image,
)
from backbones.openmmlab.config import read_config
from backbones.openmmlab.config_tree import with_backbone
from backbones.openmmlab.replace_backbone import swap_backbone

DOCS = Path(__file__).parent.parent / 'docs'
PAGE, RESULTS = DOCS / 'any_config.md', DOCS / 'any_config.json'
BACKBONE = 'cloformer_xxs'
CONFIGS = Path(__file__).with_suffix('.txt').read_text().split()


class Outcome(NamedTuple):
    """The result for a config; `fits` includes one prediction. An empty text means success."""

    fits: str
    trains: str


def attempt(config: str) -> Outcome:
    """Swap the backbone of a config, and train one step without an optimizer."""
    torch.manual_seed(0)
    for name, value in dict(epoch=0, iter=0, max_epochs=12).items():  # normally set by a Runner
        MessageHub.get_current_instance().update_info(name, value)
    try:
        cfg = swap_backbone(read_config(config), BACKBONE)
    except UserError as error:
        return Outcome(str(error), '')
    inner = with_backbone(cfg.model)  # the detector, for a semi-supervised method
    inner.get('data_preprocessor', {}).pop('batch_augments', None)  # pads to 1024x1024 pixels
    model = build_for_trial(cfg, inner)
    model.train()
    try:
        data = model.data_preprocessor(batch(cfg), True)
        total, _ = model.parse_losses(model(**data, mode='loss'))
        total.backward()
    except Exception as error:  # third-party code may raise anything
        return Outcome('', first_line(error))
    grads = [p.grad for p in model.backbone.parameters() if p.grad is not None]
    if not (total.isfinite() and grads and any(g.abs().sum() > 0 for g in grads)):
        return Outcome('', f'the loss is {total.item()}, and the backbone has no gradient')
    return Outcome('', '')


def batch(cfg: Config) -> dict:
    """Two images of noise with two objects each, in the form of the library's data loaders."""
    scope, side = cfg.default_scope, image_side(with_backbone(cfg.model))
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=generator)
    sample = segmentation_sample(side) if scope == 'mmseg' else detection_sample(cfg, side)
    return dict(inputs=list(images), data_samples=[sample, sample.clone()])


def detection_sample(cfg: Config, side: int) -> DetDataSample:
    """Two boxes with label 0, as CrowdDet needs, and masks if the config's pipeline has them."""
    low, high = side // 4, side // 2
    mask = np.zeros((2, side, side), np.uint8)
    mask[0, low:high, low:high] = 1
    mask[1, high:, low:] = 1
    sample = DetDataSample(metainfo=metainfo(side))
    sample.gt_instances = InstanceData(
        bboxes=HorizontalBoxes(
            [[low, low, high, high], [low, high, side, side]], dtype=torch.float32
        ),
        labels=torch.zeros(2, dtype=torch.long),
    )
    pipeline = str(cfg.train_dataloader.to_dict())
    if "'with_mask': True" in pipeline or 'LoadPanopticAnnotations' in pipeline:
        sample.gt_instances.masks = BitmapMasks(mask, side, side)
    sample.ignored_instances = InstanceData(
        bboxes=HorizontalBoxes(torch.zeros(0, 4)), labels=torch.zeros(0, dtype=torch.long)
    )
    if needs_proposals(with_backbone(cfg.model)):
        sample.proposals = whole_image(side)
    sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(mask[:1]).long())
    return sample


def segmentation_sample(side: int) -> SegDataSample:
    """Labels 0 and 1."""
    labels = torch.zeros(1, side, side, dtype=torch.long)
    labels[:, side // 4 : side // 2] = 1
    sample = SegDataSample(metainfo=metainfo(side))
    sample.gt_sem_seg = PixelData(data=labels)
    return sample


def page(results: dict[str, Outcome]) -> str:
    """docs/any_config.md."""
    fits = sum(not r.fits for r in results.values())
    trains = sum(not r.fits and not r.trains for r in results.values())
    families = len({config.split('/')[0] for config in results})
    lines = [
        '# Any config, any backbone',
        '',
        '<!-- written by benchmarks/any_config.py: do not edit -->',
        '',
        '`tools/train.py CONFIG --backbone NAME` replaces the backbone of any config that',
        f'uses a feature pyramid. This table shows where that works: `{BACKBONE}` was put',
        f'into configs from {families} folders of MMDetection and MMSegmentation, on a CPU,',
        'without compiled mmcv. "Fits" means that the model predicts. "Trains" means that its loss',
        'on two small images is finite and has a gradient in the backbone. For trackers and',
        'semi-supervised methods, both refer to the detector. No model was fully trained.',
        '',
        f'{len(results)} configs: {fits} fit, {trains} of them train.',
        '',
        '| config | fits | trains |',
        '| :-- | :-- | :-- |',
    ]
    for config, (fits_not, trains_not) in results.items():
        trained = '' if fits_not else trains_not or 'yes'
        cells = [f'`{config}`', fits_not or 'yes', trained]
        lines.append('| ' + ' | '.join(c.replace('|', '\\|') for c in cells) + ' |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    torch.set_num_threads(1)
    MMLogger.get_instance('any_config', log_level='ERROR')  # otherwise it logs each parameter
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() and sys.argv[1:] else {}
    wanted = sys.argv[1:]
    results = {}
    for config in CONFIGS:
        if config not in known or any(part in config for part in wanted):
            known[config] = attempt(config)
            print(config, *known[config], flush=True)
        results[config] = Outcome(*known[config])
        RESULTS.write_text(json.dumps(results, indent=0) + '\n')  # after each, to keep the results
    PAGE.write_text(page(results))


if __name__ == '__main__':
    assert backbones.BACKBONES
    main()
