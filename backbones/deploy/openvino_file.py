"""OpenVINO files: the ONNX graph in the format that runs fastest on most CPUs."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.deploy.compare import Outputs, guarded
from backbones.deploy.onnx_file import package
from backbones.errors import UserError
from backbones.file_digest import sha256
from backbones.inference.digests import GRAPH, WEIGHTS, digest_of
from backbones.inference.sessions import SECTION, OpenVino, core, openvino_reason

EDGES = b'</edges>'  # ends the graph in an .xml file, before the metadata
HINTS = {'fp32': 'f32', 'fp16': 'f32', 'int8': 'f32', 'bf16': 'bf16'}  # arithmetic on CPUs


def to_openvino(file: Any, metadata: Mapping[str, str]) -> Any:
    """Turn an ONNX file into an OpenVINO model.

    Args:
        file: an `onnx.ModelProto`.
        metadata: stored in `rt_info`.

    Raises:
        MissingOperatorError: the extra `openvino` is not installed.
        UserError: OpenVINO cannot read the file; the message gives its reason.
    """
    package('openvino')
    try:
        model = core().read_model(file.SerializeToString())
    except Exception as error:  # OpenVINO raises RuntimeError for everything
        raise UserError(f'OpenVINO cannot read the ONNX file: {openvino_reason(error)}') from error
    for output, value in zip(model.outputs, file.graph.output, strict=True):
        output.tensor.set_names({value.name})
    describe(model, metadata)
    return model


def describe(model: Any, metadata: Mapping[str, str]) -> None:
    """Write metadata into a model's `rt_info`."""
    for key, value in metadata.items():
        model.set_rt_info(value, [*SECTION, key])


def openvino_runner(model: Any, precision: str) -> Callable[[list[np.ndarray]], list[Outputs]]:
    """Compile a model for the CPU and return a function like that of `compare.runner`.

    Args:
        model: an OpenVINO model, or the path of its file.
        precision: the file's precision; 'bf16' computes in bfloat16 if the processor can.

    Raises:
        UserError: OpenVINO cannot compile the model; the message gives its reason.
    """
    session = OpenVino(compile_model(model, precision), {})
    return guarded('OpenVINO', lambda pixels: session.run(pixels, [*session.outputs]))


def compile_model(model: Any, precision: str) -> Any:
    """Compile a model for the CPU, with as many threads as PyTorch."""
    options = dict(
        INFERENCE_PRECISION_HINT=HINTS[precision],
        INFERENCE_NUM_THREADS=torch.get_num_threads(),
        NUM_STREAMS=1,
    )
    try:
        return core().compile_model(model, 'CPU', options)
    except Exception as error:
        raise UserError(f'OpenVINO cannot compile the model: {openvino_reason(error)}') from error


def save(model: Any, out: Path, precision: str) -> None:
    """Write a model as FILE.xml and FILE.bin; nobody can see a half-written one.

    The first contains the digests of its own graph and of the second, and is put in place last.

    Args:
        precision: with 'fp16' and 'bf16', weights are stored in 16 bits.

    Raises:
        UserError: OpenVINO cannot write there, as on a full disk.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        half = Path(folder, out.name)
        write = partial(
            package('openvino').save_model,
            model,
            half,
            compress_to_fp16=precision in ('fp16', 'bf16'),
        )
        try:
            write()
            graph = half.read_bytes().rpartition(EDGES)[0] + EDGES
            weights = sha256(half.with_suffix('.bin'))
            describe(model, {GRAPH: digest_of(graph), WEIGHTS: weights})
            write()
        except RuntimeError as error:  # OpenVINO has no other
            free = shutil.disk_usage(folder).free / 2**20
            raise UserError(
                f'OpenVINO cannot write {out}: {openvino_reason(error)}; {free:.0f} MiB are free '
                'there'
            ) from error
        for suffix in ('.bin', '.xml'):  # the one that names the other comes last
            shutil.move(half.with_suffix(suffix), out.with_suffix(suffix))
