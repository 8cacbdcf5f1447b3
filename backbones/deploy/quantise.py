"""Quantising to 8-bit integers with training images, and checking the loss in the metric."""

import contextlib
import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS

from backbones.deploy.metric import Validation, points
from backbones.deploy.onnx_file import package
from backbones.deploy.openvino_file import compile_model
from backbones.errors import UserError
from backbones.inference import Predictor
from backbones.inference.sessions import OpenVino, Outputs, Session
from backbones.openmmlab.build import enter_library
from backbones.openmmlab.config_tree import innermost

LAYERS = ('Convolution', 'GroupConvolution', 'MatMul')
MOVES = (  # which do not compute, and may lie between a quantiser and its layer
    *('Concat', 'Pad', 'Reshape', 'Slice', 'Split', 'Squeeze', 'StridedSlice', 'Transpose'),
    *('Unsqueeze', 'VariadicSplit'),
)


@dataclass(frozen=True)
class Quantised:
    """An OpenVINO model in int8.

    Args:
        model: the model.
        before, after: metric of the validation set, in points, before and after.
        images: number of training images for calibration.
        kept: layers that keep a higher precision.
    """

    model: Any
    before: float
    after: float
    images: int
    kept: list[str]


def quantise(
    model: Any, about: Mapping[str, str], cfg: Config, count: int, max_drop: float
) -> Quantised:
    """Quantise an OpenVINO model; layers that cost too many points keep a higher precision.

    Both for calibration and for the metric, images are prepared as `Predictor` does it for the
    file.

    Args:
        model: the model in float32.
        about: its metadata.
        cfg: config with training and validation data.
        count: number of training images, spread evenly over the set.
        max_drop: points by which the metric may fall.

    Raises:
        MissingOperatorError: the extra `openvino` is not installed.
        UserError: there are no training or validation images.
    """
    nncf = package('nncf')
    validation, paths = Validation(cfg), training_images(cfg, count)

    def measure(compiled: Any, indices: Iterable[int] | None = None) -> tuple[float, None]:
        predictor = Predictor(OpenVino(compiled, about), score=0)
        with contextlib.redirect_stdout(io.StringIO()):  # hides the metric's tables
            return points(validation.evaluate(predictor, indices)), None

    def measured(model: Any) -> float:
        return measure(compile_model(model, 'int8'))[0]

    with _quiet():
        before = measured(model)
        seen = nncf.Dataset(
            calibration_inputs(OpenVino(compile_model(model, 'fp32'), about), paths)
        )
        options: dict[str, Any] = dict(
            subset_size=len(paths),
            model_type=nncf.ModelType.TRANSFORMER,  # evens out the ranges of channels first
            preset=nncf.QuantizationPreset.PERFORMANCE,  # no zero points, which cost a pass each
            ignored_scope=nncf.IgnoredScope(names=products(model)),
        )
        small = nncf.quantize(model, seen, **options)
        after = measured(small)
        if before - after > max_drop:
            small = nncf.quantize_with_accuracy_control(
                model,
                seen,
                nncf.Dataset(range(len(validation))),
                measure,
                max_drop=max_drop,
                drop_type=nncf.DropType.ABSOLUTE,
                **options,
            )
            after = measured(small)
    return Quantised(small, before, after, len(paths), unquantised(small))


def training_images(cfg: Config, count: int) -> list[str]:
    """Return the paths of training images, spread evenly over the set.

    Raises:
        UserError: there are none.
    """
    if not cfg.get('train_dataloader'):
        raise UserError('int8 needs training images: the config has no train_dataloader')
    enter_library(cfg)
    settings = dict(innermost(cfg.train_dataloader.dataset)[0], pipeline=[])
    dataset = DATASETS.build(settings)
    if not len(dataset):
        raise UserError('int8 needs training images: the training set of the config is empty')
    places = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    return [dataset.get_data_info(int(place))['img_path'] for place in places]


class _Watched:
    """A session that records its inputs."""

    def __init__(self, session: Session) -> None:
        self.session, self.seen = session, list[np.ndarray]()
        self.about, self.shape, self.outputs = session.about, session.shape, session.outputs

    def run(self, pixels: np.ndarray, names: Sequence[str]) -> Outputs:
        self.seen.append(pixels)
        return self.session.run(pixels, names)


def calibration_inputs(session: Session, paths: list[str]) -> list[np.ndarray]:
    """Return the input with which a file is run for each image: one of several windows.

    Args:
        session: the open file, which is run to find out.
        paths: image files.
    """
    watched, rng = _Watched(session), np.random.default_rng(0)
    predictor = Predictor(watched)
    inputs = []
    for path in paths:
        watched.seen.clear()
        predictor.predict(path)
        inputs.append(watched.seen[rng.integers(len(watched.seen))])
    return inputs


def products(model: Any) -> list[str]:
    """Return the names of matrix products without weights, as in attention.

    OpenVINO fuses attention into one operator, which 8-bit integers would keep it from.
    """
    return [name for name, inputs in _layers(model).items() if len(inputs) == 2]


def unquantised(model: Any) -> list[str]:
    """Return the names of a model's layers with weights whose inputs are not quantised."""
    names = []
    for name, inputs in _layers(model).items():
        source = inputs[0]
        while source.get_type_name() in MOVES:
            source = source.input_value(0).get_node()
        if len(inputs) == 1 and source.get_type_name() != 'FakeQuantize':
            names.append(name)
    return names


def _layers(model: Any) -> dict[str, list[Any]]:
    """Return, by the names of layers, the nodes of those inputs that depend on the image."""
    found: dict[str, list[Any]] = {}
    computed = set()
    for node in model.get_ordered_ops():
        sources = [value.get_node() for value in node.input_values()]
        sources = [source for source in sources if source.get_friendly_name() in computed]
        if sources or node.get_type_name() == 'Parameter':
            computed.add(node.get_friendly_name())
        if sources and node.get_type_name() in LAYERS:
            found[node.get_friendly_name()] = sources
    return found


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
