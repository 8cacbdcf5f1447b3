"""Opening an exported file in the runtime for its suffix."""

import contextlib
import json
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np

from backbones.errors import MissingFileError, UserError, first_line, installed, shown
from backbones.inference.attempts import OUT_OF_MEMORY
from backbones.inference.digests import check_graph, check_weights

RUNTIMES = {'.onnx': 'onnxruntime', '.xml': 'openvino', '.pt2': 'torch'}  # by suffix
FACTS = 'metadata.json'  # inside a file of torch.export
SECTION = ['dense_backbones']  # section of OpenVINO's metadata
PLACES = re.compile(r"^.*Exception from .*$|\bCheck '.*' failed at \S+:\d+:", re.M)
_CORES: dict[int, Any] = {}  # by process: none is used after forking
Outputs = dict[str, np.ndarray]
Shape = tuple[int | None, ...]  # None for a variable length


def runtime_of(path: str | Path) -> str | None:
    """Return the runtime for a file's suffix; None if it is not an exported file."""
    return RUNTIMES.get(Path(path).suffix.lower())


@runtime_checkable
class Session(Protocol):
    """An opened file, ready to run."""

    about: dict[str, str]  # the file's metadata
    shape: Shape  # shape of the input, `image`: images, channels, height, width
    outputs: Mapping[str, Shape]  # their shapes, by name; () if nothing is known

    def run(self, pixels: np.ndarray, names: Sequence[str]) -> Outputs:
        """Compute the named outputs for float32 images of the shape `shape`.

        Raises:
            MemoryError: there is not enough memory.
        """


def open_file(path: str, *, threads: int | None = None, bf16: bool = False) -> Session:
    """Open an exported file.

    Args:
        path: an `.onnx`, `.xml` or `.pt2` file.
        threads: number of CPU threads; None is OMP_NUM_THREADS if that is set, as for PyTorch, else
            the runtime's own choice.
        bf16: let OpenVINO compute in bfloat16.

    Raises:
        MissingFileError, MissingOperatorError: the file or its runtime is missing.
        UserError: the runtime cannot open it; the message gives its reason.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path} does not exist')
    threads = threads or int(os.environ.get('OMP_NUM_THREADS') or 0)
    runtime = runtime_of(path)
    if runtime == 'openvino':
        return _open_openvino(path, threads, bf16)
    if bf16:
        raise UserError(f'{path}: bfloat16 is for OpenVINO files (.xml) and for checkpoints')
    return TorchExport(path, threads) if runtime == 'torch' else OnnxRuntime(path, threads)


class OnnxRuntime:
    """A file in onnxruntime; see `Session`. The file may also be its own bytes."""

    def __init__(self, file: str | bytes, threads: int) -> None:
        runtime = package('onnxruntime')
        if isinstance(file, str):
            check_graph(Path(file))
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # its warnings are about constant folding
        try:
            self.session = runtime.InferenceSession(
                file, options, providers=['CPUExecutionProvider']
            )
            self.about = dict(self.session.get_modelmeta().custom_metadata_map)  # may be no text
        except Exception as error:  # onnxruntime has its own exceptions
            raise UserError(f'{_name(file)} cannot be opened: {first_line(error)}') from error
        inputs = self.session.get_inputs()
        self.shape = _shape_of({i.name: i.shape for i in inputs}, file)
        outputs = self.session.get_outputs()
        self.outputs: Mapping[str, Shape] = {o.name: _sides(o.shape) for o in outputs}

    def run(self, pixels: np.ndarray, names: Sequence[str]) -> Outputs:
        try:
            return dict(zip(names, self.session.run(names, {'image': pixels})))
        except Exception as error:
            raise _said(error, pixels) from error


class OpenVino:
    """A compiled OpenVINO model with its metadata; see `Session`.

    Args:
        name: what messages call it.
        again: compiles it again, which makes it usable after an error.
    """

    def __init__(
        self,
        compiled: Any,
        about: Mapping[str, str],
        name: str = 'the model',
        again: Callable[[], Any] | None = None,
    ) -> None:
        shapes = {i.any_name: _openvino_shape(i.partial_shape) for i in compiled.inputs}
        self.about, self.shape = dict(about), _shape_of(shapes, name)
        self.outputs: Mapping[str, Shape] = {
            output.any_name: _openvino_shape(output.partial_shape) for output in compiled.outputs
        }
        self.request, self.again = compiled.create_infer_request(), again
        self.process = os.getpid()
        self.lock = Lock()  # unlike onnxruntime's sessions, a request handles one call at a time

    def run(self, pixels: np.ndarray, names: Sequence[str]) -> Outputs:
        if self.process != os.getpid():  # its threads are gone, and it would wait forever
            raise UserError(
                'an OpenVINO file was opened before this process was forked: open it in each one'
            )
        with self.lock:
            try:
                # with one thread, `infer` returns old results if there is too little memory
                self.request.start_async({'image': pixels})
                self.request.wait()
            except Exception as error:
                if self.again:  # after an error, the model fails on images that it can take, too
                    self.request = self.again().create_infer_request()
                raise _said(error, pixels, openvino_reason(error)) from error
            # copies, because the next call writes there
            return {name: self.request.get_tensor(name).data.copy() for name in names}


def _open_openvino(file: str, threads: int, bf16: bool) -> OpenVino:
    package('openvino')
    check_graph(Path(file))  # first, since OpenVINO's error would name a layer
    check_weights(Path(file))
    with _explained(file):
        model = core().read_model(file)
        about = {k: str(v) for k, v in _section(model).items()}
    rounds = bf16 or about.get('precision') == 'bf16'
    options = dict(
        # by default, OpenVINO rounds to bfloat16 wherever the processor can
        INFERENCE_PRECISION_HINT='bf16' if rounds else 'f32',
        PERFORMANCE_HINT='LATENCY',
        **(dict(INFERENCE_NUM_THREADS=threads) if threads else {}),
    )
    compiled = partial(core().compile_model, model, 'CPU', options)
    with _explained(file):
        return OpenVino(compiled(), about, file, again=compiled)


def core() -> Any:
    """Return OpenVINO's core, one for each process.

    Its plugin for CPUs sets a stack for signal handlers, and when it is released restores the one
    before, even if that belonged to another plugin and is gone: the next signal would end the
    process. With one core, there is only one plugin, which stays.
    """
    process = os.getpid()
    if process not in _CORES:  # if several threads are here, they get the same core
        _CORES.setdefault(process, package('openvino').Core())
    return _CORES[process]


@contextlib.contextmanager
def _explained(file: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # it raises RuntimeError for nearly everything
        raise UserError(f'{file} cannot be opened: {openvino_reason(error)}') from error


def openvino_reason(error: Exception) -> str:
    """Return OpenVINO's reason in one line, without the places in its source."""
    return shown(' '.join(PLACES.sub('', str(error)).split()))


