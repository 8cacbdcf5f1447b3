"""Attention with any number of dimensions as one with four, which is all the ONNX exporter knows.

timm's Hiera, NesT and Twins have windows as a fifth dimension, and SAM has three.
"""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor


@contextlib.contextmanager
def in_four_dimensions() -> Iterator[None]:
    """Context in which PyTorch's attention gets (N, heads, L, C)."""
    fused = F.scaled_dot_product_attention

    def flat(x: Tensor) -> Tensor:
        return x.reshape(-1, *x.shape[-3:])

    def attention(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *rest: Any,
        **options: Any,
    ) -> Tensor:  # fmt: skip
        if query.ndim == 4:
            return fused(query, key, value, attn_mask, *rest, **options)
        if attn_mask is not None:
            attn_mask = flat(attn_mask.expand(*query.shape[:-1], key.shape[-2]))
        found = fused(flat(query), flat(key), flat(value), attn_mask, *rest, **options)
        return found.reshape(*query.shape[:-1], value.shape[-1])

    with patch.object(F, 'scaled_dot_product_attention', attention):
        yield
