"""Rewriting an ONNX graph into one that runtimes execute faster, with the same results."""

from collections.abc import Mapping
from typing import Any

import numpy as np

LARGE = 1024  # minimum numbers in a tensor to store it in 16 bits


def simplify(file: Any) -> Any:
    """Fold constants and BatchNorm, and remove what does nothing.

    Args:
        file: an `onnx.ModelProto`.

    Returns:
        A new one.
    """
    from onnxscript import optimizer, rewriter

    file = optimizer.optimize(file, num_iterations=4)
    file = optimizer.optimize(rewriter.rewrite(file))
    fold_into_next(file.graph)
    drop_idle(file.graph)
    merge_slices(file.graph)
    return optimizer.optimize(file)


def drop_idle(graph: Any) -> None:
    """Remove nodes that return their input: empty Pads, and Transposes that move sides of 1."""
    numbers = _constants(graph)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.value_info, *graph.input]
    }
    outputs = {output.name for output in graph.output}
    for node in list(graph.node):
        idle = False
        if node.op_type == 'Pad' and node.input[1] in numbers:
            idle = not numbers[node.input[1]].any()
        elif node.op_type == 'Transpose':
            shape, order = shapes.get(node.input[0], []), _attribute(node, 'perm', [])
            if shape and all(shape):  # 0 means a side that varies
                moved = [axis for axis in order if shape[axis] != 1]
                idle = moved == sorted(moved) and shape == [shape[axis] for axis in order]
        if idle and node.output[0] not in outputs:
            for other in graph.node:
                other.input[:] = [
                    node.input[0] if name == node.output[0] else name for name in other.input
                ]
            graph.node.remove(node)


def merge_slices(graph: Any) -> None:
    """Merge two Slices in a row that cut along different axes into one."""
    from onnx import numpy_helper

    numbers = _constants(graph)
    made = {node.output[0]: node for node in graph.node}
    for node in list(graph.node):
        before = made.get(node.input[0]) if node.op_type == 'Slice' else None
        if before is None or before.op_type != 'Slice':
            continue
        inner, outer = (list(part.input[1:]) for part in (before, node))
        known = all(name in numbers for name in (*inner, *outer))
        if len(inner) != 4 or len(outer) != 4 or not known:
            continue
        axes = [*numbers[inner[2]], *numbers[outer[2]]]
        if len(set(axes)) < len(axes) or min(axes) < 0:
            continue
        names = [f'{node.output[0]}_{part}' for part in ('starts', 'ends', 'axes', 'steps')]
        for name, first, second in zip(names, inner, outer):
            values = np.concatenate([numbers[first], numbers[second]]).astype(np.int64)
            numbers[name] = values
            graph.initializer.append(numpy_helper.from_array(values, name))
        node.input[:] = [before.input[0], *names]


def _constants(graph: Any) -> dict[str, np.ndarray]:
    """Return a graph's stored tensors by name."""
    from onnx import numpy_helper

    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == 'Constant' and (value := _attribute(node, 'value', None)) is not None:
            found[node.output[0]] = numpy_helper.to_array(value)
        elif node.op_type == 'Constant' and (ints := _attribute(node, 'value_ints', None)):
            found[node.output[0]] = np.array(ints)
    return found


def fold_into_next(graph: Any) -> None:
    """Fold each BatchNorm whose output only 1x1 convolutions read into these, in place.

    The rewriter only folds a BatchNorm into the convolution before it; in MogaNet it comes first.
    """
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)

    def numbers(name: str) -> np.ndarray:
        return numpy_helper.to_array(stored[name]).astype(np.float64)

    for norm in [node for node in graph.node if node.op_type == 'BatchNormalization']:
        convs = readers.get(norm.output[0], [])
        if norm.output[0] in outputs or not all(_mixes_channels(c, stored) for c in convs):
            continue
        gamma, beta, mean, variance = map(numbers, norm.input[1:])
        scale = gamma / np.sqrt(variance + _attribute(norm, 'epsilon', 1e-5))
        shift = beta - mean * scale
        for conv in convs:
            weight = numbers(conv.input[1])
            bias = numbers(conv.input[2]) if len(conv.input) > 2 else 0
            bias = bias + weight[:, :, 0, 0] @ shift
            names = [f'{conv.output[0]}_{part}' for part in ('weight', 'bias')]
            for name, values in zip(names, (weight * scale[:, None, None], bias)):
                graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), name))
            conv.input[:] = [norm.input[0], *names]
        graph.node.remove(norm)
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _mixes_channels(node: Any, stored: Mapping[str, Any]) -> bool:
    """Return whether a node is a 1x1 convolution of all channels, without padding."""
    return (
        node.op_type == 'Conv'
        and all(name in stored for name in node.input[1:])
        and list(stored[node.input[1]].dims)[2:] == [1, 1]
        and _attribute(node, 'group', 1) == 1
        and not any(_attribute(node, 'pads', [0]))
    )


def _attribute(node: Any, name: str, default: Any) -> Any:
    """Return an attribute of a node."""
    from onnx import helper

    found = [a for a in node.attribute if a.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def half(file: Any) -> None:
    """Store the weights of a file in float16, in place; runtimes compute in float32."""
    from onnx import helper, numpy_helper

    graph = file.graph
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= LARGE:
            name = f'{tensor.name}_half'
            stored = numpy_helper.from_array(values.astype(np.float16), name)
            cast = helper.make_node('Cast', [name], [tensor.name], to=tensor.data_type)
            graph.initializer.remove(tensor)
            graph.initializer.append(stored)
            graph.node.insert(0, cast)
