"""Creating an ONNX file: the model with the image's preprocessing before it."""

import operator
from types import ModuleType
from typing import Any

import torch

from backbones.deploy.onnx_graph import simplify
from backbones.deploy.preprocessing import Preprocessing
from backbones.deploy.runtime_forms import runtime_forms
from backbones.deploy.select import NOTHING
from backbones.deploy.tracing import SAMPLE, exporting, quiet, traced
from backbones.errors import installed

OPSET = 20  # the first opset with Gelu
EXTRAS = {'openvino': 'openvino', 'nncf': 'openvino'}  # other packages are in the extra `export`


def package(name: str) -> ModuleType:
    """Import a package of an extra.

    Raises:
        MissingOperatorError: it is not installed.
    """
    extra = EXTRAS.get(name, 'export')
    return installed(
        name, f"export needs the package {name}: pip install 'dense-backbones[{extra}]'"
    )


def to_onnx(
    model: Any,
    preprocessing: Preprocessing,
    *,
    size: tuple[int, int] | None,
    batch: int | None,
) -> Any:
    """Export a model from `exportable` together with its preprocessing.

    Args:
        model: takes normalised, padded images and, for a detector, their size before padding.
        preprocessing: becomes part of the file.
        size: height and width of the images in pixels; None for all sizes.
        batch: images per call; None for any number.

    Returns:
        An `onnx.ModelProto` with the input `image`, (B, 3, H, W) RGB from 0 to 255 in float32, or
        (B, C, H, W) for a model that takes all channels.

    Raises:
        MissingOperatorError: the extra `export` is not installed.
        UserError: PyTorch cannot export the model; the message gives its reason.
    """
    onnx = package('onnx')
    package('onnxscript')
    core = _core(model, size, batch, preprocessing)
    pads = size is None or any(n % preprocessing.divisor for n in size)
    before = onnx.parser.parse_model(_before(preprocessing, size, batch, core, pads))
    taken = {i.name for i in core.graph.input}
    pairs = [(name, name) for name in ('padded', 'size') if name in taken]
    file = onnx.compose.merge_models(before, core, io_map=pairs)
    if pads and getattr(model, 'cropped', {}):
        after = onnx.parser.parse_model(_after(core, model.cropped))
        pairs = [(f'whole_{name}', f'whole_{name}') for name in model.cropped]
        file = onnx.compose.merge_models(file, after, io_map=[*pairs, ('extent', 'extent')])
    outputs = {o.name.removeprefix('whole_'): o for o in file.graph.output}
    for name in model.outputs:
        _rename(file.graph, outputs[name].name, name)
    del file.graph.output[:]
    file.graph.output.extend(outputs[name] for name in model.outputs)
    with quiet():
        return simplify(file)


def _rename(graph: Any, old: str, new: str) -> None:
    """Rename an output of a graph."""
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    for output in graph.output:
        if output.name == old:
            output.name = new


