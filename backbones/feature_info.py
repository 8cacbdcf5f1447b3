"""Widths and strides of a backbone's levels, as code for timm asks for them."""

from __future__ import annotations

from collections.abc import Sequence


class FeatureInfo(list):
    """One dict for every stage that is built: `num_chs`, `reduction`, `module` and `index`.

    A list, which timm's feature extractors take as they take timm's own class of this name: that
    one cannot be imported without all of timm's models.

    Args:
        stages: `num_chs` (channels), `reduction` (stride, in input pixels) and `module` (name).
        out_indices: of the stages that the methods tell about.
    """

    def __init__(self, stages: list[dict], out_indices: Sequence[int]) -> None:
        super().__init__(dict(stage, index=i) for i, stage in enumerate(stages))
        self.out_indices = tuple(out_indices)

    @property
    def info(self) -> list[dict]:
        """All stages."""
        return self

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> object:
        """Values of `key`: of the emitted levels, or of stages by number, emitted or not."""
        if isinstance(idx, int):
            return self[idx][key]
        return [self[i][key] for i in (self.out_indices if idx is None else idx)]

    def get_dicts(
        self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None
    ) -> object:
        """Several entries at once, all if `keys` is None. See `get`."""
        if isinstance(idx, int):
            return {k: v for k, v in self[idx].items() if keys is None or k in keys}
        wanted = self.out_indices if idx is None else idx
        return [self.get_dicts(keys, i) for i in wanted]

    def channels(self, idx: int | Sequence[int] | None = None) -> object:
        """Widths. See `get`."""
        return self.get('num_chs', idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> object:
        """Strides, in input pixels. See `get`."""
        return self.get('reduction', idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> object:
        """Names of the modules. See `get`."""
        return self.get('module', idx)
