"""Whether kernels written in Triton can run."""

import importlib.util
import os

import torch
from torch import Tensor

from backbones.errors import MissingOperatorError, UserError

INSTALLED = importlib.util.find_spec('triton') is not None
# on the CPU, step by step, by Triton itself
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def require_triton(x: Tensor) -> None:
    """Refuse what has no Triton kernel.

    Raises:
        MissingOperatorError: triton is not installed.
        UserError: `x` is in main memory, and Triton does not interpret its kernels there.
    """
    if not INSTALLED:
        raise MissingOperatorError(
            "backend is 'triton', but the package triton is not installed; PyTorch for CUDA on "
            "Linux brings it along. Install it, or take backend='auto'"
        )
    if x.device.type == 'cpu' and not INTERPRETED:
        raise UserError(
            "backend is 'triton', but the tensors are on the CPU; move them to a GPU or take "
            "backend='auto'. (TRITON_INTERPRET=1 runs the kernels on a CPU, slowly, as tests do)"
        )


def head_sizes(d: int, x: Tensor) -> dict[str, object]:
    """The kernels' options for heads of d channels: a power of two, and what they compute in."""
    import triton
    import triton.language as tl

    wide = tl.float64 if x.dtype == torch.float64 else tl.float32
    return dict(d=d, D=triton.next_power_of_2(d), scale=d**-0.5, wide=wide)
