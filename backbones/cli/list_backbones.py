"""Listing the backbones to choose from: ours, and timm's models."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from backbones.adapted.families import recipe_of
from backbones.adapted.timm_models import SCHEME, family, pretrained_cfg, require
from backbones.errors import UserError
from backbones.package_files import FOLDER, own_recipe
from backbones.registry import variants
from backbones.tables import table

SIZES = Path(__file__).parents[1] / 'adapted/timm_sizes.json'
LINKED = ' on '  # as in "on Google Drive", from where no program can fetch


class Row(NamedTuple):
    """A backbone: its name, parameters in millions, weights, their licence, and more.

    Args:
        levels: 'own' maps at the four strides, or 'made' from one map.
        recipe: the config, or the source of the settings, that `--recipe published` uses.
    """

    name: str
    parameters: float | None
    levels: str
    weights: str
    licence: str | None
    pixels: str | None
    recipe: str | None


def rows(task: str | None, *, max_params: float | None, weights: bool, timm: bool) -> Iterator[Row]:
    """Yield the backbones that fit, the smallest first.

    Args:
        task: 'detection' or 'segmentation', to name its recipes and leave out models without one.
        max_params: largest size in millions; also leaves out models of unknown size.
        weights: leave out models whose weights no program can fetch.
        timm: also list timm's models.
    """
    found = [*_ours(task), *(_timms(task) if timm else ())]
    for row in sorted(found, key=lambda row: row.parameters or 1e9):
        large = max_params and (row.parameters is None or row.parameters > max_params)
        if not large and (row.weights == 'yes' or not weights) and (row.recipe or not task):
            yield row


def _ours(task: str | None) -> Iterator[Row]:
    for row in variants().values():
        config = own_recipe(row.name, task) if task else None
        if config and not (FOLDER / 'configs' / f'{config}.py').is_file():
            config = None
        fetched = 'yes' if row.weights else 'by hand' if LINKED in row.cls.WEIGHTS else 'no'
        size = '384 x 384' if row.name.endswith('_384') else '224 x 224'
        million = row.parameters / 1e6 if row.parameters else None
        yield Row(row.name, million, 'own', fetched, None, size, config)


def _timms(task: str | None) -> Iterator[Row]:
    require('--timm')
    import timm

    sizes, tags_of = json.loads(SIZES.read_text()), defaultdict(list)
    for full in timm.list_pretrained():
        tags_of[full.partition('.')[0]].append(full.partition('.')[2])
    for name in timm.list_models():
        million, levels = sizes.get(name, (None, 'unknown'))
        recipe = recipe_of(family(name), task) if task else None
        for tag in tags_of[name] or ('',):
            full = f'{name}.{tag}' if tag else name
            facts = pretrained_cfg(full)
            size = (
                ' x '.join(map(str, facts['input_size'][1:])) if facts.get('input_size') else None
            )
            fetched = 'yes' if facts.get('hf_hub_id') else 'no'
            licence, source = facts.get('license'), recipe.source if recipe else None
            yield Row(f'{SCHEME}{full}', million, levels, fetched, licence, size, source)


def text(found: list[Row]) -> str:
    """Return the table.

    Raises:
        UserError: there is nothing to show.
    """
    if not found:
        raise UserError('no backbone fits; leave an option out, or list more with --timm')
    head = ('name', 'parameters, M', 'levels', 'weights', 'licence', 'made for', 'recipe')
    cells = [[r.name, f'{r.parameters:.1f}' if r.parameters else None, *r[2:]] for r in found]
    wanted = [i for i in range(len(head)) if any(c[i] is not None for c in cells)]
    return table([head[i] for i in wanted], [[c[i] for i in wanted] for c in cells])
