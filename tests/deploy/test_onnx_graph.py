"""A rewritten graph computes the same with fewer nodes."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from backbones.deploy.onnx_graph import drop_idle, fold_into_next, merge_slices

PADDED = """
    four (float[1, 3, 6, 7] x) => (float[1, 6, 7, 3] y)
        <int64[8] none = {0, 0, 0, 0, 0, 0, 0, 0}, int64[8] one = {0, 0, 1, 0, 0, 0, -1, 0}>
    {
        a = Pad (x, none)
        b = Pad (a, one)
        y = Transpose <perm = [0, 2, 3, 1]> (b)
    }
"""
SLICED = """
    cut (float[1, 3, 6, 7] x) => (float[1, 3, 3, 4] y)
        <int64[1] s1 = {1}, int64[1] e1 = {4}, int64[1] a1 = {2}, int64[1] one = {1},
         int64[1] s2 = {2}, int64[1] e2 = {6}, int64[1] a2 = {3}>
    {
        a = Slice (x, s1, e1, a1, one)
        y = Slice (a, s2, e2, a2, one)
    }
"""
NORMALISED = """
    norm (float[1, 3, 6, 7] x) => (float[1, 2, 6, 7] y)
        <float[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}, float[2] b = {1, -1},
         float[3] g = {1, 2, 3}, float[3] h = {0.5, 0, -1}, float[3] m = {0, 1, 2},
         float[3] v = {1, 2, 4}>
    {
        a = BatchNormalization <epsilon = 0.1> (x, g, h, m, v)
        y = Conv (a, w, b)
    }
"""


def result(file: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(file)
    session = onnxruntime.InferenceSession(file.SerializeToString())
    return session.run(None, {'x': x})[0]


@pytest.mark.parametrize(
    'text, rewrite, gone, left',
    [
        (PADDED, drop_idle, 'Pad', 1),
        (SLICED, merge_slices, 'Slice', 2),
        (NORMALISED, fold_into_next, 'BatchNormalization', 0),
    ],
)
def test_a_rewritten_graph_computes_the_same(
    text: str, rewrite: Callable, gone: str, left: int
) -> None:
    file = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {text}')
    x = np.random.default_rng(0).normal(size=(1, 3, 6, 7)).astype(np.float32)
    expected = result(file, x)
    rewrite(file.graph)
    np.testing.assert_allclose(result(file, x), expected, rtol=1e-5, atol=1e-5)
    assert [node.op_type for node in file.graph.node].count(gone) == left
    if gone == 'Slice':  # the first one has no reader left, and the optimizer removes it
        assert file.graph.node[1].input[0] == 'x'
    assert all(numpy_helper.to_array(t).dtype != np.float64 for t in file.graph.initializer)
