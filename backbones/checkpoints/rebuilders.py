"""The functions that rebuild the tensors of a PyTorch file, based on PyTorch's public functions.

Names and arguments are those that `torch.save` writes, mostly from `torch._utils`. The functions
are our own, so no name in a file leads to another module's code.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Size = Sequence[int]


@dataclass(frozen=True)
class Kind:
    """The element type of a storage, such as 'torch.FloatStorage' in files."""

    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Return the bytes per element."""
        return torch.empty(0, dtype=self.dtype, device='cpu').element_size()


@dataclass(frozen=True)
class Storage:
    """The numbers of one or more tensors, in main memory whatever device they came from."""

    dtype: torch.dtype
    bytes: torch.UntypedStorage


def strided(
    storage: Storage, offset: int, size: Size, stride: Size, *unused: object, **more: object
) -> Tensor:
    """Replace `_rebuild_tensor` and `_rebuild_tensor_v2`, ignoring gradients and hooks."""
    return _view(storage, storage.dtype, offset, size, stride)


def strided_v3(
    storage: Storage, offset: int, size: Size, stride: Size, grad: bool, hooks: object,
    dtype: torch.dtype, *unused: object,
) -> Tensor:  # fmt: skip
    """Replace `_rebuild_tensor_v3`, for types without their own storage, such as float8."""
    return _view(storage, dtype, offset, size, stride)


def _view(storage: Storage, dtype: torch.dtype, offset: int, size: Size, stride: Size) -> Tensor:
    empty = torch.empty(0, dtype=dtype, device='cpu')
    with torch.no_grad():
        return empty.set_(storage.bytes, offset, tuple(size), tuple(stride))


def parameter(data: Tensor, requires_grad: bool, *unused: object) -> nn.Parameter:
    """Replace `_rebuild_parameter` and `_rebuild_parameter_with_state`."""
    return nn.Parameter(data, requires_grad)


def sparse(layout: torch.layout, data: Sequence) -> Tensor:
    """Replace `_rebuild_sparse_tensor`."""
    if layout == torch.sparse_coo:
        return torch.sparse_coo_tensor(*data[:3], check_invariants=True)
    return torch.sparse_compressed_tensor(*data, layout=layout, check_invariants=True)


def quantised(
    storage: Storage, offset: int, size: Size, stride: Size, quantiser: object, *unused: object
) -> Tensor:
    """Replace `_rebuild_qtensor`, without the numbers: no model here can use them."""
    if math.prod(size) > storage.bytes.nbytes() * 4:  # the smallest type has two bits
        raise ValueError('a quantised tensor is larger than its storage')
    return torch.quantize_per_tensor(torch.zeros(*size), 1.0, 0, torch.qint8)


def nested(buffer: Tensor, *unused: object) -> Tensor:
    """Replace `_rebuild_nested_tensor`, with a single part: no model here can use it."""
    return torch.nested.nested_tensor([buffer])


def without_values(dtype: torch.dtype, size: Size, stride: Size, *unused: object) -> Tensor:
    """Replace `_rebuild_meta_tensor_no_storage`."""
    return torch.empty_strided(tuple(size), tuple(stride), dtype=dtype, device='meta')


def of_another_device(data: Tensor, dtype: torch.dtype, *unused: object) -> Tensor:
    """Replace `_rebuild_device_tensor_from_cpu_tensor`, for devices without storages (TPUs)."""
    return data.to(dtype)


REBUILDERS: dict[str, Callable] = {
    'torch._utils._rebuild_tensor': strided,
    'torch._utils._rebuild_tensor_v2': strided,
    'torch._utils._rebuild_tensor_v3': strided_v3,
    'torch._utils._rebuild_parameter': parameter,
    'torch._utils._rebuild_parameter_with_state': parameter,
    'torch._utils._rebuild_sparse_tensor': sparse,
    'torch._utils._rebuild_qtensor': quantised,
    'torch._utils._rebuild_nested_tensor': nested,
    'torch._utils._rebuild_meta_tensor_no_storage': without_values,
    'torch._utils._rebuild_device_tensor_from_cpu_tensor': of_another_device,
}
STORAGES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
    'ComplexFloatStorage': torch.complex64,
    'ComplexDoubleStorage': torch.complex128,
    # raw bytes of quantised tensors, and of types without their own storage
    **dict.fromkeys(
        ('QInt8Storage', 'QUInt8Storage', 'QUInt4x2Storage', 'QUInt2x4Storage'), torch.uint8
    ),
    'QInt32Storage': torch.int32,
}
_CONSTANTS = {
    str(value): value
    for value in vars(torch).values()
    if isinstance(value, torch.dtype | torch.layout | torch.qscheme)
}
# values that files name, and their meaning here
VALUES: dict[str, object] = {
    **{k: v for k, v in _CONSTANTS.items() if not isinstance(v, torch.layout)},
    **{f'torch.{name}': Kind(dtype) for name, dtype in STORAGES.items()},
    **{f'torch.cuda.{name}': Kind(dtype) for name, dtype in STORAGES.items()},
    'torch.storage.UntypedStorage': Kind(torch.uint8),
    # classes named by tensors with attributes, which become plain tensors
    'torch.Tensor': Tensor,
    'torch.nn.parameter.Parameter': nn.Parameter,
}


def layout(name: str) -> torch.layout:
    """Replace `torch.serialization._get_layout`."""
    found = _CONSTANTS[name]
    if not isinstance(found, torch.layout):
        raise ValueError(f'{name} is not a layout')
    return found
