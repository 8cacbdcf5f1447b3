"""The rules for every operator, and what the operators share."""

import inspect
import pkgutil
from importlib import import_module

import pytest
import torch
from conftest import draw
from operator_contract import OperatorContract

from backbones import ops
from backbones.ops.dispatch import exported, plain, to_fast_layout, traced

NAMES = [m.name for m in pkgutil.iter_modules(ops.__path__)]
OPERATORS = [n for n in NAMES if not n.startswith('_') and n != 'dispatch']


@pytest.mark.parametrize('name', OPERATORS)
def test_an_operator_is_a_file_with_one_public_function(name: str) -> None:
    module = import_module(f'backbones.ops.{name}')
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [n for n, f in functions if f.__module__ == module.__name__]
    assert [n for n in own if not n.startswith('_')] == [name]
    arguments = list(inspect.signature(getattr(module, name)).parameters.values())
    if arguments[-1].name == 'backend':
        assert arguments.pop().default == 'auto'
    for argument in arguments:  # tensors first, then options
        is_option = argument.kind is inspect.Parameter.KEYWORD_ONLY
        assert is_option != any(t in str(argument.annotation) for t in ('Tensor', 'Layer'))


@pytest.mark.parametrize('name', OPERATORS)
def test_an_operator_has_a_test_file_of_its_name_with_the_contract(name: str) -> None:
    operator = getattr(import_module(f'backbones.ops.{name}'), name)
    tests = vars(import_module(f'test_{name}')).values()
    contracts = [t for t in tests if isinstance(t, type) and issubclass(t, OperatorContract)]
    assert [t.operator for t in contracts if t is not OperatorContract] == [operator]


def test_fast_layout_keeps_the_numbers() -> None:
    x = draw(1, 3, 4, 5)
    assert to_fast_layout(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(to_fast_layout(x), x)
    with plain():
        assert to_fast_layout(x) is x


def test_plain_ends_with_its_block() -> None:
    with pytest.raises(RuntimeError), plain():
        raise RuntimeError
    assert to_fast_layout(draw(1, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)


def test_what_a_compiler_records_is_traced_but_not_exported() -> None:
    def told(x: torch.Tensor) -> torch.Tensor:
        return x + 1 * traced() + 10 * exported()

    class Told(torch.nn.Module):
        forward = staticmethod(told)

    x = torch.zeros(1)
    assert told(x) == 0
    assert torch.compile(told, backend='eager')(x) == 1
    assert torch.export.export(Told(), (x,)).module()(x) == 11
