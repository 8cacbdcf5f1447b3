"""Mixed precision on CPUs: bfloat16 if a trial shows that it is correct and faster."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from mmengine.dist import all_gather_object
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from backbones.errors import listed

KEY = 'bfloat16_on_cpu'  # key of the decision in the message hub, and thus in checkpoints
WRONG = 0.7  # error of a weight's gradient, relative to its norm; rounding causes about 0.1
NOTHING = 1e-4  # a gradient below this share of the largest one is nothing but rounding
WORTH = 0.95  # bfloat16 must take at most this share of float32's time


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Compute losses under bfloat16 autocast if `bfloat16` is set; see `decide`."""

    bfloat16 = False

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), self.autocast(self.bfloat16):
            yield

    @staticmethod
    def autocast(enabled: bool) -> torch.autocast:
        return torch.autocast('cpu', torch.bfloat16, enabled=enabled)


@dataclass
class Decision:
    """Whether to train in bfloat16, and why."""

    bfloat16: bool
    why: str


def decide(backbone: nn.Module, images: Tensor, loss: Callable[[], Tensor]) -> Decision:
    """Compare bfloat16 with float32: the backbone's gradients, then the time of whole steps.

    On some processors, oneDNN convolutions return noise as bfloat16 gradients, so the comparison
    runs on the machine that trains. All processes reach the same decision.

    Args:
        backbone: takes `images`.
        images: (B, C, H, W), preprocessed.
        loss: computes the loss of the whole model on one batch.
    """
    wrong = sorted({name for names in all_gather_object(wrong_gradients(backbone, images))
                    for name in names})  # fmt: skip
    if wrong:
        return Decision(
            False, f'bfloat16 gives wrong gradients on this CPU for {listed(wrong)}: using float32'
        )
    float32, bfloat16 = (sum(all_gather_object(_seconds(loss, half))) for half in (False, True))
    share = bfloat16 / float32
    said = f'a step in bfloat16 takes {share:.2f} times as long as in float32 on this CPU'
    if share > WORTH:
        return Decision(False, f'{said}: training in float32')
    return Decision(True, f'{said}: training in bfloat16')


def wrong_gradients(backbone: nn.Module, images: Tensor) -> list[str]:
    """Return the names of the weights whose bfloat16 gradients differ from those in float32."""
    named = [(n, p) for n, p in backbone.named_parameters() if p.ndim > 1 and p.requires_grad]
    if not named:
        return []
    names, weights = zip(*named)
    found = []
    for half in (False, True):
        torch.manual_seed(0)  # drops the same branches
        with CpuAmpOptimWrapper.autocast(half):
            levels = backbone(images)
        loss = sum((level.float() * torch.randn(level.shape)).sum() for level in levels)
        found.append(torch.autograd.grad(loss, weights, allow_unused=True))
    largest = max(g.norm() for g in found[0] if g is not None)
    wrong = []
    for name, exact, rough in zip(names, *found):
        if exact is None or exact.norm() <= NOTHING * largest:
            continue
        if not (rough - exact).norm() <= WRONG * exact.norm():  # also true for NaN
            wrong.append(name)
    return wrong


def _seconds(loss: Callable[[], Tensor], half: bool) -> float:
    """Return the time of the faster one of two steps."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        with CpuAmpOptimWrapper.autocast(half):
            value = loss()
        value.backward()
        times.append(time.perf_counter() - start)
    return min(times)
