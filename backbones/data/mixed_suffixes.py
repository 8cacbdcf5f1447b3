"""The dataset of configs that version 0.1 wrote for files of several suffixes."""

import os
from pathlib import Path

from mmengine.fileio import list_dir_or_file
from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from backbones.errors import UserError, listed


@DATASETS.register_module()
class MixedSuffixDataset(BaseSegDataset):
    """Images and label maps of the same names, whatever their suffixes.

    MMSegmentation's BaseSegDataset accepts one suffix each and ignores other files. New configs use
    `ListedPairsDataset`.

    Args:
        img_suffix, seg_map_suffix: tuples of all suffixes, such as ('.JPG', '.png').

    Raises:
        UserError: an image has no label map, two files have the same name, or `ann_file` lists an
            image that does not exist.
    """

    def load_data_list(self) -> list[dict]:
        images = _by_name(self.data_prefix['img_path'], self.img_suffix)
        labels = _by_name(self.data_prefix['seg_map_path'], self.seg_map_suffix)
        if self.ann_file:
            listed_names = set(Path(self.ann_file).read_text(encoding='utf-8').splitlines())
            if gone := sorted(listed_names - images.keys()):
                raise UserError(f'{self.ann_file} lists images that do not exist: {listed(gone)}')
            images = {name: path for name, path in images.items() if name in listed_names}
        if missing := sorted(images.keys() - labels.keys()):
            raise UserError(
                f'{self.data_prefix["seg_map_path"]} has no label map for {listed(missing)}; '
                f'looked for {" and ".join(self.seg_map_suffix)}'
            )
        shared = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        return [
            dict(shared, img_path=images[name], seg_map_path=labels[name], seg_fields=[])
            for name in sorted(images)
        ]


def _by_name(folder: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return paths by their names relative to the folder, without suffix."""
    found: dict[str, str] = {}
    for file in list_dir_or_file(folder, list_dir=False, suffix=tuple(suffixes), recursive=True):
        path = os.path.join(folder, file)
        other = found.setdefault(os.path.splitext(file)[0], path)
        if other != path:
            raise UserError(f'{other} and {path} differ only in the suffix: rename one of them')
    return found
