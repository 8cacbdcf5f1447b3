"""Compiling a model's backbone with Inductor for predictions."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator

from torch import nn

from backbones.errors import UserError, first_line

COMPILERS = ('g++', 'clang++')  # the compilers that Inductor looks for
OUTERMOST = re.compile(r'((?!backbone\.)\w+\.)*backbone')  # the name of a backbone in a model


def compile_backbone(model: nn.Module, *, on_cpu: bool) -> None:
    """Compile a detector's or segmentor's backbone at its next call, with its weights frozen.

    Heads are left alone, because their control flow depends on what they find. If a model holds
    several backbones, such as a teacher's and a student's, each is compiled when it is called.

    Args:
        model: in eval mode, with its final weights.
        on_cpu: whether it runs on the CPU.

    Raises:
        UserError: there is no C++ compiler, or no backbone.
    """
    named = os.environ.get('CXX')
    if on_cpu and not any(map(shutil.which, [named] if named else COMPILERS)):
        raise UserError(
            f'compile needs a C++ compiler, but there is no {named or " or ".join(COMPILERS)}: '
            'install one, or leave compile out'
        )
    # not parts of a backbone that have the same name
    found = [part for name, part in model.named_modules() if OUTERMOST.fullmatch(name)]
    if not found:
        raise UserError(f'{type(model).__name__} has no backbone to compile: leave compile out')
    for backbone in found:
        backbone.compile(options=dict(freezing=True))


@contextlib.contextmanager
def compiler_explained() -> Iterator[None]:
    """Turn a failure of the compiler into a UserError.

    After an interruption, PyTorch uses half-written files in its cache as if they were complete.
    """
    try:
        yield
    except RuntimeError as error:
        if 'BackendCompilerFailed' not in [kind.__name__ for kind in type(error).__mro__]:
            raise
        reason = first_line(getattr(error, 'inner_exception', error))
        raise UserError(
            f"PyTorch's compiler failed: {reason}; if it was interrupted before, delete "
            'its cache (TORCHINDUCTOR_CACHE_DIR, by default torchinductor_USER in the temporary '
            'folder), otherwise leave compile out'
        ) from error