def _said(error: Exception, pixels: np.ndarray, reason: str = '') -> Exception:
    if OUT_OF_MEMORY.search(str(error)):
        return MemoryError()
    shape = ' x '.join(map(str, pixels.shape))
    reason = reason or first_line(error)
    return UserError(f'the file cannot be run on images of {shape}: {reason}')


class TorchExport:
    """A file of torch.export; see `Session`. It is a program, whose text PyTorch executes."""

    def __init__(self, file: str, threads: int) -> None:
        self.torch = package('torch')
        package('torchvision')  # registers the operators of detectors
        if threads:
            self.torch.set_num_threads(threads)
        facts = {FACTS: ''}
        try:
            with zipfile.ZipFile(file) as parts:
                damaged = parts.testzip()  # PyTorch does not compare the weights' checksums
            if damaged:
                raise ValueError(f'its part {damaged} is damaged: copy it or export it again')
            with warnings.catch_warnings():  # PyTorch's, about its own buffers
                warnings.simplefilter('ignore')
                program = self.torch.export.load(file, extra_files=facts)
            self.about = {k: str(v) for k, v in json.loads(facts[FACTS] or '{}').items()}
            outputs, signature = (
                json.loads(self.about.get('outputs', '[]')),
                program.graph_signature,
            )
            shapes = {n.name: getattr(n.meta.get('val'), 'shape', ()) for n in program.graph.nodes}
            names = signature.user_outputs
            if len(outputs) != len(names):
                told = f'its metadata name {len(outputs)} of {len(names)} outputs'
                raise ValueError(f'{told}, unlike those of tools/export.py')
            self.outputs: Mapping[str, Shape] = {
                output: _sides(shapes.get(name, ())) for output, name in zip(outputs, names)
            }
        except Exception as error:  # reading a zip and a program can raise anything
            raise UserError(f'{file} cannot be opened: {first_line(error)}') from error
        self.shape = _shape_of({name: shapes.get(name, ()) for name in signature.user_inputs}, file)
        self.module = program.module()

    def run(self, pixels: np.ndarray, names: Sequence[str]) -> Outputs:
        try:
            with self.torch.no_grad():
                found = self.module(self.torch.from_numpy(pixels))
        except Exception as error:
            raise _said(error, pixels) from error
        by_name = dict(zip(self.outputs, found, strict=True))
        return {name: by_name[name].numpy() for name in names}


def package(name: str) -> ModuleType:
    """Import a runtime.

    Raises:
        MissingOperatorError: it is not installed.
    """
    return installed(
        name, f'this file is run by {name}, which is not installed: pip install {name}'
    )


def _sides(shape: Sequence) -> Shape:
    return tuple(n if isinstance(n, int) else None for n in shape)


def _openvino_shape(shape: Any) -> Shape:
    if shape.rank.is_dynamic:
        return ()
    return tuple(d.get_length() if d.is_static else None for d in shape)


def _shape_of(shapes: Mapping[str, Sequence], file: str | bytes) -> Shape:
    shape = _sides(shapes.get('image', ()))
    if len(shapes) != 1 or len(shape) != 4:
        inputs = ', '.join(f'{name} {list(shape)}' for name, shape in shapes.items())
        raise UserError(
            f'{_name(file)} has the inputs {inputs}; files from tools/export.py have only image, '
            'of shape (images, channels, height, width)'
        )
    return shape


def _name(file: str | bytes) -> str:
    return file if isinstance(file, str) else 'the file'


def _section(model: Any) -> Mapping[str, Any]:
    """Return the metadata that a file holds under this project's name."""
    return model.get_rt_info(SECTION).value if model.has_rt_info(SECTION) else {}
