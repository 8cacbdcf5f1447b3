"""The hot operators: each a file with one public function of its name, and its `_reference`.

Tensors come first, then keyword-only options, `backend` last. The reference is what the authors
run, step by step, because times and memory are compared with it. Files whose name starts with an
underscore hold what several operators share.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Layer = tuple[Tensor, Tensor]  # weight and bias of a convolution or a linear layer

_default = 'auto'
# PyTorch tells it from 2.7 on, and the exporter here needs a later one
_is_exporting = getattr(torch.compiler, 'is_exporting', lambda: False)


@contextlib.contextmanager
def default_backend(name: str) -> Iterator[None]:
    """Run every operator called with `backend='auto'` by backend `name` inside the `with` block.

    Args:
        name: 'reference' runs whole backbones as published; 'auto' changes nothing.
    """
    global _default
    before, _default = _default, name
    try:
        yield
    finally:
        _default = before


def pick(backend: str, candidates: dict[str, Callable], auto: str) -> Callable:
    """Choose an operator's implementation.

    Args:
        backend: 'auto' or a name in `candidates`.
        candidates: implementations by name, 'reference' among them.
        auto: the name that 'auto' stands for, here and now.

    Raises:
        ValueError: an unknown backend.
    """
    name = _default if backend == 'auto' else backend
    name = auto if name == 'auto' else name
    if name not in candidates:
        raise ValueError(f'backend is {name!r}; allowed: auto, {", ".join(candidates)}')
    return candidates[name]


def traced() -> bool:
    """Tell whether `torch.compile` or an exporter records the operators instead of running them.

    It would freeze loops whose length depends on a map's size; a compiler chooses itself what to
    keep for the backward pass; and the old ONNX exporter loses what is written to views.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def exported() -> bool:
    """Tell whether an exporter records the operators, for another library to run them."""
    # for what `torch.compile` records, PyTorch 2.11 says that it is exporting, too
    exporting = _is_exporting() and not torch.compiler.is_dynamo_compiling()
    return exporting or torch.jit.is_tracing()


def to_fast_layout(x: Tensor) -> Tensor:
    """Store a (B, C, H, W) map as convolutional backbones run fastest; its values stay.

    On CPUs that is channels_last: depthwise convolutions are 2 to 8 times faster on such maps (32
    to 256 channels, oneDNN 3.10, AVX-512). Other devices and `default_backend('reference')` leave
    the map as it is.
    """
    if x.device.type != 'cpu' or _default == 'reference':
        return x
    return x.contiguous(memory_format=torch.channels_last)
