"""A dataset of images and label maps that a list pairs, whatever their names."""

import os

from mmengine.registry import DATASETS
from mmseg.datasets import BaseSegDataset

from backbones.data.pair_list import read_pairs
from backbones.errors import UserError


@DATASETS.register_module()
class ListedPairsDataset(BaseSegDataset):
    """Images and label maps as the lines of `ann_file` pair them: image, tab, label map.

    MMSegmentation's BaseSegDataset pairs files by one suffix each, and ignores other files. Paths
    are relative to the two folders of `data_prefix`.

    Raises:
        UserError: a line is not a pair.
    """

    def load_data_list(self) -> list[dict]:
        shared = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        images, labels = (self.data_prefix[key] for key in ('img_path', 'seg_map_path'))
        found = [
            dict(
                shared,
                img_path=os.path.join(images, image),
                seg_map_path=os.path.join(labels, label),
                seg_fields=[],
            )
            for image, label in read_pairs(self.ann_file)
        ]
        if not found:
            raise UserError(f'{self.ann_file} lists no images')
        return found
