"""Let Inductor compile the backbone of a model that predicts."""

import os
import shutil
from typing import Any

from backbones.errors import UserError

COMPILERS = ('g++', 'clang++')  # that Inductor looks for


def compile_backbone(model: Any, *, on_cpu: bool) -> None:
    """Compile a detector's or segmentor's backbone at its next call, with its weights frozen.

    Heads are left alone: what they do depends on what they find.

    Args:
        model: in eval mode, with its weights, which must not change any more.
        on_cpu: whether it computes there.

    Raises:
        UserError: there is no C++ compiler.
    """
    named = os.environ.get('CXX')
    if on_cpu and not any(map(shutil.which, [named] if named else COMPILERS)):
        raise UserError(
            f'compile needs a C++ compiler, but there is no {named or " or ".join(COMPILERS)}: '
            'install one, or leave compile out'
        )
    model.backbone.compile(options=dict(freezing=True))
