"""Dilated attention: every backend equals the published formulation, with its gradients."""

import pytest
import torch

import backbones
from backbones.ops import default_backend
from backbones.ops import dilated_attention as module
from backbones.ops.dilated_attention import dilated_attention

CASES = (  # (B, H, W, C), heads, dilations, kernel_size
    ((2, 5, 7, 12), 3, (1, 2, 3), 3),  # borders everywhere: the map is smaller than a neighbourhood
    ((1, 17, 11, 24), 6, (1, 2, 3), 3),
    ((1, 1, 9, 12), 6, (1, 2, 3), 3),  # a single row, a single column
    ((2, 9, 1, 8), 2, (4,), 3),
    ((1, 6, 8, 8), 4, (3, 1), 5),
    ((1, 4, 3, 4), 2, (2,), 1),
)


def random_qkv(shape: tuple[int, ...], **kwargs) -> torch.Tensor:
    """q, k and v side by side, as a linear layer makes them."""
    torch.manual_seed(0)
    return torch.randn(*shape[:3], 3 * shape[3], **kwargs)


def run(qkv: torch.Tensor, **kwargs) -> torch.Tensor:
    return dilated_attention(*qkv.chunk(3, dim=-1), **kwargs)


@pytest.mark.parametrize('shape, heads, dilations, kernel_size', CASES)
@pytest.mark.parametrize('backend', ['shift', 'strips'])
@pytest.mark.parametrize('strip', [1, 300, 2**16])  # one row each, some rows, all
def test_equals_the_published_formulation(
    monkeypatch, shape, heads, dilations, kernel_size, backend, strip
):
    monkeypatch.setattr(module, 'STRIP', strip)
    qkv = random_qkv(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(shape, dtype=torch.float64)
    results = []
    for name in ('reference', backend):
        out = run(qkv, heads=heads, dilations=dilations, kernel_size=kernel_size, backend=name)
        results.append((out, *torch.autograd.grad((out * weight).sum(), qkv)))
    torch.testing.assert_close(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_gradients_are_those_of_finite_differences():
    qkv = random_qkv((1, 3, 4, 6), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: run(x, heads=3, backend='strips'), qkv)


def test_a_neighbour_outside_the_map_keeps_its_share_of_the_softmax():
    q = k = torch.zeros(1, 1, 1, 4)
    out = dilated_attention(q, k, torch.ones_like(q), heads=2, dilations=(1,))
    torch.testing.assert_close(out, torch.full_like(q, 1 / 9))


def test_memory_layout_does_not_matter():
    qkv = random_qkv((2, 6, 5, 12))
    expected = run(qkv, heads=3)
    planar = qkv.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    torch.testing.assert_close(run(planar, heads=3), expected)


def test_low_precision_is_computed_in_float32():
    qkv = random_qkv((1, 8, 9, 12), dtype=torch.bfloat16)
    exact = run(qkv.float(), heads=3, backend='reference')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = run(qkv, heads=3)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, exact.bfloat16())


def test_works_under_autocast_with_gradients():
    qkv = random_qkv((1, 8, 9, 12), requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = run(qkv.bfloat16(), heads=3)
    out.float().square().sum().backward()
    assert out.dtype == torch.bfloat16 and qkv.grad.isfinite().all()


def test_runs_on_the_meta_device():
    qkv = torch.empty(2, 6, 5, 36, device='meta', requires_grad=True)
    out = run(qkv, heads=3)
    out.sum().backward()
    assert out.shape == (2, 6, 5, 12) and qkv.grad.shape == qkv.shape


def test_keeps_only_its_inputs_and_the_weights_for_the_backward_pass():
    qkv = random_qkv((1, 16, 24, 72), requires_grad=True)
    sizes = {}

    def keep(x: torch.Tensor) -> torch.Tensor:
        sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        run(qkv, heads=3)
    assert sum(sizes.values()) < 1.2 * qkv.untyped_storage().nbytes()


def test_compiles_without_graph_breaks():
    qkv = random_qkv((1, 6, 5, 12))
    compiled = torch.compile(lambda x: run(x, heads=3), fullgraph=True, backend='aot_eager')
    with torch.inference_mode():
        torch.testing.assert_close(compiled(qkv), run(qkv, heads=3))


def test_the_backbone_is_the_same_with_every_backend():
    model = backbones.create('dilateformer_t').eval()
    images = torch.randn(1, 3, 70, 101)
    with torch.inference_mode():
        levels = model(images)
        with default_backend('reference'):
            expected = model(images)
    torch.testing.assert_close(levels, expected, rtol=1e-4, atol=1e-4)


def test_errors_name_the_value_and_what_is_allowed():
    qkv = random_qkv((1, 4, 4, 12))
    with pytest.raises(ValueError, match="'fast'; allowed: auto, reference, shift, strips"):
        run(qkv, heads=3, backend='fast')
    for kwargs in (dict(heads=5), dict(heads=4)):
        with pytest.raises(ValueError, match='must be a multiple of the next'):
            run(qkv, **kwargs)
