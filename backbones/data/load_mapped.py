"""A transform that loads label maps whose values or colours are not the labels themselves."""

import numpy as np
from mmengine.registry import TRANSFORMS
from mmseg.datasets.transforms import LoadAnnotations

from backbones.data.files.images import DAMAGED
from backbones.data.files.label_mapping import mapping_of, read_raw, unpacked
from backbones.errors import UnreadableError


@TRANSFORMS.register_module()
class LoadMappedAnnotations(LoadAnnotations):
    """MMSegmentation's LoadAnnotations for label maps with other values or with colours.

    Args:
        values: the value of label 0, 1, ... in the files: numbers, or colours (red, green, blue).
        ignored: values that become 255, "ignore". 255 stays 255 unless it is one of `values`.
        threshold: the least grey value of label 1, if all smaller ones are label 0.
        more: arguments of LoadAnnotations.

    Raises:
        UnreadableError: a file cannot be read, or has another value.
    """

    def __init__(
        self,
        *,
        values: list | tuple = (),
        ignored: list | tuple = (),
        threshold: int | None = None,
        **more: object,
    ) -> None:
        super().__init__(**more)
        self.mapping = mapping_of(dict(values=values, ignored=ignored, threshold=threshold))

    def _load_seg_map(self, results: dict) -> None:
        path = results['seg_map_path']
        try:
            raw = read_raw(path, in_colours=self.mapping.in_colours)
        except DAMAGED as error:
            raise UnreadableError(f'{path} cannot be read: {error}') from error
        if raw.ndim != 2:
            raise UnreadableError(f'{path} has colours, and its classes are grey values: '
                                  'tools/check_data.py lists all such files')  # fmt: skip
        labels, known = self.mapping.apply(raw)
        if not known.all():
            value = int(raw[~known][0])
            shown = unpacked(value) if self.mapping.in_colours else value
            raise UnreadableError(f'{path} has {shown}, which is not a class: '
                                  'tools/check_data.py lists all such values')  # fmt: skip
        results['gt_seg_map'] = np.ascontiguousarray(labels)
        results['seg_fields'].append('gt_seg_map')
