#!/usr/bin/env python
"""Time kinds of operators in PyTorch and OpenVINO: benchmarks/by_operator.py [NAME ...]

One image on one thread. The times of PyTorch's profiler and OpenVINO's counters, without nested
operators, are added up by kind; the runtimes take turns. Needs the extra `openvino`.
"""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from one_thread import asked
from torch import nn
from torch.profiler import ProfilerActivity, profile

import backbones
from backbones.deploy import export
from backbones.deploy import source as sources
from backbones.inference.folding import cast
from backbones.tables import table

RUNS = 10
# by parts of operator names in PyTorch and OpenVINO; the first match counts
KINDS = {
    'attention': ('scaled_dot', 'flash', 'softmax', 'scaleddotproduct', 'mha'),
    'convolution': ('conv',),
    'matrix product': ('addmm', 'bmm', 'matmul', 'linear', 'fullyconnected', '::mm', 'gemm'),
    'norm': ('norm', 'mvn'),
    'activation': ('gelu', 'silu', 'sigmoid', 'relu', 'swish', 'hardswish'),
    'sums, products': ('add', 'sub', 'mul', 'div', 'eltwise', 'mean', 'reduce', 'sum', 'subgraph'),
    'moving data': (
        *('copy', 'clone', 'contiguous', 'pad', 'cat', 'concat', 'transpose', 'permute', 'reshape'),
        *('reorder', 'split', 'slice', 'roll', 'index', 'gather', 'fill', 'empty', 'view'),
        *(
            'unsafe',
            'convert',
            'select',
            'expand',
            'to_',
            'stack',
            'resize',
            'as_strided',
            'unfold',
        ),
    ),
}
OTHER = 'other'


def kind_of(name: str, depthwise: bool) -> str:
    """Return the kind of an operator by its name."""
    name = name.lower()
    kind = next((k for k, parts in KINDS.items() if any(part in name for part in parts)), OTHER)
    return 'depthwise convolution' if kind == 'convolution' and depthwise else kind


def in_pytorch(model: nn.Module, images: torch.Tensor, amp: bool) -> Counter[str]:
    """Return the microseconds of one pass by kind of operator."""
    cpu = [ProfilerActivity.CPU]
    with (
        torch.no_grad(),
        torch.autocast('cpu', torch.bfloat16, enabled=amp),
        profile(activities=cpu, record_shapes=True) as measured,
    ):
        model(images)
    found: Counter[str] = Counter()
    for event in measured.key_averages(group_by_input_shape=True):
        kernel = next((s for s in event.input_shapes[1:2] if len(s) == 4), (0, 0, 0, 0))
        depthwise = kernel[1] == 1 and kernel[0] > 1
        found[kind_of(event.key, depthwise)] += event.self_cpu_time_total
    return found


def in_openvino(request: object, pixels: np.ndarray) -> Counter[str]:
    """Return the microseconds of one pass by kind of node."""
    request.infer({'image': pixels})  # type: ignore[attr-defined]
    found: Counter[str] = Counter()
    for node in request.profiling_info:  # type: ignore[attr-defined]
        depthwise = node.node_type == 'GroupConvolution' or '_dw_' in node.exec_type
        # attention is a fused graph that ends with a product
        fused = node.node_type == 'Subgraph' and 'matmul' in node.node_name
        kind = 'attention' if fused else kind_of(node.node_type, depthwise)
        found[kind] += node.real_time.total_seconds() * 1e6
    return found


def compare(name: str, side: int, amp: bool) -> list[list[str]]:
    """Return a row for each kind of operator: milliseconds in PyTorch and in OpenVINO."""
    import openvino

    model = backbones.create(name).eval()
    source = sources.of_backbone(name, model, dynamic=False)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'x.xml')
        result = export.export(source, file, export.Target((side, side), 1, 'openvino'))
        assert result.agrees, export.text(result.differences)
        hint = 'bf16' if amp else 'f32'
        options = dict(INFERENCE_PRECISION_HINT=hint, INFERENCE_NUM_THREADS=1, PERF_COUNT=True)
        request = openvino.compile_model(str(file), 'CPU', options).create_infer_request()
    images = torch.randn(1, 3, side, side)
    model, images = (x.to(memory_format=torch.channels_last) for x in (model, images))
    if amp:  # like `Predictor`
        cast(model)
    turns = [
        (in_pytorch(model, images, amp), in_openvino(request, images.contiguous().numpy()))
        for _ in range(RUNS + 1)
    ][1:]
    rows = []
    kinds = sorted({k for pair in turns for part in pair for k in part})
    medians = {k: [np.median([t[i][k] for t in turns]) / 1000 for i in (0, 1)] for k in kinds}
    for kind, (ours, theirs) in sorted(medians.items(), key=lambda item: -max(item[1])):
        if max(ours, theirs) >= 0.05:
            rows.append([name, kind, f'{ours:.1f}', f'{theirs:.1f}'])
    total = [f'{sum(m[i] for m in medians.values()):.1f}' for i in (0, 1)]
    return [*rows, [name, 'all', *total]]


def main() -> None:
    args = asked(__doc__)
    rows = [row for name in args.names for row in compare(name, args.side, args.amp)]
    print(table(['backbone', 'operators', 'PyTorch, ms', 'OpenVINO, ms'], rows))


if __name__ == '__main__':
    main()
