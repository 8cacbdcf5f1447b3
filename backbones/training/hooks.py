"""Small hooks that the tools share, and functions to access models."""

from collections.abc import Callable
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from backbones.checkpoints import load_model
from backbones.openmmlab import console


def unwrapped(runner: Runner) -> nn.Module:
    """Return the runner's model without distributed and test-time-augmentation wrappers."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model.module if isinstance(model, BaseTTAModel) else model


def backbone_of(model: nn.Module) -> nn.Module:
    """Return a model's backbone, even inside a wrapper; the student's if there is a teacher."""
    return next(part for name, part in model.named_modules() if name.split('.')[-1] == 'backbone')


def losses_of(model: nn.Module, batch: object) -> dict[str, Tensor]:
    """Compute the losses of a batch by their names."""
    inner = model.module if is_model_wrapper(model) else model
    data = inner.data_preprocessor(batch, True)
    return model(**data, mode='loss') if isinstance(data, dict) else model(*data, mode='loss')


class LoadFrom(Hook):
    """Load a whole model after MMEngine has initialised the weights.

    Args:
        settings: keyword arguments of `load_model`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def before_train(self, runner: Runner) -> None:
        load_model(unwrapped(runner), **self.settings)
        self.settings.clear()  # the file takes as much memory as the model


class StartReport(Hook):
    """Print the start block once before the first iteration, as the console's first output.

    Args:
        block: returns the text for a runner.
    """

    def __init__(self, block: Callable[[Runner], str]) -> None:
        self.block = block

    def before_train(self, runner: Runner) -> None:
        console.release(runner.logger)
        if is_main_process():
            runner.logger.info('\n' + self.block(runner))

    before_test = before_train
