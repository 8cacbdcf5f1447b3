"""Count memory traffic: the bytes that operations read and write, from the shapes of tensors.

Nothing is computed, and no cache is modelled: each operation reads its inputs and writes its
outputs once, as a separate kernel on a GPU does.
"""

import torch
from subjects import tensors_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
ALLOCATE = {aten.empty, aten.new_empty, aten.empty_like, aten.empty_strided, aten.new_empty_strided}
OVERWRITE = {aten.copy_, aten.zero_, aten.fill_}  # these do not read their first argument


class Traffic(TorchDispatchMode):
    """Count the bytes that operations read and write inside a `with` block."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket
        if name not in ALLOCATE and not func.is_view:
            given = args[1:] if name in OVERWRITE else args
            moved = [*tensors_of([*given, *(kwargs or {}).values()]), *tensors_of(out)]
            self.bytes += sum(map(size, moved))
        return out


def size(x: Tensor) -> int:
    """Return the bytes of a tensor's distinct values; an expanded dimension counts once."""
    values = 1
    for n, stride in zip(x.shape, x.stride()):
        values *= n if stride else 1
    return values * x.element_size()


def least(*tensors: Tensor) -> int:
    """Return the bytes that an operator moves if it reads and writes each tensor once."""
    return sum(map(size, tensors))
