"""Tracing a model with `torch.export`, for every format of the file."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from backbones.deploy.deformable_convolution import by_torchvision
from backbones.deploy.tood import anchors_once
from backbones.errors import UserError, first_line

SAMPLE = (160, 288)  # traced height and width of a file for all sizes: two cells at stride 128
STRIDE = 32  # a file for all sizes pads to multiples of this
MOST = 4096  # images per call, and sides in strides; files of torch.export refuse more
NOISY = ('torch', 'onnxscript', 'onnx_ir', 'mmengine')  # loggers that report progress


def traced(
    module: nn.Module, image: Tensor, *others: Tensor, any_batch: bool, any_size: bool
) -> torch.export.ExportedProgram:
    """Trace a module.

    Args:
        module: takes images, (B, C, H, W), and perhaps more.
        image: sample images; two of size `SAMPLE` if number and size vary.
        others: samples of its other inputs, which have fixed shapes.
        any_batch: the number of images varies.
        any_size: their height and width vary, in steps of `STRIDE`.
    """
    axes: dict[int, Any] = {}
    if any_batch:
        axes[0] = torch.export.Dim('batch', min=1, max=MOST)
    if any_size:
        axes[2] = STRIDE * torch.export.Dim('rows', min=2, max=MOST)
        axes[3] = STRIDE * torch.export.Dim('columns', min=2, max=MOST)
    dynamic = (axes, *(None for _ in others)) if axes else None
    return torch.export.export(module, (image, *others), dynamic_shapes=dynamic, strict=False)


@contextlib.contextmanager
def exporting(model: Any) -> Iterator[None]:
    """Context in which PyTorch exports a model from `exportable`, without progress notes.

    Raises:
        UserError: PyTorch cannot export it; the message gives its reason.
    """
    try:
        with torch.no_grad(), quiet(), by_torchvision(), anchors_once():
            yield
    except Exception as error:  # third-party heads, and PyTorch about them, may raise anything
        kind, reason = type(model.model).__name__, first_line(error.__cause__ or error)
        raise UserError(f'PyTorch cannot export {kind}: {reason}') from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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
