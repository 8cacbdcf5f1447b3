"""Loading a trained model, its class names, and the pipeline that prepares its images."""

from collections.abc import Mapping

import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import nn

from backbones.checkpoints import load_model, read
from backbones.checkpoints.classes import classes_in
from backbones.data.checks.config_checks import check_numbers
from backbones.data.checks.training_record import check_training
from backbones.data.load_channels import LOADER, ORDINARY, check_reading
from backbones.errors import UserError
from backbones.openmmlab.build import build_model, enter_library
from backbones.openmmlab.config_tree import classes_of, innermost, type_name
from backbones.openmmlab.cpu_bfloat16 import correct
from backbones.training.hooks import unwrapped

RESIZING = ('Resize', 'ResizeShortestEdge', 'ResizeToMultiple')


def pick_device(name: str) -> torch.device:
    """Return a device by its name; 'auto' is the GPU if there is one.

    Raises:
        UserError: torch does not know the device, or it is not available.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError without CUDA
        reason = str(error).partition('\n')[0]
        raise UserError(f'device {name!r}: {reason}; allowed: auto, cpu, cuda, cuda:1') from error
    return device


def load_trained(cfg: Config, checkpoint: str, device: torch.device) -> tuple[nn.Module, Mapping]:
    """Build a config's model and load it strictly.

    Returns:
        The model, ready to predict, and the metainfo of its dataset.

    Raises:
        UserError: the model is neither a detector nor a segmentor; the class names are missing; or
            those of model, checkpoint and dataset differ.
        CheckpointError: see `backbones.checkpoints.load_model`.
    """
    scope = cfg.get('default_scope')
    if scope not in ('mmdet', 'mmseg') or not cfg.get('test_dataloader'):
        raise UserError(
            f'{cfg.filename}: predictions need the config of a detector or segmentor with a '
            'test_dataloader, whose pipeline prepares the image; its default_scope is '
            f"{scope!r}; allowed: 'mmdet', 'mmseg'"
        )
    enter_library(cfg)
    dataset = dict(innermost(cfg.test_dataloader.dataset)[0])
    file = read(checkpoint)
    own, trained = check_numbers(cfg, dataset), classes_in(file)
    if own is None:
        if trained is None:
            raise UserError(
                f'neither the config nor {checkpoint} names the classes: set '
                'test_dataloader.dataset.metainfo=dict(classes=(...)) in the config'
            )
        dataset['metainfo'] = dict(classes=trained)
    meta = DATASETS.build(dict(dataset, lazy_init=True, pipeline=[])).metainfo  # reads no file
    model = build_model(cfg)
    load_model(model, checkpoint, file=file, classes=own)
    check_training(cfg, file, checkpoint)
    return model.to(device).eval(), meta


def load_tested(runner: Runner, checkpoint: str) -> None:
    """Load the model of a runner before a test. See `load_trained`."""
    cfg = runner.cfg
    file, own = read(checkpoint), classes_of(cfg, innermost(cfg.test_dataloader.dataset)[0])
    load_model(unwrapped(runner), checkpoint, file=file, classes=own)
    if cfg.test_cfg.get('fp16'):
        correct(runner.model)
    check_training(cfg, file, checkpoint)


def make_pipeline(cfg: Config, *, resizing: bool) -> Compose:
    """Return the config's test pipeline, for a dict with `img`.

    It is (H, W, 3) BGR or, if the pipeline loads all channels, (H, W, C) as in the file.

    Args:
        resizing: resize as in the config; otherwise the image keeps its size.

    Raises:
        UserError: the pipeline does not load an image file.
    """
    steps = []
    for step in innermost(cfg.test_dataloader.dataset)[0]['pipeline']:
        kind = type_name(step)
        if kind == ORDINARY:
            check_reading([step], str(cfg.filename))
            loaded = f'{cfg.default_scope}.LoadImageFromNDArray'
            step = dict(type=loaded, to_float32=step.get('to_float32', False))
        elif kind == LOADER:
            step = dict(type=f'{cfg.default_scope}.LoadImageFromNDArray', to_float32=True)
        annotations = kind.startswith('Load') and kind.endswith('Annotations')
        if not annotations and (resizing or kind not in RESIZING):
            steps.append(step)
    first = steps[0]['type'] if steps else 'nothing'
    if not first.endswith('.LoadImageFromNDArray'):
        raise UserError(
            f'{cfg.filename}: the test pipeline begins with {first}; for predictions it must '
            f'begin with LoadImageFromFile or {LOADER}'
        )
    return Compose(steps)
