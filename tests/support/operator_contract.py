"""What every operator promises, as a base class for the operators' tests."""

import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from conftest import draw
from torch import Tensor

from backbones.ops import _strips
from backbones.ops.dispatch import PLAIN

REFERENCE = 'reference'
# map sizes; the default suite uses one cell, one row, and a map that nothing divides
SIZES = [
    pytest.param(*size, marks=[] if size in ((1, 1), (1, 6), (7, 9)) else [pytest.mark.slow])
    for size in [(1, 1), (1, 6), (5, 1), (4, 4), (7, 9), (8, 5)]
]
Arguments = list  # tensors, and lists and tuples of tensors


class OperatorContract:
    """Each test runs all calls with all backends; `test_ops.py` wants a subclass per operator."""

    operator: Callable  # wrapped in `staticmethod`
    backends: tuple[str, ...] = ('auto',)  # fast forms, in the order of the error message
    on_gpus: tuple[str, ...] = ()  # the rest of that message; see `interpreted.py`
    has_plain = False  # whether the plain form is one of the operator's

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        """Give the arguments and the options of every kind of call on maps of H x W cells."""
        raise NotImplementedError

    def reference(self, *arguments: Tensor | list, **options: object) -> Tensor:
        """Compute the docstring's formula; a module's `forward` may do so, too."""
        return self.operator(*arguments, backend=PLAIN, **options)

    def run(self, backend: str, arguments: Arguments, options: dict) -> Tensor:
        if backend == REFERENCE:
            return self.reference(*arguments, **options)
        if backend == 'auto':
            return self.operator(*arguments, **options)
        return self.operator(*arguments, backend=backend, **options)

    @pytest.fixture(autouse=True)
    def short_strips(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Cut even small maps."""
        for module in (_strips, sys.modules[self.operator.__module__]):
            for name in {'STRIP', 'WHOLE'} & set(vars(module)):
                monkeypatch.setattr(module, name, 1)

    @pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last], ids=str)
    @pytest.mark.parametrize('H, W', SIZES)
    def test_equals_the_published_formulation(
        self, H: int, W: int, layout: torch.memory_format
    ) -> None:
        for arguments, options in self.calls(H, W):
            expected = self.results(REFERENCE, arguments, options)
            arguments = each(lambda t: t.to(memory_format=layout) if t.ndim == 4 else t, arguments)
            found = {
                f'{backend} {options}': self.results(backend, arguments, options)
                for backend in (*self.backends, 'auto')
            }
            torch.testing.assert_close(
                found, dict.fromkeys(found, expected), rtol=1e-11, atol=1e-11
            )

    def results(self, backend: str, arguments: Arguments, options: dict) -> list[Tensor]:
        """Return the output, the output without gradients, and the gradient of every tensor."""
        arguments = each(leaf, arguments)
        out = self.run(backend, arguments, options)
        gradients = torch.autograd.grad(out, flat(arguments), draw(*out.shape))
        with torch.no_grad():
            return [out, self.run(backend, arguments, options), *gradients]

    def test_gradients_are_those_of_finite_differences(self) -> None:
        for arguments, options in self.calls(3, 2):
            for backend in self.backends:
                f = self.of_tensors(backend, arguments, options)
                assert torch.autograd.gradcheck(f, flat(each(leaf, arguments)), fast_mode=True)

    def of_tensors(self, backend: str, arguments: Arguments, options: dict) -> Callable:
        """Return the operator as a function of all tensors in `arguments`, in order."""

        def f(*tensors: Tensor) -> Tensor:
            rest = iter(tensors)
            nested = each(lambda _: next(rest), arguments)
            return self.run(backend, nested, options)

        return f

    @pytest.mark.parametrize('backend', [REFERENCE, 'auto'])
    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=str)
    def test_bfloat16_autocast_is_finite_at_large_inputs(
        self, dtype: torch.dtype, backend: str
    ) -> None:
        for arguments, options in self.calls(6, 5):
            arguments = each(lambda t: leaf((1e3 * t).to(dtype)), arguments)
            with torch.autocast('cpu', torch.bfloat16):
                out = self.run(backend, arguments, options)
            gradients = torch.autograd.grad(out.float().sum(), flat(arguments))
            assert all(t.isfinite().all() for t in (out, *gradients))

    def test_autocast_leaves_double_precision_alone(self) -> None:
        for arguments, options in self.calls(3, 4):
            for backend in (REFERENCE, *self.backends, 'auto'):
                expected = self.run(backend, arguments, options)
                with torch.autocast('cpu', torch.bfloat16):
                    found = self.run(backend, arguments, options)
                torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)

    def test_an_unknown_backend_is_refused(self) -> None:
        if self.backends == ('auto',):
            return  # it has only one form and no backend argument
        plain = [PLAIN] if self.has_plain else []
        allowed = ', '.join(('auto', *plain, *self.backends, *self.on_gpus))
        for arguments, options in self.calls(2, 2):
            with pytest.raises(ValueError, match=f"backend is 'quick'; allowed: {allowed}$"):
                self.operator(*arguments, backend='quick', **options)


def each(f: Callable[[Tensor], Tensor], arguments: Arguments) -> Arguments:
    """Apply `f` to every tensor."""
    return [f(a) if isinstance(a, Tensor) else each(f, a) for a in arguments]


def flat(arguments: Arguments) -> list[Tensor]:
    tensors: list[Tensor] = []
    each(lambda t: tensors.append(t) or t, arguments)
    return tensors


def leaf(tensor: Tensor) -> Tensor:
    """A copy that takes a gradient."""
    return tensor.detach().clone().requires_grad_()


def maps(count: int, *shape: int) -> list[Tensor]:
    """Tensors of one shape that differ."""
    return [draw(*shape).roll(i) for i in range(count)]


def layer(out: int, width: int, kernel_size: int = 1) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution."""
    return draw(out, width, kernel_size, kernel_size) / (kernel_size * width**0.5), draw(out)
