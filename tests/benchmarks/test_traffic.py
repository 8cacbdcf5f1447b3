"""Counting memory traffic, and what it decides on GPUs."""

import json

import forms
import pytest
import torch
from traffic import Traffic

from backbones.ops.dispatch import PLAIN, TABLE, TRITON

COSTS = json.loads(forms.FILE.read_text())


def test_the_counts_are_those_of_today() -> None:
    assert list(forms.counted()) == COSTS, 'run benchmarks/forms.py'


@pytest.mark.parametrize('operator', [name for name in TABLE if len(forms.forms(name)) > 1])
def test_gpus_take_the_form_with_the_least_counted_cost(operator: str) -> None:
    costs = {r['form']: r for r in COSTS if r['operator'] == operator}
    if operator in TRITON:  # never timed on a GPU, so only used on request
        del costs['triton']

    def least(*keys: str) -> str:  # the plain form, which is first, among equals
        return min(costs, key=lambda form: sum(costs[form][key] for key in keys))

    row = TABLE[operator]
    assert row.gpu_inference == least('forward')
    assert row.gpu_training == least('forward', 'backward')
    keeps = {form: costs[form]['kept'] for form in costs}
    assert keeps[row.gpu_memory] == min(keeps.values())


def test_what_has_no_counts_is_plain_on_gpus() -> None:
    for operator in set(TABLE) - {r['operator'] for r in COSTS}:
        assert {getattr(TABLE[operator], column) for column in forms.COLUMNS} == {PLAIN}


def test_counts_what_is_read_and_written_and_no_views() -> None:
    x = torch.empty(10, 10, device='meta')  # 400 bytes
    with Traffic() as traffic:
        x.t().view(10, 10)[:5]
        torch.empty_like(x)
    assert traffic.bytes == 0
    with Traffic() as traffic:
        x + x[:1].expand(10, 10)  # a row is read, not ten
    assert traffic.bytes == 400 + 40 + 400
    with Traffic() as traffic:
        x.copy_(x.t())
    assert traffic.bytes == 800
