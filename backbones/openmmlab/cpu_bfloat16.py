"""Making the layers of any model compute right numbers in bfloat16 on CPUs."""

import functools
from typing import Any

from torch import Tensor, nn

from backbones.layers import LayerNorm
from backbones.ops._bfloat16 import in_float32, is_wrong


def correct(model: nn.Module) -> None:
    """Let layers run in float32 where PyTorch computes them wrongly in bfloat16 on CPUs.

    These are convolutions (see `is_wrong`) and, in training, `nn.LayerNorm` (see `LayerNorm`). In
    other precisions, nothing changes. Parts of our backbones take care of that themselves.
    """
    parts = [m for m in model.modules() if 'layers_as_built' in vars(m)]
    ours = {layer for part in parts for layer in part.modules()}
    for layer in set(model.modules()) - ours:
        if type(layer) is nn.LayerNorm:
            layer.__class__ = LayerNorm
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            # not a closure, which a copy of the model would share with it
            layer.forward = functools.partial(_convolve, layer)


def _convolve(layer: nn.Module, x: Tensor, **options: Any) -> Tensor:
    run = in_float32 if is_wrong(layer, x) else type(layer).forward
    return run(layer, x, **options)
