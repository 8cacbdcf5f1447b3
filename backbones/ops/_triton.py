"""Checks and options for kernels written in Triton."""

import importlib.util
import os

import torch
from torch import Tensor

from backbones.errors import MissingOperatorError, UserError

INSTALLED = importlib.util.find_spec('triton') is not None
# Triton itself runs the kernels on the CPU, step by step
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def require_triton(x: Tensor) -> None:
    """Check that Triton kernels can run.

    Raises:
        MissingOperatorError: triton is not installed.
        UserError: `x` is on the CPU, and Triton does not interpret its kernels there.
    """
    if not INSTALLED:
        raise MissingOperatorError(
            "backend is 'triton', but the package triton is not installed; PyTorch for CUDA on "
            "Linux includes it. Install it, or use backend='auto'"
        )
    if x.device.type == 'cpu' and not INTERPRETED:
        raise UserError(
            "backend is 'triton', but the tensors are on the CPU; move them to a GPU or use "
            "backend='auto'. (TRITON_INTERPRET=1 runs the kernels on a CPU, slowly, as tests do)"
        )


def head_sizes(d: int, x: Tensor) -> dict[str, object]:
    """Return the kernels' options for heads of d channels: padded size, scale, computation type."""
    import triton
    import triton.language as tl

    wide = tl.float64 if x.dtype == torch.float64 else tl.float32
    return dict(d=d, D=triton.next_power_of_2(d), scale=d**-0.5, wide=wide)
