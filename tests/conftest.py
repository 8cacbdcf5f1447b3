"""What the tests share: every variant, and files with the published layout."""

import json
from pathlib import Path

import pytest
import torch
from weights import weight

from backbones import BACKBONES, VOLO, CloFormer, CSWin, DilateFormer, MogaNet

HERE = Path(__file__).parent
VARIANTS = [(cls, arch) for cls in BACKBONES for arch in cls.ARCHS]
# every kind of block at least once, small enough to try all combinations of options
NANO = {
    DilateFormer: dict(dims=(12, 24, 48, 96), depths=(1, 1, 2, 1), heads=(3, 6, 4, 4), mlp_ratio=2),
    CSWin: dict(
        dims=(8, 16, 32, 64),
        depths=(1, 1, 2, 1),
        heads=(2, 4, 4, 4),
        stripes=(1, 2, 7),
        mlp_ratio=2,
    ),
    VOLO: dict(
        dims=(16, 32, 32, 32), depths=(2, 1, 1, 1), heads=(2, 4, 4, 4), mlp_ratio=2, stem_dim=8
    ),
    MogaNet: dict(dims=(16, 16, 32, 32), depths=(1, 1, 2, 1), mlp_ratios=(4, 4, 2, 2)),
    CloFormer: dict(
        dims=(16, 32, 48, 64),
        depths=(1, 1, 2, 1),
        heads=(2, 4, 6, 8),
        local_heads=(1, 2, 3, 4),
        mlp_ratio=2,
    ),
}
SMALLEST = [(cls, next(iter(cls.ARCHS))) for cls in BACKBONES]

torch.set_num_threads(1)


def variant_id(value: object) -> str | None:
    """Names of classes as test ids."""
    return value.__name__ if isinstance(value, type) else None


def published_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published state dict, e.g. 'cswin_tiny_dense'."""
    return {k: tuple(s) for k, s in json.loads((HERE / f'keys/{name}.json').read_text()).items()}


def published_state(name: str) -> dict[str, torch.Tensor]:
    """A published state dict with deterministic weights, exact in float32."""
    state = {k: torch.from_numpy(weight(k, s)).float() for k, s in published_shapes(name).items()}
    return {k: v.long() if k.endswith('num_batches_tracked') else v for k, v in state.items()}


@pytest.fixture
def seed() -> None:
    torch.manual_seed(0)