def _core(
    model: Any, size: tuple[int, int] | None, batch: int | None, preprocessing: Preprocessing
) -> Any:
    """Export the model without preprocessing; its inputs are `padded` and perhaps `size`."""
    H, W = size or SAMPLE
    shape = [-(-n // preprocessing.divisor) * preprocessing.divisor for n in (H, W)]
    image = torch.zeros(batch or 2, preprocessing.channels, *shape)
    sides = [] if model.task in ('features', 'semantic') else [torch.tensor([H, W])]
    cropped = getattr(model, 'cropped', {})
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # a fused operator that no exporter knows
    try:
        with exporting(model), runtime_forms():
            exported = torch.onnx.export(
                traced(model, image, *sides, any_batch=batch is None, any_size=size is None),
                dynamo=True,
                opset_version=OPSET,
                input_names=['padded', 'size'][: 1 + len(sides)],
                output_names=[f'whole_{n}' if n in cropped else n for n in model.outputs],
                custom_translation_table=_translations(),
                verbose=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    return exported.model_proto


def _translations() -> dict[Any, Any]:
    """Return translations of operators that the exporter does not know."""
    op = package('onnxscript').opset20

    def at_most(size: Any, bound: Any) -> Any:
        # torch.export also compares sizes with bounds beyond int64
        return op.LessOrEqual(size, min(bound, 2**63 - 1) if isinstance(bound, int) else bound)

    def suppress(boxes: Any, scores: Any, image: Any, batch: Any, iou: float, count: int) -> Any:
        # each image is a class for ONNX's operator: boxes of different classes do not compete
        scores = op.Unsqueeze(scores, [0])
        if batch != 1:
            numbers = op.Unsqueeze(op.Range(0, batch, 1), [1])
            own = op.Equal(op.Unsqueeze(image, [0]), numbers)
            scores = op.Where(own, scores, op.Constant(value_float=NOTHING))
        found = op.NonMaxSuppression(
            op.Unsqueeze(boxes, [0]), op.Unsqueeze(scores, [0]), count, iou, NOTHING / 2
        )
        return op.Squeeze(op.Gather(found, [2], axis=1), [1])

    return {
        operator.le: at_most,
        torch.ops.dense_backbones.suppress.default: suppress,
    }


def _before(
    preprocessing: Preprocessing,
    size: tuple[int, int] | None,
    batch: int | None,
    core: Any,
    pads: bool,
) -> str:
    """Return an ONNX model, as text, that normalises and pads."""
    sides = ', '.join(
        map(str, (batch or 'batch', preprocessing.channels, *(size or ('height', 'width'))))
    )
    padded = _shape(core.graph.input[0])
    mean, std = (
        f'float[1, {preprocessing.channels}, 1, 1] {{{", ".join(map(repr, map(float, values)))}}}'
        for values in (preprocessing.mean, preprocessing.std)
    )
    steps = [
        f'before_mean = Constant <value = {mean}> ()',
        f'before_std = Constant <value = {std}> ()',
        'size = Shape <start = 2, end = 4> (image)',
        'extent = Identity (size)',  # an input of the model is no longer an output
    ]
    image = 'image'
    if not preprocessing.as_they_are:
        steps += [
            'before_order = Constant <value = int64[3] {2, 1, 0}> ()',
            'before_ordered = Gather <axis = 1> (image, before_order)',
        ]
        image = 'before_ordered'
    steps += [f'before_centred = Sub ({image}, before_mean)']
    if pads:
        steps += [
            'before_normalised = Div (before_centred, before_std)',
            f'before_divisor = Constant <value = int64[1] {{{preprocessing.divisor}}}> ()',
            'before_none = Constant <value = int64[6] {0, 0, 0, 0, 0, 0}> ()',
            'before_beyond = Neg (size)',
            'before_missing = Mod (before_beyond, before_divisor)',
            'before_pads = Concat <axis = 0> (before_none, before_missing)',
            'padded = Pad (before_normalised, before_pads)',
        ]
    else:
        steps += ['padded = Div (before_centred, before_std)']
    return f"""
        <ir_version: {core.ir_version}, opset_import: ["" : {OPSET}]>
        preprocessing (float[{sides}] image)
            => (float[{padded}] padded, int64[2] size, int64[2] extent) {{
            {' '.join(steps)}
        }}
    """


def _after(core: Any, cropped: dict[str, int]) -> str:
    """Return an ONNX model, as text, that removes the padding from outputs."""
    kinds = {1: 'float', 7: 'int64'}
    shapes, results, steps = [], [], []
    outputs = {output.name: output for output in core.graph.output}
    for name, axis in cropped.items():
        output = outputs[f'whole_{name}']
        kind, shape = kinds[output.type.tensor_type.elem_type], _shape(output)
        shapes.append(f'{kind}[{shape}] whole_{name}')
        lead = shape.split(', ')[:axis]
        results.append(f'{kind}[{", ".join([*lead, "height", "width"])}] {name}')
        steps += [
            f'after_{name} = Constant <value = int64[2] {{{axis}, {axis + 1}}}> ()',
            f'{name} = Slice (whole_{name}, after_start, extent, after_{name})',
        ]
    return f"""
        <ir_version: {core.ir_version}, opset_import: ["" : {OPSET}]>
        postprocessing ({', '.join(shapes)}, int64[2] extent) => ({', '.join(results)}) {{
            after_start = Constant <value = int64[2] {{0, 0}}> ()
            {' '.join(steps)}
        }}
    """


def _shape(value: Any) -> str:
    """Return a value's shape as ONNX text: numbers, or names for axes that vary."""
    dims = enumerate(value.type.tensor_type.shape.dim)
    return ', '.join(
        str(d.dim_value) if d.HasField('dim_value') else f'{value.name}{i}' for i, d in dims
    )
