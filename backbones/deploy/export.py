"""Read a model and write it as a file that computes the same numbers."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbones import atomic_write
from backbones.deploy import openvino_file, torch_file
from backbones.deploy.compare import (
    Difference,
    Outputs,
    differences,
    runner,
)
from backbones.deploy.metadata import as_text, describe
from backbones.deploy.models import exportable
from backbones.deploy.onnx_file import package, to_onnx
from backbones.deploy.onnx_graph import half
from backbones.deploy.openvino_file import describe as describe_openvino
from backbones.deploy.openvino_file import openvino_runner, to_openvino
from backbones.deploy.quantise import quantise
from backbones.deploy.source import Source, samples
from backbones.deploy.torch_file import program_runner, to_program
from backbones.errors import UserError
from backbones.inference.digests import with_metadata
from backbones.tables import table

SMALLEST = 32  # height and width, in pixels
SIZES = ((427, 640), (240, 333), (320, 256))  # sizes at which to test a file for all sizes
SUFFIXES = {'onnx': '.onnx', 'openvino': '.xml', 'torch-export': '.pt2'}
PRECISIONS = {
    'onnx': ('fp32', 'fp16'),
    'openvino': ('fp32', 'fp16', 'bf16', 'int8'),
    'torch-export': ('fp32',),
}
PACKAGES = {
    'onnx': ('onnx', 'onnxscript', 'onnxruntime'),
    'openvino': ('onnx', 'onnxscript', 'openvino'),
    'torch-export': (),
}
LOOSER = {'fp32': 1.0, 'fp16': 30.0, 'bf16': 200.0, 'int8': 1.0}  # allowed differences
BATCHES = (1, 2)  # images per call at which to test a file for any number


class Target(NamedTuple):
    """The kind of file to write.

    Args:
        size: height and width of the images in pixels; None for all sizes.
        batch: images per call; None for any number.
        to: the format, one of `SUFFIXES`.
        precision: one of the format's `PRECISIONS`.
        calibration: number of training images for int8.
        max_drop: points by which the metric of an int8 file may fall.
    """

    size: tuple[int, int] | None
    batch: int | None = 1
    to: str = 'onnx'
    precision: str = 'fp32'
    calibration: int = 300
    max_drop: float = 1.0

    @property
    def looser(self) -> float:
        """Factor of the allowed differences."""
        return LOOSER[self.precision]


class Result(NamedTuple):
    """The result of an export: differences from PyTorch, and notes for the user."""

    differences: list[Difference]
    notes: list[str]

    @property
    def agrees(self) -> bool:
        return all(difference.agrees for difference in self.differences)


def check_arguments(out: str, target: Target) -> None:
    """Reject invalid arguments and missing packages before the slow steps.

    Raises:
        UserError: the name of the file, the size or the precision is invalid.
        MissingOperatorError: the extra `export` or `openvino` is not installed.
    """
    suffix = SUFFIXES[target.to]
    if not out.endswith(suffix):
        raise UserError(f'--out is {out}; allowed: a name ending in {suffix}')
    if target.size and min(target.size) < SMALLEST:
        size = ' '.join(map(str, target.size))
        raise UserError(f'--size is {size}; allowed: at least {SMALLEST} pixels')
    if target.precision not in PRECISIONS[target.to]:
        allowed = ', '.join(PRECISIONS[target.to])
        raise UserError(f'--precision {target.precision} with --to {target.to}; allowed: {allowed}')
    if target.calibration < 1 or target.max_drop < 0:
        raise UserError('--calibration must be at least 1, and --max-drop at least 0')
    for name in PACKAGES[target.to] + (('nncf',) if target.precision == 'int8' else ()):
        package(name)


def export(source: Source, out: Path, target: Target) -> Result:
    """Write the file if it agrees with PyTorch.

    Args:
        source: the model.
        out: the file.
        target: the kind of file.

    Raises:
        UserError: the model cannot be exported or, for int8, there are no images to calibrate and
            validate with.
    """
    size, batch = target.size, target.batch
    divisor = source.preprocessing.divisor
    model = exportable(source.model, padded=size is None or any(n % divisor for n in size))
    facts = describe(
        model, source.preprocessing, size=size, batch=batch, precision=target.precision
    )
    if target.to == 'torch-export' and size is None:
        facts['input'] += f', sides multiples of {divisor}'
    metadata = as_text(source.metadata | facts)
    if target.to == 'torch-export':
        program = to_program(model, source.preprocessing, size=size, batch=batch)
        run = program_runner(program, model.outputs)
        found = compared(source, run, target, multiple=divisor if size is None else 1)
        keep = partial(torch_file.save, program, out, metadata)
        return _kept(Result(found, []), keep)
    file = to_onnx(model, source.preprocessing, size=size, batch=batch)
    if target.to == 'onnx':
        if target.precision == 'fp16':
            half(file)
        found = compared(source, runner(file), target)
        return _kept(Result(found, []), partial(_write, out, file, metadata))
    compiled = to_openvino(file, metadata)
    if target.precision == 'int8':  # the metric decides, not the differences
        compiled, result = _in_int8(source, compiled, metadata, target)
        describe_openvino(compiled, metadata)
    else:
        run = openvino_runner(compiled, target.precision)
        result = Result(compared(source, run, target), [])
    return _kept(result, partial(openvino_file.save, compiled, out, target.precision))


def _in_int8(
    source: Source, model: Any, metadata: dict[str, str], target: Target
) -> tuple[Any, Result]:
    """Quantise an OpenVINO model on the images of the source's config."""
    if source.cfg is None:
        raise UserError('int8 needs the data of a config; a backbone alone has none')
    done = quantise(model, metadata, source.cfg, target.calibration, target.max_drop)
    lost = Difference(
        target.size or SIZES[0],
        'metric of the validation set, points lost',
        max(done.before - done.after, 0.0),
        target.max_drop,
    )
    notes = [f'metric in fp32 {done.before:.2f}, in int8 {done.after:.2f} ({done.images} images)']
    notes += [f'in higher precision: {name}' for name in done.kept]
    return done.model, Result([lost], notes)


