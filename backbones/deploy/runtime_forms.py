"""Functions of PyTorch, written as runtimes of exported files execute them fastest."""

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor


@contextlib.contextmanager
def runtime_forms() -> Iterator[None]:
    """Context in which attention and LayerNorm record what runtimes execute fastest.

    Attention is two matrix products around a softmax, which OpenVINO fuses again, and has four
    dimensions; timm's Hiera, NesT and Twins have windows as a fifth, and SAM has three. LayerNorm
    of a map with channels last, (B, H, W, C), is that of a sequence: OpenVINO would take four
    dimensions for channels first and move the map.
    """
    fused, norm = F.scaled_dot_product_attention, F.layer_norm

    def attention(
        query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0, is_causal: bool = False, *, scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        mask = attn_mask
        options: dict[str, Any] = dict(scale=scale, enable_gqa=enable_gqa)
        if query.ndim != 4:
            if mask is not None:
                mask = _flat(mask.expand(*query.shape[:-1], key.shape[-2]))
            q, k, v = (_flat(part) for part in (query, key, value))
            found = attention(q, k, v, mask, dropout_p, is_causal, **options)
            return found.reshape(*query.shape[:-1], value.shape[-1])
        boolean = mask is not None and not mask.is_floating_point()
        if boolean or dropout_p or is_causal or enable_gqa:
            return fused(query, key, value, mask, dropout_p, is_causal, **options)
        logits = (query * (scale or query.shape[-1] ** -0.5)) @ key.transpose(-2, -1)
        return (logits if mask is None else logits + mask).softmax(-1) @ value

    def layer_norm(
        input: Tensor, normalized_shape: list[int], *rest: Any, **options: Any
    ) -> Tensor:
        if input.ndim != 4 or len(normalized_shape) != 1:
            return norm(input, normalized_shape, *rest, **options)
        found = norm(input.flatten(1, 2), normalized_shape, *rest, **options)
        return found.reshape(input.shape)

    with patch.multiple(F, scaled_dot_product_attention=attention, layer_norm=layer_norm):
        yield


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, *x.shape[-3:])
