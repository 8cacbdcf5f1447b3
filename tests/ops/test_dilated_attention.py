from collections.abc import Iterator

import pytest
import torch
from conftest import draw
from operator_contract import Arguments, OperatorContract, maps
from torch import Tensor

from backbones.ops.dilated_attention import dilated_attention

CALLS = (  # channels, heads, dilations, kernel_size
    (6, 3, (1, 2, 3), 3),
    (24, 6, (1, 2, 3), 3),
    (8, 2, (4,), 3),
    (8, 4, (3, 1), 5),
    (4, 2, (2,), 1),
)


class TestDilatedAttention(OperatorContract):
    operator = staticmethod(dilated_attention)
    has_plain = True
    backends = ('shift', 'strips')
    on_gpus = ('triton',)

    def calls(self, H: int, W: int) -> Iterator[tuple[Arguments, dict]]:
        for C, heads, dilations, kernel_size in CALLS:
            options = dict(heads=heads, dilations=dilations, kernel_size=kernel_size)
            yield maps(3, 2, H, W, C), options


def random_qkv(*shape: int, **kwargs: torch.dtype | bool | str) -> Tensor:
    """q, k and v side by side, as a linear layer makes them."""
    torch.manual_seed(0)
    return torch.randn(*shape[:3], 3 * shape[3], **kwargs)


def run(qkv: Tensor, *, heads: int = 3, **options: int | str | tuple[int, ...]) -> Tensor:
    return dilated_attention(*qkv.chunk(3, dim=-1), heads=heads, **options)


@pytest.mark.parametrize('C, heads, dilations, kernel_size', CALLS)
@pytest.mark.parametrize('strip', [300, 2**16])  # some rows, all; the contract cuts each row
def test_does_not_depend_on_the_strips(
    monkeypatch: pytest.MonkeyPatch,
    strip: int,
    C: int,
    heads: int,
    dilations: tuple[int, ...],
    kernel_size: int,
) -> None:
    monkeypatch.setattr('backbones.ops.dilated_attention.STRIP', strip)
    qkv = random_qkv(1, 17, 11, C, dtype=torch.float64, requires_grad=True)
    options = dict(heads=heads, dilations=dilations, kernel_size=kernel_size)
    results = []
    for backend in ('plain', 'strips'):
        out = run(qkv, **options, backend=backend)
        results.append((out, *torch.autograd.grad(out.square().sum(), qkv)))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_a_neighbour_outside_the_map_keeps_its_share_of_the_softmax() -> None:
    q = k = torch.zeros(1, 1, 1, 4)
    out = dilated_attention(q, k, torch.ones_like(q), heads=2, dilations=(1,))
    torch.testing.assert_close(out, torch.full_like(q, 1 / 9))


def test_low_precision_is_computed_in_float32() -> None:
    qkv = random_qkv(1, 8, 9, 12, dtype=torch.bfloat16)
    exact = run(qkv.float(), backend='plain')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = run(qkv)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, exact.bfloat16())


def test_runs_on_the_meta_device() -> None:
    qkv = torch.empty(2, 6, 5, 36, device='meta', requires_grad=True)
    out = run(qkv)
    out.sum().backward()
    assert out.shape == (2, 6, 5, 12) and qkv.grad.shape == qkv.shape


def test_keeps_only_its_inputs_and_the_weights_for_the_backward_pass() -> None:
    qkv = random_qkv(1, 16, 24, 72, requires_grad=True)
    sizes = {}

    def keep(x: Tensor) -> Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        run(qkv)
    assert sum(sizes.values()) < 1.2 * qkv.untyped_storage().nbytes()


@pytest.mark.parametrize('heads', [5, 4])
def test_heads_and_dilations_divide(heads: int) -> None:
    with pytest.raises(ValueError, match='must be a multiple of the next'):
        dilated_attention(*[draw(1, 4, 4, 12)] * 3, heads=heads)
