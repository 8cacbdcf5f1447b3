"""The hot operators: each a file with one public function of its name.

Tensors come first, then keyword-only options, `backend` last. What a module's `forward` states is
not stated here again: such an operator has fast forms only. `dispatch` chooses among the forms.
Files whose name starts with an underscore hold what several operators share.
"""

import contextlib
import warnings


def default_backend(name: str) -> contextlib.AbstractContextManager[None]:
    """Run plain forms inside the `with` block if `name` is 'reference'; 'auto' changes nothing.

    Deprecated: `backbones.plain()` is its name now.
    """
    from backbones.ops.dispatch import plain  # imports this package

    warnings.warn('default_backend is backbones.plain() now', DeprecationWarning, stacklevel=2)
    return plain() if name == 'reference' else contextlib.nullcontext()
