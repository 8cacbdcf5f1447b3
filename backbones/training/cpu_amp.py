"""Mixed precision on CPUs: bfloat16 if a trial shows that it is correct and faster."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from mmengine.dist import all_gather_object
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from backbones.errors import first_line, listed
from backbones.openmmlab.cpu_bfloat16 import correct
from backbones.training.hooks import unwrapped

KEY = 'bfloat16_on_cpu'  # key of the decision in the message hub, and thus in checkpoints
WRONG = 0.7  # error of a weight's gradient, relative to its norm; rounding causes about 0.1
NOTHING = 1e-4  # a gradient below this share of the largest one is nothing but rounding
LAYOUT = torch.channels_last
WORTH = 0.95  # bfloat16 must take at most this share of float32's time


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(OptimWrapper):
    """Compute losses under bfloat16 autocast if `bfloat16` is set; see `decide`."""

    bfloat16 = False

    def before_trial(self, runner: Runner) -> None:
        """Prepare the model, and continue in the precision of a resumed run."""
        correct(runner.model)
        self.bfloat16 = runner.message_hub.runtime_info.get(KEY, False)

    def after_trial(self, runner: Runner, why: str) -> None:
        """Train in the chosen precision, and keep it in checkpoints for resumed runs."""
        runner.message_hub.update_info(KEY, self.bfloat16)
        if self.bfloat16:
            to_channels_last(unwrapped(runner))
        precision = 'bfloat16' if self.bfloat16 else 'float32'
        runner.logger.info(f'AMP: {why or f"as before the resume: {precision}"}')

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), self.autocast(self.bfloat16):
            yield

    @staticmethod
    def autocast(enabled: bool) -> torch.autocast:
        return torch.autocast('cpu', torch.bfloat16, enabled=enabled)


class Decision(NamedTuple):
    """Whether to train in bfloat16, and why."""

    bfloat16: bool
    why: str


def decide(model: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Decision:
    """Compare bfloat16 with float32: the backbone's gradients, then the time of whole steps.

    On some processors, oneDNN convolutions return noise as bfloat16 gradients, so the comparison
    runs on the machine that trains. All processes reach the same decision.

    Args:
        model: has a `backbone` that takes `images`.
        images: (B, C, H, W), preprocessed.
        loss: computes the loss of the whole model on one batch with these images.
    """
    failed, wrong, bfloat16 = '', [], 0.0
    float32 = _seconds(loss, images, half=False)
    handles = to_channels_last(model)
    try:
        wrong = wrong_gradients(model.backbone, images)
        bfloat16 = _seconds(loss, images.contiguous(memory_format=LAYOUT), half=True)
    except Exception as error:  # third-party heads may mix dtypes, or need the usual layout
        failed = first_line(error)
    for handle in handles:
        handle.remove()
    model.to(memory_format=torch.contiguous_format)
    results = zip(*all_gather_object((failed, wrong, float32, bfloat16)))
    failures, names, seconds32, seconds16 = results
    if any(failures):
        return Decision(False, f'bfloat16 fails on a CPU ({max(failures)}): training in float32')
    if found := sorted({name for each in names for name in each}):
        return Decision(
            False, f'bfloat16 gives wrong gradients on this CPU for {listed(found)}: using float32'
        )
    share = sum(seconds16) / sum(seconds32)
    said = f'a step in bfloat16 takes {share:.2f} times as long as in float32 on this CPU'
    if share > WORTH:
        return Decision(False, f'{said}: training in float32')
    return Decision(True, f'{said}: training in bfloat16')


def to_channels_last(model: nn.Module) -> list[RemovableHandle]:
    """Store weights and maps in channels_last, which oneDNN's bfloat16 convolutions need.

    With AMX, steps take 0.84 to 0.99 of the time (two images of 384 or 512 pixels, seven methods).
    The logits of MMSegmentation's heads keep the usual layout: `log_softmax` would copy others.

    Returns:
        Handles that remove the hooks.
    """
    model.to(memory_format=LAYOUT)
    heads = [layer.conv_seg for layer in model.modules() if hasattr(layer, 'conv_seg')]
    hooks = [head.register_forward_hook(_contiguous) for head in heads]
    return [*hooks, model.data_preprocessor.register_forward_hook(_channels_last)]


def _contiguous(layer: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
    return output.contiguous()


def _channels_last(preprocessor: nn.Module, inputs: tuple, output: dict) -> dict:
    return {**output, 'inputs': output['inputs'].contiguous(memory_format=LAYOUT)}


def wrong_gradients(backbone: nn.Module, images: Tensor) -> list[str]:
    """Return the names of the weights whose bfloat16 gradients differ from those in float32."""
    named = [(n, p) for n, p in backbone.named_parameters() if p.ndim > 1 and p.requires_grad]
    if not named:
        return []
    names, weights = zip(*named)
    # in bfloat16, they would drop other branches
    drops = [m for m in backbone.modules() if 'Drop' in type(m).__name__ and m.training]
    for drop in drops:
        drop.eval()
    found = []
    for half in (False, True):
        with CpuAmpOptimWrapper.autocast(half):
            levels = backbone(images.contiguous(memory_format=LAYOUT) if half else images)
        torch.manual_seed(0)
        loss = sum((level.float() * torch.randn(level.shape)).sum() for level in levels)
        found.append(torch.autograd.grad(loss, weights, allow_unused=True))
    for drop in drops:
        drop.train()
    largest = max(g.norm() for g in found[0] if g is not None)
    wrong = []
    for name, exact, rough in zip(names, *found):
        if exact is None or exact.norm() <= NOTHING * largest:
            continue
        if not (rough - exact).norm() <= WRONG * exact.norm():  # also true for NaN
            wrong.append(name)
    return wrong


def _seconds(loss: Callable[[Tensor], Tensor], images: Tensor, *, half: bool) -> float:
    """Return the time of the faster one of two steps."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        with CpuAmpOptimWrapper.autocast(half):
            value = loss(images)
        value.backward()
        times.append(time.perf_counter() - start)
    return min(times)
