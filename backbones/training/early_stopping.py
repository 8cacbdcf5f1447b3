"""Early stopping that keeps its count across a resume."""

from mmengine.hooks import EarlyStoppingHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

STATE = 'early_stopping'


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """MMEngine's hook, with the count of validations without progress saved in checkpoints.

    Args:
        monitor: name of the metric, such as 'coco/bbox_mAP'.
        patience: the number of validations without improvement after which training ends.
    """

    priority = 'VERY_LOW'  # restores its count before a resumed run evaluates

    def __init__(self, monitor: str, patience: int) -> None:
        # any progress counts, but not an equal value, such as a plateau of COCO's rounded metrics
        super().__init__(monitor=monitor, patience=patience, strict=True, min_delta=1e-6)

    def before_train(self, runner: Runner) -> None:
        if STATE in runner.message_hub.runtime_info:
            self.wait_count, self.best_score = runner.message_hub.get_info(STATE)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        super().after_val_epoch(runner, metrics)
        runner.message_hub.update_info(STATE, [self.wait_count, float(self.best_score)])
