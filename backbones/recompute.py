"""Less memory in training: blocks that are computed again instead of stored."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block without storing its activations."""
    if x.is_meta:  # which stores none, and PyTorch 2.4 cannot do
        return block(x)
    if torch.compiler.is_compiling():  # where a block's second run changes no buffer
        return checkpoint(block, x, use_reentrant=False)
    contexts = (contextlib.nullcontext(), _keep_bn_statistics(block))
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: contexts)


@contextlib.contextmanager
def _keep_bn_statistics(block: nn.Module) -> Iterator[None]:
    """Leave running statistics alone while a checkpointed block is computed for the second time."""
    norms = [
        (m, m.momentum, m.num_batches_tracked)
        for m in block.modules()
        if isinstance(m, BATCH_NORMS) and m.training and m.track_running_stats
    ]
    for m, _, count in norms:
        m.momentum, m.num_batches_tracked = 0.0, count.clone()
    try:
        yield
    finally:
        for m, momentum, count in norms:
            m.momentum, m.num_batches_tracked = momentum, count
