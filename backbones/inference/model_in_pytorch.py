"""A config's model with a checkpoint, run by MMDetection or MMSegmentation."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from copy import deepcopy

import torch
from mmengine.config import Config

from backbones.checkpoints.fetch import locate
from backbones.data.load_channels import channels_of, values_of
from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.drawing.samples import predicted
from backbones.inference.compiling import compile_backbone, compiler_explained
from backbones.inference.folding import cast, fold
from backbones.inference.memory import MASKS, SCORE
from backbones.inference.model import digest_of
from backbones.inference.trained_model import load_trained, make_pipeline, pick_device
from backbones.openmmlab.config import read_config
from backbones.openmmlab.config_tree import has_mask_head, innermost
from backbones.openmmlab.cpu_bfloat16 import correct
from backbones.openmmlab.replace_backbone import swap_backbone


class ModelInPyTorch:
    """See `Model`; the arguments are those of `Predictor`."""

    def __init__(
        self,
        config: str | Config,
        checkpoint: str,
        *,
        backbone: str | None,
        device: str,
        tile: int | None,
        amp: bool,
        compiled: bool,
    ) -> None:
        cfg = deepcopy(config) if isinstance(config, Config) else read_config(str(config))
        cfg = swap_backbone(cfg, backbone) if backbone else cfg
        self.checkpoint = checkpoint
        self.settings = json.dumps([cfg.get('model'), cfg.get('test_dataloader')], default=str)
        self.amp = amp
        self.segments = cfg.get('default_scope') == 'mmseg'
        tests = cfg.model.get('test_cfg') or {}
        self.panoptic = 'panoptic_fusion_head' in cfg.model and tests.get('panoptic_on', True)
        self.module, self.meta = load_trained(cfg, checkpoint, pick_device(device))
        fold(self.module)
        self.device = next(self.module.parameters()).device.type
        self.on_cpu = self.device == 'cpu'
        if self.on_cpu:  # saves convolutions from reordering their inputs and outputs
            self.module.to(memory_format=torch.channels_last)
            if amp:  # on GPUs, a cast takes no time worth having
                correct(self.module)
                cast(self.module)
        self.compiled = compiled
        self._compile()
        self.pipeline = make_pipeline(cfg, resizing=not (self.segments and tile))
        pipeline = innermost(cfg.test_dataloader.dataset)[0]['pipeline']
        self.channels, self.values = channels_of(pipeline), values_of(pipeline)
        self.bytes_per_pixel: float = bytes_per_pixel(cfg, len(self.meta['classes']))

    def _compile(self) -> None:
        if self.compiled:
            compile_backbone(self.module, on_cpu=self.on_cpu)

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._compile()  # PyTorch leaves compiled code out of copies and pickles

    def prepare(self, image: Picture) -> dict:
        image = image if self.channels else image[..., ::-1]  # OpenCV's order
        return self.pipeline(dict(img=image.copy(), img_id=0))

    def predict(self, prepared: Sequence[dict], score: float) -> list[tuple[Found, float]]:
        with self._inference():
            samples = self.module.test_step(_collated(prepared))
        made = []
        for sample in samples:
            found = predicted(sample, score, self.meta)
            scores = sample.pred_instances.scores.tolist() if 'pred_instances' in sample else []
            made.append((found, max(scores, default=0.0)))
        return made

    def scores(self, prepared: Sequence[dict]) -> list[torch.Tensor]:
        with self._inference():
            data = self.module.data_preprocessor(_collated(prepared), False)
            metas = [sample.metainfo for sample in data['data_samples']]
            return [*self.module.encode_decode(data['inputs'], metas).float()]

    def decide(self, scores: torch.Tensor) -> torch.Tensor:
        if len(scores) > 1:
            return scores.argmax(0).cpu()
        # one score for two classes
        return (scores[0].sigmoid() > self.module.decode_head.threshold).cpu()

    def digest(self) -> str:
        return digest_of([locate(self.checkpoint)[0]], self.settings)

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        autocast = torch.autocast(self.device, torch.bfloat16, enabled=self.amp)
        with compiler_explained(), torch.no_grad(), autocast:
            yield


def _collated(prepared: Sequence[dict]) -> dict:
    return {key: [data[key] for data in prepared] for key in ('inputs', 'data_samples')}


def bytes_per_pixel(cfg: Config, classes: int) -> int:
    """Return the memory, in bytes per pixel of the image, that a result takes before selection.

    Args:
        cfg: config of a detector or segmentor.
        classes: the number of classes.
    """
    if cfg.default_scope == 'mmseg':
        return SCORE * classes
    if not has_mask_head(cfg.model):
        return 0
    rules = cfg.model.get('test_cfg') or {}
    rules = rules.get('rcnn', rules)
    masks = rules.get('max_per_img', rules.get('max_per_image', MASKS))
    return masks * (SCORE if cfg.model.get('panoptic_head') else 1)  # Mask2Former keeps scores
