"""Create an ONNX file: the model, with the preprocessing of the image in front of it."""

import contextlib
import io
import logging
import operator
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import nn

from backbones.errors import MissingOperatorError, UserError, first_line

OPSET = 18
SAMPLE = (160, 288)  # traced height and width of a file for all sizes: two cells at stride 128
STRIDE = 32  # a file for all sizes pads to multiples of this
NOISY = ('torch', 'onnxscript', 'onnx_ir', 'mmengine')  # loggers that report progress
EXTRA = "pip install 'dense-backbones[export]'"


@dataclass(frozen=True)
class Preprocessing:
    """How an image's pixels become the model's input.

    Args:
        mean, std: per channel in the model's order, for pixels from 0 to 255.
        rgb: whether the model's order is RGB, not BGR.
        divisor: images are padded at the right and bottom to multiples of this, in pixels.
        colours: whether images are RGB of 8 bits, and not channels of any number and range.
    """

    mean: Sequence[float]
    std: Sequence[float]
    rgb: bool
    divisor: int
    colours: bool = True

    @property
    def channels(self) -> int:
        return len(self.mean)


def package(name: str) -> ModuleType:
    """Import onnx or onnxruntime.

    Raises:
        MissingOperatorError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise MissingOperatorError(f'export needs the package {name}: {EXTRA}') from error


def to_onnx(
    model: nn.Module,
    preprocessing: Preprocessing,
    *,
    size: tuple[int, int] | None,
    metadata: dict[str, str],
) -> Any:
    """Export a model from `exportable` together with its preprocessing.

    Args:
        model: takes a normalised, padded image and, for a detector, its size before padding.
        preprocessing: becomes part of the file.
        size: height and width of the images in pixels; None for all sizes.
        metadata: stored in the file.

    Returns:
        An `onnx.ModelProto` with the input `image`, (1, 3, H, W) RGB from 0 to 255 in float32, or
        (1, C, H, W) of a model that takes all channels.

    Raises:
        MissingOperatorError: the extra `export` is not installed.
        UserError: PyTorch cannot export the model; gives its reason.
    """
    onnx = package('onnx')
    package('onnxscript')
    core = _core(model, size, preprocessing)
    before = onnx.parser.parse_model(_before(preprocessing, size, core))
    taken = {i.name for i in core.graph.input}
    pairs = [(name, name) for name in ('padded', 'size') if name in taken]
    file = onnx.compose.merge_models(before, core, io_map=pairs)
    if 'labels' in model.outputs and 'boxes' not in model.outputs:
        after = onnx.parser.parse_model(_after(core))
        pairs = [('whole', 'whole'), ('size', 'size')]
        file = onnx.compose.merge_models(file, after, io_map=pairs)
    outputs = {o.name: o for o in file.graph.output}
    del file.graph.output[:]
    file.graph.output.extend(outputs[name] for name in model.outputs)
    for key, value in metadata.items():
        file.metadata_props.add(key=key, value=value)
    return file


def _core(model: nn.Module, size: tuple[int, int] | None, preprocessing: Preprocessing) -> Any:
    """Export the model without preprocessing; its inputs are `padded` and perhaps `size`."""
    H, W = size or SAMPLE
    divisor = preprocessing.divisor
    shape = [-(-n // divisor) * divisor for n in (H, W)]
    detector = 'boxes' in model.outputs
    arguments = (
        torch.zeros(1, preprocessing.channels, *shape),
        *([torch.tensor([H, W])] if detector else []),
    )
    sides = {
        axis: STRIDE * torch.export.Dim(name, min=2, max=256)
        for axis, name in ((2, 'rows'), (3, 'columns'))
    }
    dynamic = None if size else (sides, *([None] if detector else []))
    names = ['whole'] if 'labels' in model.outputs and not detector else list(model.outputs)
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(model, arguments, dynamic_shapes=dynamic, strict=False)
            exported = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=['padded', 'size'][: len(arguments)],
                output_names=names,
                custom_translation_table={operator.le: _at_most},
                verbose=False,
            )
    except Exception as error:  # third-party heads, and PyTorch about them, may raise anything
        kind = type(model.model).__name__
        reason = first_line(error.__cause__ or error)
        raise UserError(f'PyTorch cannot export {kind}: {reason}') from error
    return exported.model_proto


def _at_most(size: Any, bound: Any) -> Any:
    """Translate a comparison of sizes; torch.export also compares with bounds beyond int64."""
    op = package('onnxscript').opset18
    return op.LessOrEqual(size, min(bound, 2**63 - 1) if isinstance(bound, int) else bound)


def _before(preprocessing: Preprocessing, size: tuple[int, int] | None, core: Any) -> str:
    """Return an ONNX model, as text, that normalises and pads."""
    sides = ', '.join(map(str, size or ('height', 'width')))
    padded = _shape(core.graph.input[0])
    number = preprocessing.channels
    mean, std = (
        f'float[1, {number}, 1, 1] {{{", ".join(map(repr, map(float, values)))}}}'
        for values in (preprocessing.mean, preprocessing.std)
    )
    kept = preprocessing.rgb or not preprocessing.colours
    order = ', '.join(map(str, range(number))) if kept else '2, 1, 0'
    return f"""
        <ir_version: {core.ir_version}, opset_import: ["" : {OPSET}]>
        preprocessing (float[1, {number}, {sides}] image)
            => (float[{padded}] padded, int64[2] size) {{
            before_order = Constant <value = int64[{number}] {{{order}}}> ()
            before_mean = Constant <value = {mean}> ()
            before_std = Constant <value = {std}> ()
            before_divisor = Constant <value = int64[1] {{{preprocessing.divisor}}}> ()
            before_none = Constant <value = int64[6] {{0, 0, 0, 0, 0, 0}}> ()
            before_ordered = Gather <axis = 1> (image, before_order)
            before_centred = Sub (before_ordered, before_mean)
            before_normalised = Div (before_centred, before_std)
            size = Shape <start = 2, end = 4> (image)
            before_beyond = Neg (size)
            before_missing = Mod (before_beyond, before_divisor)
            before_pads = Concat <axis = 0> (before_none, before_missing)
            padded = Pad (before_normalised, before_pads)
        }}
    """


def _after(core: Any) -> str:
    """Return an ONNX model, as text, that unpads a segmentor's logits and picks the best class."""
    shape = _shape(core.graph.output[0])
    classes = shape.split(', ')[1]
    return f"""
        <ir_version: {core.ir_version}, opset_import: ["" : {OPSET}]>
        postprocessing (float[{shape}] whole, int64[2] size)
            => (float[1, {classes}, height, width] logits, int64[1, height, width] labels) {{
            after_start = Constant <value = int64[2] {{0, 0}}> ()
            after_axes = Constant <value = int64[2] {{2, 3}}> ()
            logits = Slice (whole, after_start, size, after_axes)
            labels = ArgMax <axis = 1, keepdims = 0> (logits)
        }}
    """


def _shape(value: Any) -> str:
    """Return a value's shape in ONNX text: numbers, or names for axes that vary."""
    dims = enumerate(value.type.tensor_type.shape.dim)
    return ', '.join(str(d.dim_value) if d.HasField('dim_value') else f'axis{i}' for i, d in dims)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide the exporter's progress notes; its errors are still raised."""
    levels = {name: logging.getLogger(name).level for name in NOISY}
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        for name in NOISY:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