def _kept(result: Result, write: Callable[[], None]) -> Result:
    """Write the file if it agrees."""
    if result.agrees:
        write()
    return result


def _write(out: Path, file: Any, metadata: Mapping[str, str]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write(out, with_metadata(file, metadata))


def compared(
    source: Source,
    run: Callable[[list[np.ndarray]], list[Outputs]],
    target: Target,
    *,
    multiple: int = 1,
) -> list[Difference]:
    """Compare a file with PyTorch at all sizes and batches of different images.

    Args:
        source, target: see `export`.
        run: the file as a function; see `compare.runner`.
        multiple: sides are rounded up to multiples of this, in pixels.
    """
    batches = (1,) if target.batch else BATCHES
    sizes = [target.size] * 2 if target.size else list(SIZES)
    sizes = [(-(-h // multiple) * multiple, -(-w // multiple) * multiple) for h, w in sizes]
    found: list[Difference] = []
    for image in samples(source.images, sizes, source.preprocessing):
        images = [image, image[:, ::-1]][: max(batches)]
        expected = [source.in_pytorch(x) for x in images]
        for count in batches:
            results = run(images[:count])
            for picture, ours, theirs in zip(images, results, expected):
                found += differences(picture, ours, theirs, target.looser)
    return found


def text(found: list[Difference]) -> str:
    """Format the differences as a table."""
    head = ['image', 'largest difference from PyTorch', 'found', 'allowed']
    rows = [
        [f'{d.image[0]} x {d.image[1]}', d.what, f'{d.found:.1e}', f'{d.allowed:.0e}']
        for d in found
    ]
    return table(head, rows)
