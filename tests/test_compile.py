"""`torch.compile` in inference and training: no graph breaks, the same numbers, few graphs."""

from collections.abc import Callable

import pytest
import torch
from conftest import NANO, variant_id
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounterWithBackend

from backbones import BACKBONES, CloFormer, CSWin, DilateFormer

SIZES = ((64, 96), (80, 64), (67, 103), (33, 47), (96, 128))


@pytest.fixture(autouse=True)
def nothing_compiled() -> None:
    """Forget earlier graphs, which would count as recompilations."""
    torch._dynamo.reset()


def build(cls: type, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return cls(NANO[cls], drop_path_rate=0.3, **settings)


def step(run: Callable, model: nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return levels, buffers and gradients of a training step with the same random drop path."""
    model.zero_grad()
    torch.manual_seed(1)
    levels = run(x)
    sum(level.square().mean() for level in levels).backward()
    return [*levels, *model.buffers()], [p.grad for p in model.parameters()]


def image(height: int, width: int) -> Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(2))


def assert_same_step(
    compiled: Callable, model: nn.Module, twin: nn.Module, x: Tensor, tolerance: float
) -> None:
    """Compare tensor by tensor, relative to the largest value.

    Tensors that consist only of rounding errors, like the gradient of a bias before a BatchNorm or
    the running mean of centred values, are compared with the largest value of all tensors.
    """
    for found, wanted in zip(step(compiled, model, x), step(twin, twin, x), strict=True):
        floor = 1e-4 * max(b.abs().max().item() for b in wanted)
        for a, b in zip(found, wanted, strict=True):
            largest = max(b.abs().max().item(), floor)
            assert (a - b).abs().max().item() <= tolerance * largest


@pytest.mark.parametrize(
    'cls',
    [pytest.param(cls, marks=[] if cls is CSWin else [pytest.mark.slow]) for cls in BACKBONES],
    ids=variant_id,
)
def test_the_first_stages_train_compiled_without_a_graph_break(cls: type) -> None:
    levels = (0,) if cls is DilateFormer else (0, 1)  # its second stage adds 3 s and nothing new
    model, twin = (build(cls, out_indices=levels).double() for _ in range(2))
    compiled = torch.compile(model, fullgraph=True, backend='eager')
    assert_same_step(compiled, model, twin, image(40, 48).double(), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize('with_cp', [False, True], ids=['', 'with_cp'])
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_a_compiled_training_step_is_the_same(cls: type, with_cp: bool) -> None:
    model, twin = (build(cls, with_cp=with_cp).double() for _ in range(2))
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')
    for size in ((64, 96), (67, 103)):
        assert_same_step(compiled, model, twin, image(*size).double(), 1e-10)


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_changing_sizes_compile_few_times(cls: type) -> None:
    model, twin = (build(cls, out_indices=(0, 1)).double() for _ in range(2))
    counter = CompileCounterWithBackend('eager')
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for size in SIZES:
        assert_same_step(compiled, model, twin, image(*size).double(), 1e-10)
    # CloFormer's pooling is compiled once more, for sizes that leave no remainder
    assert counter.frame_count <= (3 if cls is CloFormer else 2)


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_compiled_under_autocast_stays_as_near_to_float32(cls: type) -> None:
    exact, eager, model = (build(cls) for _ in range(3))
    compiled = torch.compile(model, fullgraph=True, backend='aot_eager')

    def autocast(run: Callable) -> Callable:
        return torch.autocast('cpu', torch.bfloat16)(run)

    x = image(64, 96)
    runs = ((exact, exact), (autocast(eager), eager), (autocast(compiled), model))
    gradients = [torch.cat([g.flatten() for g in step(run, m, x)[1]]) for run, m in runs]
    error, ours = ((g - gradients[0]).norm() / gradients[0].norm() for g in gradients[1:])
    assert ours <= 1.5 * error


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_recomputation_saves_as_much_when_compiled(cls: type) -> None:
    saved = []
    for compiled in (False, True):
        kept = []
        for with_cp in (False, True):
            model = build(cls, with_cp=with_cp)
            parameters = {p.data_ptr() for p in model.parameters()}
            if compiled:
                model.compile(fullgraph=True, backend='aot_eager')
            storages: dict[int, int] = {}

            def keep(x: Tensor) -> Tensor:
                storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()  # noqa: B023
                return x

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
                model(image(128, 128))
            kept.append(sum(size for key, size in storages.items() if key not in parameters))
        saved.append(kept[0] - kept[1])
    assert saved[1] >= saved[0] > 2**20


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_inductor_gives_the_same_numbers(cls: type) -> None:
    model = build(cls).eval()
    compiled = torch.compile(model, fullgraph=True)
    for size in ((64, 96), (96, 64)):
        x = image(*size)
        with torch.no_grad():
            for a, b in zip(compiled(x), model(x), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
