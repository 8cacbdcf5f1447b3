"""Reading a model to export, and images to compare its file on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image
from torch import nn

from backbones.checkpoints import load_model, read
from backbones.checkpoints.classes import classes_in
from backbones.data.checks.config_checks import check_numbers
from backbones.data.checks.training_record import check_training
from backbones.data.files.listing import SUFFIXES
from backbones.data.load_channels import channels_of, check_reading, values_of
from backbones.deploy.compare import Outputs, backbone_in_pytorch, model_in_pytorch
from backbones.deploy.metadata import digest, of_config
from backbones.deploy.preprocessing import Preprocessing
from backbones.deploy.tracing import STRIDE
from backbones.errors import MissingFileError, UserError, did_you_mean
from backbones.factory import create
from backbones.inference.reading import read_image
from backbones.openmmlab.build import build_model, check_single_images
from backbones.openmmlab.config import load_config
from backbones.openmmlab.registries import find_class
from backbones.registry import list_backbones, variant


@dataclass(frozen=True)
class Source:
    """A model to export.

    Args:
        model: the model with its weights, in eval mode.
        preprocessing: what the file does to an image first.
        in_pytorch: runs the model like its library does.
        metadata: facts to store in the file.
        images: image files to compare on; if empty, scikit-learn's photographs are used.
        cfg: the config, if there is one; int8 uses its data.
    """

    model: nn.Module
    preprocessing: Preprocessing
    in_pytorch: Callable[[np.ndarray], Outputs]
    metadata: dict[str, Any]
    images: list[Path]
    cfg: Config | None = None


def read_backbone(name: str, checkpoint: str | None, *, pretrained: bool, dynamic: bool) -> Source:
    """Read a backbone by the name of its variant.

    Args:
        name: one of `list_backbones()`.
        checkpoint: any file that `create` accepts.
        pretrained: use the authors' file instead.
        dynamic: export for all sizes.

    Raises:
        UserError: no weights are given, or two sources of them.
    """
    if bool(checkpoint) == pretrained:
        raise UserError(f'{name}: give either a checkpoint or --pretrained')
    model = create(name, pretrained=True if pretrained else checkpoint).eval()
    source = of_backbone(name, model, dynamic=dynamic)
    if checkpoint:
        source.metadata['checkpoint_sha256'] = digest(checkpoint)
    return source


def of_backbone(name: str, model: nn.Module, *, dynamic: bool) -> Source:
    """Return the source for a backbone with weights, in eval mode. See `read_backbone`."""
    row = variant(name)
    preprocessing = Preprocessing(row.mean, row.std, rgb=True, divisor=STRIDE if dynamic else 1)
    return Source(
        model=model,
        preprocessing=preprocessing,
        in_pytorch=backbone_in_pytorch(model, preprocessing),
        metadata=dict(model=name, strides=model.strides, channels=model.channels),
        images=[],
    )


def read_model(
    config: str,
    checkpoint: str | None,
    *,
    backbone: str | None,
    options: dict | None,
    dynamic: bool,
) -> Source:
    """Read a whole detector or segmentor.

    Args:
        config, backbone, options: see `load_config`.
        checkpoint: see `load_model`.
        dynamic: export for all sizes.

    Raises:
        UserError: there is no checkpoint, or the config's model cannot be read.
    """
    try:
        cfg = load_config(config, options=options, backbone=backbone)
    except MissingFileError as error:  # or the name of a backbone was meant
        raise MissingFileError(f'{error}{did_you_mean(config, list_backbones())}') from error
    if not checkpoint:
        raise UserError(
            f'{config}: give a checkpoint of the whole model, as saved by tools/train.py'
        )
    check_single_images(cfg.model)
    dataset = cfg.get('test_dataloader', {}).get('dataset', {})
    check_reading(dataset.get('pipeline'), config)
    if 'type' in dataset:
        check_numbers(cfg, dataset)
    model = build_model(cfg)
    file, own = read(checkpoint), _stated(dataset, 'classes')
    load_model(model, checkpoint, file=file, classes=own)
    check_training(cfg, file, checkpoint)
    model.eval()
    preprocessing = preprocessing_of(cfg, dynamic)
    if cfg.default_scope == 'mmseg':
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    name = Path(config.rpartition('::')[2]).stem
    classes = own or list(classes_in(file) or ())
    return Source(
        model=model,
        preprocessing=preprocessing,
        in_pytorch=model_in_pytorch(
            model, Sample, preprocessing.divisor, colours=preprocessing.colours
        ),
        metadata=dict(
            model=name,
            classes=classes,
            class_count=len(classes) or None,
            palette=_stated(dataset, 'palette') or None,
            bands=_stated(dataset, 'bands') or None,
            values=values_of(dataset.get('pipeline')),
            checkpoint_sha256=digest(checkpoint),
            **of_config(cfg),
        ),
        images=_images(dataset),
        cfg=cfg,
    )


def samples(
    files: list[Path], sizes: list[tuple[int, int]], preprocessing: Preprocessing
) -> Iterator[np.ndarray]:
    """Yield an image for each size (H, W): RGB bytes, or random values for other channels."""
    rng = np.random.default_rng(0)
    for i, (height, width) in enumerate(sizes):
        if not preprocessing.colours:
            noise = rng.standard_normal((height, width, preprocessing.channels))
            yield (noise * preprocessing.std + preprocessing.mean).astype(np.float32)
            continue
        if files:
            pixels, _ = read_image(files[i % len(files)])
        else:
            pixels = photographs()[i % 2]
        image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        yield np.asarray(image)


def photographs() -> list[np.ndarray]:
    """Return scikit-learn's two photographs, as RGB bytes."""
    from sklearn.datasets import load_sample_images  # takes a second and is rarely needed

    return load_sample_images().images


def preprocessing_of(cfg: Config, dynamic: bool) -> Preprocessing:
    """Return what the model's data preprocessor does to an image at test time."""
    settings = cfg.model.get('data_preprocessor') or {}
    own = settings.get('pad_size_divisor') or (settings.get('test_cfg') or {}).get('size_divisor')
    divisor = int(np.lcm(own or 1, STRIDE if dynamic else 1))
    mean, std = settings.get('mean') or (0, 0, 0), settings.get('std') or (1, 1, 1)
    test = (cfg.get('test_dataloader') or {}).get('dataset', {})
    colours = not channels_of(test.get('pipeline'))
    rgb = bool(settings.get('bgr_to_rgb'))
    return Preprocessing(mean, std, rgb=rgb, divisor=divisor, colours=colours)


def _stated(dataset: dict, fact: str) -> list:
    """Return a list of the dataset's metainfo, from the config or from the dataset's class."""
    own = (dataset.get('metainfo') or {}).get(fact)
    if own or 'type' not in dataset:
        return list(own or ())
    cls: Any = find_class(dataset['type'], None)
    return list(getattr(cls, 'METAINFO', {}).get(fact) or ())


def _images(dataset: dict) -> list[Path]:
    """Return the first two images of a config's test set, if it exists."""
    folder = image_folder(dataset)
    if not folder:
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)[:2]


def image_folder(dataset: dict) -> Path | None:
    """Return the folder of a config's dataset that holds its images, if it exists."""
    prefix = dataset.get('data_prefix') or {}
    folder = Path(dataset.get('data_root') or '', prefix.get('img') or prefix.get('img_path') or '')
    return folder if prefix and folder.is_dir() else None
