"""MMEngine's Runner with a short console output and clear errors about faulty configs."""

import functools
import logging
import sys
import traceback
from collections.abc import Callable

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from backbones.errors import UserError, first_line
from backbones.openmmlab import console
from backbones.openmmlab.build import build_model
from backbones.openmmlab.registries import misspelt

TEXTS: dict[str, str] = {}  # content and text of the last config


def _plainly(part: str, build: Callable) -> Callable:
    """Wrap a Runner method that builds a part; errors in the settings become one line."""

    @functools.wraps(build)
    def built(self: Runner, *args: object, **settings: object) -> object:
        try:
            return build(self, *args, **settings)
        except UserError:
            raise
        except Exception as error:  # a class may raise anything about its arguments
            logger = getattr(self, 'logger', None)  # the log processor is built before it
            place = f' (traceback in {logger.log_file})' if logger else ''
            if logger:
                logger.info(traceback.format_exc())
            hint = misspelt([*args, *settings.values()], self.cfg.get('default_scope'))
            raise UserError(
                f'{part} of the config cannot be built: {first_line(error)}{hint}{place}'
            ) from error

    return built


class TextOnceConfig(Config):
    """A config that is formatted once; MMEngine formats it four times at the start and each save.

    Each time takes half a second or more, in which nothing is trained.
    """

    @classmethod
    def of(cls, cfg: Config) -> 'TextOnceConfig':
        """Turn a config into one of this class, in place."""
        object.__setattr__(cfg, '__class__', cls)  # Config's own __setattr__ would add a key
        return cfg

    @property
    def pretty_text(self) -> str:
        content = repr(self.to_dict())
        if TEXTS.get('content') != content:
            # MMEngine reads two braces as a variable, even inside a string
            text = super().pretty_text.replace('{{', '{\\x7b')
            TEXTS.update(content=content, text=text)
        return TEXTS['text']


def _build(runner: Runner, model: ConfigDict) -> nn.Module:
    return build_model(runner.cfg, model, files=True, processes=True)


class QuietRunner(Runner):
    """MMEngine's Runner, which logs environment, config and hooks only to the file.

    Raises:
        UserError: a part of the config cannot be built.
    """

    @classmethod
    def from_cfg(cls, cfg: Config) -> 'QuietRunner':
        return super().from_cfg(TextOnceConfig.of(cfg))

    build_model = _plainly('model', _build)
    build_evaluator = _plainly('an evaluator', Runner.build_evaluator)
    build_optim_wrapper = _plainly('optim_wrapper', Runner.build_optim_wrapper)
    build_param_scheduler = _plainly('param_scheduler', Runner.build_param_scheduler)
    build_visualizer = _plainly('visualizer', Runner.build_visualizer)
    build_log_processor = _plainly('log_processor', Runner.build_log_processor)
    build_train_loop = _plainly('train_cfg', Runner.build_train_loop)
    build_val_loop = _plainly('val_cfg', Runner.build_val_loop)
    build_test_loop = _plainly('test_cfg', Runner.build_test_loop)
    wrap_model = _plainly('model_wrapper_cfg', Runner.wrap_model)
    register_hooks = _plainly('default_hooks or custom_hooks', Runner.register_hooks)
    build_dataloader = _plainly(
        'a dataloader', lambda runner, *args, **settings: Runner.build_dataloader(*args, **settings)
    )

    def build_logger(self, *args: object, **settings: object) -> MMLogger:
        logger = super().build_logger(*args, **settings)
        console.hold(logger)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.handleError = _tell_once(handler)  # type: ignore[assignment]
        return logger


def _tell_once(handler: logging.FileHandler) -> Callable[[logging.LogRecord], None]:
    """Return a handler for write errors of a log file; Python prints a traceback per line."""
    told: list[BaseException | None] = []

    def tell(record: logging.LogRecord) -> None:
        if not told:
            told.append(sys.exc_info()[1])
            print(f'warning: {handler.baseFilename} is incomplete: {told[0]}', file=sys.stderr)

    return tell
