"""Mixed precision on CPUs: bfloat16 where a trial shows that it is right and faster."""

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

KEY = 'bfloat16_on_cpu'  # of the decision, in the message hub and so in checkpoints
WRONG = 0.7  # error of a weight's gradient, relative to its norm: rounding gives a tenth of that
NOTHING = 1e-4  # share of the largest gradient below which there is nothing but rounding
WORTH = 0.95  # share of float32's time that bfloat16 has to stay below


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Compute losses under autocast to bfloat16 if `bfloat16` is set; see `decide`."""

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
    """Try bfloat16 beside float32: the gradients of the backbone, then the time of whole steps.

    oneDNN has convolutions whose bfloat16 gradients are noise on some processors, so they are
    compared where the model will run. All processes decide the same.

    Args:
        backbone: what takes `images`.
        images: (B, C, H, W), as the model gets them.
        loss: computes the loss of one batch by the whole model.
    """
    wrong = sorted({name for names in all_gather_object(wrong_gradients(backbone, images))
                    for name in names})  # fmt: skip
    if wrong:
        return Decision(
            False, f'bfloat16 gives wrong gradients on this CPU, of {listed(wrong)}: float32 it is'
        )
    float32, bfloat16 = (sum(all_gather_object(_seconds(loss, half))) for half in (False, True))
    share = bfloat16 / float32
    said = f'a step in bfloat16 takes {share:.2f} of the time of float32 on this CPU'
    if share > WORTH:
        return Decision(False, f'{said}: training in float32')
    return Decision(True, f'{said}: training in bfloat16')


def wrong_gradients(backbone: nn.Module, images: Tensor) -> list[str]:
    """Names of the weights whose gradients in bfloat16 are not those of float32."""
    named = [(n, p) for n, p in backbone.named_parameters() if p.ndim > 1 and p.requires_grad]
    if not named:
        return []
    names, weights = zip(*named)
    found = []
    for half in (False, True):
        torch.manual_seed(0)  # the same branches are dropped
        with CpuAmpOptimWrapper.autocast(half):
            levels = backbone(images)
        loss = sum((level.float() * torch.randn(level.shape)).sum() for level in levels)
        found.append(torch.autograd.grad(loss, weights, allow_unused=True))
    largest = max(g.norm() for g in found[0] if g is not None)
    wrong = []
    for name, exact, rough in zip(names, *found):
        if exact is None or exact.norm() <= NOTHING * largest:
            continue
        if not (rough - exact).norm() <= WRONG * exact.norm():  # also if it is NaN
            wrong.append(name)
    return wrong


def _seconds(loss: Callable[[], Tensor], half: bool) -> float:
    """The shorter one of two steps."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        with CpuAmpOptimWrapper.autocast(half):
            value = loss()
        value.backward()
        times.append(time.perf_counter() - start)
    return min(times)
