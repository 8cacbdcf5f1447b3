"""The Triton kernels, step by step in Triton's interpreter on the CPU; `test_triton.py` runs this.

The interpreter takes a tenth of a second for a head with some dozen positions, so the maps are
small and have few sizes.
"""

import pytest
import torch
from conftest import draw
from operator_contract import OperatorContract, leaf
from test_dilated_attention import TestDilatedAttention as Dilated
from test_outlook_attention import TestOutlookAttention as Outlook
from torch import Tensor

from backbones.ops import _triton_dilated, _triton_outlook
from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.outlook_attention import outlook_attention

slow = pytest.mark.slow
CONTRACTS = [(Dilated(), i) for i in range(5)] + [(Outlook(), 0)]


@pytest.fixture(autouse=True, params=[64, pytest.param(16, marks=slow)])
def positions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one program per head, or several that do not divide the map."""
    monkeypatch.setattr(_triton_dilated, 'POSITIONS', request.param)
    monkeypatch.setattr(_triton_outlook, 'WINDOWS', request.param)


def results(contract: OperatorContract, which: int, backend: str, H: int, W: int) -> list[Tensor]:
    arguments, options = list(contract.calls(H, W))[which]
    return contract.results(backend, arguments, options)


@pytest.mark.parametrize('H, W', [(1, 1), (1, 6), (5, 1), (4, 4), (7, 9), (8, 5)])
@pytest.mark.parametrize('contract, which', CONTRACTS)
@slow
def test_equals_the_published_formulation(
    contract: OperatorContract, which: int, H: int, W: int
) -> None:
    found, expected = (results(contract, which, b, H, W) for b in ('triton', 'plain'))
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def dilated(qkv: Tensor, backend: str) -> Tensor:
    return dilated_attention(*qkv.chunk(3, -1), heads=3, backend=backend)


def outlook(both: Tensor, backend: str) -> Tensor:
    """Take logits and values from one tensor of (B, h, w, 81 + 4 * 3)."""
    logits, v = both.split([81, 12], -1)
    B, h, w, _ = v.shape
    v = v.reshape(B, h, w, 2, 2, 3).transpose(2, 3).reshape(B, 2 * h, 2 * w, 3)
    return outlook_attention(logits, v[:, 1:, 1:], heads=1, backend=backend)


# heads of 5 and of 3 channels, no powers of two; odd maps
EXAMPLES = [(dilated, draw(2, 4, 5, 45)), (outlook, draw(2, 2, 3, 93))]


@pytest.mark.parametrize(
    'dtype, error',
    [(torch.float32, 2e-6), pytest.param(torch.bfloat16, 1e-2, marks=slow)],
    ids=str,
)
@pytest.mark.parametrize('f, x', EXAMPLES, ids=['dilated', 'outlook'])
def test_low_precision_is_as_near_to_float64_as_its_type_allows(f, x, dtype, error) -> None:
    x, exact = leaf(x.to(dtype)), leaf(x.to(dtype).double())
    out, expected = f(x, 'triton'), f(exact, 'plain')
    assert out.dtype == dtype
    weights = draw(*out.shape).to(dtype)
    found = torch.autograd.grad(out, x, weights)[0]
    gradient = torch.autograd.grad(expected, exact, weights.double())[0]
    for ours, theirs in ((out, expected), (found, gradient)):
        assert (ours.double() - theirs).abs().max() <= error * theirs.abs().max()


@pytest.mark.parametrize('f, x', EXAMPLES, ids=['dilated', 'outlook'])
@slow
def test_compiles_with_gradients_in_one_graph(f, x) -> None:
    compiled = torch.compile(f, fullgraph=True, backend='aot_eager')
    gradients = []
    for run in (f, compiled):
        y = leaf(x)
        gradients.append(torch.autograd.grad(run(y, 'triton').square().sum(), y)[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize('f, x', EXAMPLES, ids=['dilated', 'outlook'])
@slow
def test_runs_under_autocast_in_the_type_of_its_input(f, x) -> None:
    with torch.autocast('cpu', torch.bfloat16):
        assert f(x.bfloat16(), 'triton').dtype == torch.bfloat16


@slow
def test_the_operators_are_registered_as_pytorch_asks() -> None:
    q, k, v = draw(1, 2, 3, 18).chunk(3, -1)
    out, norm = _triton_dilated.attend(q, k, v, 2, (1, 2), 3)
    inputs = [leaf(x) for x in (q, k, v)]
    torch.library.opcheck(_triton_dilated.attend, (*inputs, 2, (1, 2), 3))
    torch.library.opcheck(_triton_dilated.attend_backward, (out, q, k, v, out, norm, (1, 2), 3))
    logits, v = draw(1, 2, 2, 81), draw(1, 3, 3, 2)
    out, norm = _triton_outlook.attend(logits, v, 1)
    torch.library.opcheck(_triton_outlook.attend, (leaf(logits), leaf(v), 1))
    torch.library.opcheck(_triton_outlook.attend_backward, (out, logits, v, norm))
