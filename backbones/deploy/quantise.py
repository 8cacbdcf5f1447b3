"""Files in 8-bit integers, calibrated on training images, and kept only if the metric holds."""

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from backbones.deploy.evaluate import FileValidation
from backbones.deploy.onnx_file import package
from backbones.deploy.openvino_file import openvino_runner, run_compiled
from backbones.errors import UserError
from backbones.inference.shaping import resized
from backbones.inference.trained_model import make_pipeline
from backbones.openmmlab.build import enter_library
from backbones.openmmlab.config_tree import innermost

LAYERS = ('Convolution', 'GroupConvolution', 'MatMul')


@dataclass(frozen=True)
class Quantised:
    """An OpenVINO model in int8.

    Args:
        model: the model.
        before, after: metric of the validation set, in points, before and after.
        kept: layers that stay in higher precision.
    """

    model: Any
    before: float
    after: float
    kept: list[str]


def training_images(cfg: Config, count: int, size: tuple[int, int] | None) -> list[np.ndarray]:
    """Return training images as a file takes them, (1, 3, H, W) RGB from 0 to 255 in float32.

    Args:
        cfg: config with `train_dataloader` and, for the size, a test pipeline.
        count: number of images, spread evenly over the set.
        size: height and width in pixels; None resizes as in the test pipeline.

    Raises:
        UserError: there are no training images.
    """
    if not cfg.get('train_dataloader'):
        raise UserError('int8 needs training images: the config has no train_dataloader')
    enter_library(cfg)
    settings = dict(next(innermost(cfg.train_dataloader.dataset)), pipeline=[])
    dataset = DATASETS.build(settings)
    if not len(dataset):
        raise UserError('int8 needs training images: the training set of the config is empty')
    pipeline = make_pipeline(cfg, resizing=size is None)
    places = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    return [_prepared(dataset.get_data_info(int(i))['img_path'], pipeline, size) for i in places]


def _prepared(path: str, pipeline: Any, size: tuple[int, int] | None) -> np.ndarray:
    import cv2

    image = cv2.imread(path)
    if image is None:
        raise UserError(f'{path} cannot be read; int8 needs the training images')
    if size:
        image = resized(image, size)
    else:
        image = pipeline(dict(img=image, img_id=0))['inputs'].numpy().transpose(1, 2, 0)
    pixels = image[..., ::-1].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(pixels, dtype=np.float32)


def quantise(
    model: Any, images: list[np.ndarray], validation: FileValidation, max_drop: float
) -> Quantised:
    """Quantise an OpenVINO model; layers that cost too much stay in higher precision.

    Args:
        model: the model in float32.
        images: from `training_images`.
        validation: where the metric is computed.
        max_drop: points by which the metric may fall.

    Raises:
        MissingOperatorError: the extra `openvino` is not installed.
    """
    nncf = package('nncf')

    def measure(compiled: Any, indices: Iterable[int]) -> tuple[float, None]:
        with contextlib.redirect_stdout(io.StringIO()):  # tables of the metric
            return validation.metric(run_compiled(compiled), list(indices)), None

    with _quiet():
        before = validation.metric(openvino_runner(model, 'int8'))
        small = nncf.quantize(model, nncf.Dataset(images), subset_size=len(images))
        after = validation.metric(openvino_runner(small, 'int8'))
        if before - after > max_drop:
            small = nncf.quantize_with_accuracy_control(
                model,
                nncf.Dataset(images),
                nncf.Dataset(range(len(validation))),
                measure,
                max_drop=max_drop,
                drop_type=nncf.DropType.ABSOLUTE,
                subset_size=len(images),
            )
            after = validation.metric(openvino_runner(small, 'int8'))
    return Quantised(small, before, after, unquantised(small))


def unquantised(model: Any) -> list[str]:
    """Return the names of a model's layers with weights whose inputs are not quantised."""
    names = []
    for node in model.get_ordered_ops():
        if node.get_type_name() in LAYERS:
            source = node.input_value(0).get_node()
            if source.get_type_name() != 'FakeQuantize':
                names.append(node.get_friendly_name())
    return names


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide NNCF's progress bars and notes."""
    logger = logging.getLogger('nncf')
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
