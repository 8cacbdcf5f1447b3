"""Files of torch.export: a program for PyTorch without this package or OpenMMLab."""

import io
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from backbones import atomic_write
from backbones.deploy.compare import Outputs, guarded
from backbones.deploy.preprocessing import Preprocessing
from backbones.deploy.select import suppress_in_pytorch
from backbones.deploy.tracing import SAMPLE, exporting, traced
from backbones.inference.sessions import FACTS


class Whole(nn.Module):
    """A model with its preprocessing: images (B, 3, H, W), RGB from 0 to 255 -> its outputs.

    Args:
        model: from `exportable`.
        preprocessing: what comes first; padding is only done for a fixed size.
        size: height and width of the images in pixels; None for all multiples of 32.
    """

    def __init__(
        self, model: Any, preprocessing: Preprocessing, size: tuple[int, int] | None
    ) -> None:
        super().__init__()
        self.model, self.preprocessing, self.size = model, preprocessing, size
        for name in ('mean', 'std'):
            values = torch.tensor(getattr(preprocessing, name), dtype=torch.float32)
            self.register_buffer(name, values[:, None, None])

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = image if self.preprocessing.as_they_are else image.flip(1)
        x = (x - self.mean) / self.std
        height, width = image.shape[2:]
        if self.size:
            bottom, right = (-n % self.preprocessing.divisor for n in self.size)
            if bottom or right:
                x = F.pad(x, (0, right, 0, bottom))
        if self.model.task in ('features', 'semantic'):
            outputs = self.model(x)
        else:
            sides = [
                torch.ones_like(image[0, 0, :, 0]).sum(),
                torch.ones_like(image[0, 0, 0]).sum(),
            ]
            outputs = self.model(x, torch.stack(sides).long())
        if not self.size:
            return tuple(outputs)
        axes = getattr(self.model, 'cropped', {})
        return tuple(
            crop(value, axes[name], height, width) if name in axes else value
            for name, value in zip(self.model.outputs, outputs, strict=True)
        )


def crop(x: Tensor, axis: int, height: int, width: int) -> Tensor:
    """Keep the first rows and columns, which are the axes starting at `axis`."""
    return x.narrow(axis, 0, height).narrow(axis + 1, 0, width)


def to_program(
    model: Any,
    preprocessing: Preprocessing,
    *,
    size: tuple[int, int] | None,
    batch: int | None,
) -> Any:
    """Trace a model with its preprocessing; see `to_onnx` for the arguments.

    Raises:
        UserError: PyTorch cannot export the model; the message gives its reason.
    """
    whole = Whole(model, preprocessing, size).eval()
    image = torch.zeros(batch or 2, preprocessing.channels, *(size or SAMPLE))
    with exporting(model):
        program = traced(whole, image, any_batch=batch is None, any_size=size is None)
        ours = {
            torch.ops.dense_backbones.suppress.default: suppress_in_pytorch,
            # PyTorch's own fails without `indexing`, as MMDetection calls it, if sizes vary
            torch.ops.aten.meshgrid.default: partial(torch.meshgrid, indexing='ij'),
        }
        return program.run_decompositions(ours)


def save(program: Any, out: Path, metadata: Mapping[str, str]) -> None:
    """Write a program as FILE.pt2, with the metadata as JSON inside."""
    out.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={FACTS: json.dumps(metadata)})
    atomic_write.write(out, content.getvalue())


def program_runner(
    program: Any, outputs: tuple[str, ...]
) -> Callable[[list[np.ndarray]], list[Outputs]]:
    """Return a function like that of `compare.runner`."""
    module = program.module()

    def run(pixels: np.ndarray) -> Outputs:
        with torch.no_grad():
            found = module(torch.from_numpy(pixels))
        return {name: x.numpy() for name, x in zip(outputs, found, strict=True)}

    return guarded('torch.export', run)
