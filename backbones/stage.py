"""A stage of blocks whose activations are stored, or recomputed in the backward pass."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from backbones.layers import nchw, nhwc
from backbones.ops.dispatch import Mode, current_mode, in_mode

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# layers that change their running statistics in training
COUNTING = (*BATCH_NORMS, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


class Stage(nn.Module):
    """A `downsample` module, the identity for the first stage, followed by `blocks`.

    Args:
        axes: order of the axes of the blocks' maps, 'BHWC' or 'BCHW'.
    """

    def __init__(
        self, downsample: nn.Module, blocks: list[nn.Module], *, axes: str = 'BHWC'
    ) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)
        self.axes, self.with_cp = axes, False

    def forward(self, x: Tensor) -> Tensor:
        """Compute the stage: (B, C, H, W) -> (B, C_i, H_i, W_i)."""
        x = self.downsample(x)
        x = nhwc(x) if self.axes == 'BHWC' else x
        for block in self.blocks:
            x = recomputed(block, x) if self.with_cp and torch.is_grad_enabled() else block(x)
        return nchw(x) if self.axes == 'BHWC' else x


def recomputed(block: nn.Module, x: Tensor) -> Tensor:
    """Run a block without storing its activations."""
    if x.is_meta:  # nothing is stored anyway, and PyTorch 2.4 cannot checkpoint it
        return block(x)
    if torch.compiler.is_compiling():  # here a block's second run changes no buffer
        return checkpoint(block, x, use_reentrant=False)
    contexts = (contextlib.nullcontext(), _second_run(block, current_mode()))
    return checkpoint(block, x, use_reentrant=False, context_fn=lambda: contexts)


@contextlib.contextmanager
def _second_run(block: nn.Module, first: Mode) -> Iterator[None]:
    """Recompute a block in the forms of the first run, without changing running statistics."""
    with in_mode(first), _keep_statistics(block):
        yield


@contextlib.contextmanager
def _keep_statistics(block: nn.Module) -> Iterator[None]:
    norms = [
        (m, m.momentum, m.num_batches_tracked)
        for m in block.modules()
        if isinstance(m, COUNTING) and m.training and m.track_running_stats
    ]
    for m, _, count in norms:
        m.momentum, m.num_batches_tracked = 0.0, count.clone()
    try:
        yield
    finally:
        for m, momentum, count in norms:
            m.momentum, m.num_batches_tracked = momentum, count
