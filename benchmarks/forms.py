#!/usr/bin/env python
"""Count the cost of each operator's forms on a GPU: benchmarks/forms.py writes ops/costs.json.

Nothing is measured: an example of each operator (see operators.py), on a map of 200x320 cells in
bfloat16, runs on shapes alone. It counts the bytes that operations read and write in forward and
backward pass (traffic.py) and those that autograd keeps in between (memory.py), in MB.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from memory import held_bytes
from operators import examples, operators_of
from torch import Tensor
from traffic import Traffic

import backbones
from backbones.ops import dispatch
from backbones.ops.dispatch import PLAIN, TABLE, TRITON, Row

FILE = Path(backbones.__file__).parent / 'ops/costs.json'
CELLS = (200, 320)  # in the first stage, for 800x1280 pixels
COLUMNS = [name for name in Row._fields if name.startswith('gpu')]


def forms(operator: str) -> list[str]:
    """Return all forms that an operator can take on a GPU."""
    row = TABLE[operator]
    rest = ['triton'] if operator in TRITON else []
    listed = [getattr(row, column) for column in COLUMNS]
    extra = ['recompute'] if 'recompute' in row else []
    return list(dict.fromkeys([PLAIN, *listed, *extra, *rest]))


def counted() -> Iterator[dict]:
    """Yield a record for each form of each operator with more than one form on GPUs."""
    for build, shapes in examples(1, *CELLS).values():
        with torch.device('meta'):
            module = build().bfloat16()
        for operator in operators_of(module):
            for form in forms(operator) if len(forms(operator)) > 1 else ():
                yield dict(operator=operator, form=form, **cost(module, shapes, operator, form))


def cost(module: torch.nn.Module, shapes: list, operator: str, form: str) -> dict:
    """Return the MB that one form of an operator moves and keeps, with the others as on a GPU."""
    like = dict(dtype=torch.bfloat16, device='meta', requires_grad=True)
    inputs = [torch.empty(shape, **like) for shape in shapes]
    given = (*inputs, *module.parameters())
    with (
        mock.patch.dict(TABLE, {operator: Row(*[form] * 6)}),
        mock.patch.object(F, 'scaled_dot_product_attention', fused_attention),
        dispatch.mode(as_if_on='cuda'),
    ):
        with Traffic() as forward:
            out = module(*inputs)
        with Traffic() as backward:
            torch.autograd.grad(out, given, torch.empty_like(out))
        kept = held_bytes(lambda: module(*inputs), module.parameters())
    sizes = dict(forward=forward.bytes, backward=backward.bytes, kept=kept)
    return {name: round(size / 1e6, 1) for name, size in sizes.items()}


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention in one kernel, as on a GPU; without values, PyTorch would use three."""
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)[0]


def main() -> None:
    lines = ',\n'.join(map(json.dumps, counted()))
    FILE.write_text(f'[\n{lines}\n]\n')
    print(FILE.read_text())


if __name__ == '__main__':
    main()
