"""The hot operators: one file each, with one public function of the same name.

Tensors come first, then keyword-only options, with `backend` last. An operator whose formula is a
module's `forward` has only fast forms here. `dispatch` chooses among the forms. Files whose name
starts with an underscore are shared by several operators.
"""

import contextlib
import warnings


def default_backend(name: str) -> contextlib.AbstractContextManager[None]:
    """Run plain forms inside the `with` block if `name` is 'reference'; 'auto' changes nothing.

    Deprecated: use `backbones.plain()`.
    """
    from backbones.ops.dispatch import plain  # it imports this package

    warnings.warn('default_backend is now backbones.plain()', DeprecationWarning, stacklevel=2)
    return plain() if name == 'reference' else contextlib.nullcontext()
