"""Weight averaging (EMA) over a span that fits the length of the training run."""

from mmengine.hooks import EMAHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

SPAN = 0.01  # share of the run over which the average looks back
LEAST = 0.0002  # MMEngine's momentum, reached in runs of 500,000 iterations


@HOOKS.register_module()
class FittedEMAHook(EMAHook):
    """Average the weights and BatchNorm statistics; evaluate and save the averages.

    MMEngine's constant momentum looks back over 5000 iterations, so in a short run the initial
    weights stay in the average.
    """

    def __init__(self) -> None:
        super().__init__(update_buffers=True)

    def before_run(self, runner: Runner) -> None:
        self.ema_cfg['momentum'] = min(max(LEAST, 1 / (SPAN * runner.max_iters)), 0.5)
        super().before_run(runner)
