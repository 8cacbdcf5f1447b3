"""Attention of any number of dimensions as one of four, which is all that ONNX's exporter knows.

Models of timm with windows as a fifth dimension are Hiera, NesT and Twins.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor


@contextlib.contextmanager
def in_four_dimensions() -> Iterator[None]:
    """Context in which PyTorch's attention without a mask is called with (N, heads, L, C)."""
    fused = F.scaled_dot_product_attention

    def attention(query: Tensor, key: Tensor, value: Tensor, *mask: Any, **options: Any) -> Tensor:
        if query.ndim == 4 or mask or options.get('attn_mask') is not None:
            return fused(query, key, value, *mask, **options)
        parts = (x.reshape(-1, *x.shape[-3:]) for x in (query, key, value))
        return fused(*parts, **options).reshape(*query.shape[:-1], value.shape[-1])

    with patch.object(F, 'scaled_dot_product_attention', attention):
        yield
