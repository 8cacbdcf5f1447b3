"""Every registered variant has its goldens, its key list, its leaves and its facts."""

import pytest
from conftest import (
    GOLDENS,
    HERE,
    ROOT,
    ROWS,
    file_name,
    published_shapes,
    skeleton,
    twin,
    variant_id,
)

from backbones import BACKBONES
from backbones.variants import Variant, rates

PUBLISHED = [row for row in ROWS if twin(row) is row]
TASKS = (('mask_rcnn', 'coco'), ('upernet', 'ade20k'))


@pytest.mark.parametrize('row', ROWS, ids=variant_id)
def test_has_a_golden(row: Variant) -> None:
    missing = f'no golden/{file_name(row)}_HxW.npz; tests/support/make_golden.py makes it'
    assert {p.stem.rpartition('_')[0] for p in GOLDENS} >= {file_name(row)}, missing


@pytest.mark.parametrize('row', PUBLISHED, ids=variant_id)
def test_has_a_key_list(row: Variant) -> None:
    path = HERE / f'keys/{file_name(row)}.json'
    assert path.is_file(), f'no {path.name}; tests/support/make_golden.py --keys makes it'
    assert len(published_shapes(file_name(row))) > len(row.cls.NORM_NAMES)


@pytest.mark.parametrize('row', [row for row in ROWS if twin(row) is not row], ids=variant_id)
def test_only_the_same_tensors_share_a_key_list(row: Variant) -> None:
    ours, theirs = (skeleton(r).state_dict() for r in (row, twin(row)))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize('method, data', TASKS)
@pytest.mark.parametrize('row', PUBLISHED, ids=variant_id)
def test_has_a_leaf_of_both_tasks(row: Variant, method: str, data: str) -> None:
    path = ROOT / f'configs/{method}_{row.name}_{data}.py'
    assert path.is_file(), f'no configs/{path.name}'


@pytest.mark.parametrize('method', [method for method, _ in TASKS])
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_has_a_small_leaf_of_both_tasks(cls: type, method: str) -> None:
    path = ROOT / f'configs/{method}_{cls.__name__.lower()}_nano_digits.py'
    assert path.is_file(), f'no configs/{path.name}'
    assert {*cls.NANO} == {*next(iter(cls.ARCHS.values()))}


@pytest.mark.parametrize('row', ROWS, ids=variant_id)
def test_has_its_facts(row: Variant) -> None:
    assert row.parameters, 'no parameters'
    assert row.gmacs or twin(row) is not row, 'no gmacs: only a variant with a twin is not counted'
    assert {*row.drop_path} == {*rates(0)} and all(0 <= p < 1 for p in row.drop_path.values())
    assert row.weights is None or row.weights.startswith('https://')


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_variants_are_listed_from_small_to_large(cls: type) -> None:
    """The tests rely on the first one being the smallest."""
    sizes = [row.parameters for row in cls.ARCHS.values() if twin(row) is row]
    assert sizes == sorted(sizes)
