"""COCO dataset and metrics whose labels follow the config's class names.

MMDetection numbers labels by the order of the categories in each annotation file, whatever the
order of `metainfo.classes`. If a file's order differs from the config's, labels get wrong names; if
two files differ, a metric compares the wrong classes. Here, label i is the i-th name
of the config in every file.
"""

from collections.abc import Sequence

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.evaluation.metrics.faster_coco_metric import FasterCocoMetric
from mmengine.registry import DATASETS, METRICS

from backbones.errors import UserError, did_you_mean, listed


def ids_by_name(categories: Sequence[dict], names: Sequence[str]) -> list[int]:
    """Return the category id of each name.

    Raises:
        UserError: a name has no category, or several.
    """
    ids: dict[str, list[int]] = {}
    for category in categories:
        ids.setdefault(category['name'], []).append(category['id'])
    for name in names:
        if name not in ids:
            raise UserError(
                f'there is no category {name!r} among {listed(map(repr, ids))}'
                f'{did_you_mean(name, ids)}: metainfo.classes needs the names of the annotation '
                'file, in any order'
            )
        if len(ids[name]) > 1:
            raise UserError(
                f'{len(ids[name])} categories are called {name!r}: give each its own name'
            )
    return [ids[name][0] for name in names]


def fill_nulls(annotations: Sequence[dict]) -> None:
    """Fill what is null or missing in fields that MMDetection and pycocotools compare."""
    for annotation in annotations:
        if annotation.get('iscrowd') is None:
            annotation['iscrowd'] = 0
        if annotation.get('area') is None:
            _, _, width, height = annotation['bbox']
            annotation['area'] = width * height


class CocoApi(COCO):
    """MMDetection's COCO reader, with category ids in the order of the requested names."""

    def __init__(self, annotation_file: str | None = None) -> None:
        super().__init__(annotation_file)
        fill_nulls(self.dataset.get('annotations', ()))

    def get_cat_ids(
        self, cat_names: Sequence[str] = (), sup_names: Sequence = (), cat_ids: Sequence = ()
    ) -> list[int]:
        if not cat_names or sup_names or cat_ids:
            return super().get_cat_ids(cat_names, sup_names, cat_ids)
        return ids_by_name(self.dataset['categories'], cat_names)


@DATASETS.register_module()
class CocoByNameDataset(CocoDataset):
    """MMDetection's CocoDataset, with label i for `metainfo.classes[i]` in every file.

    Raises:
        UserError: a class has no category in the file, or several.
    """

    COCOAPI = CocoApi


OVERALL = ('mAP', 'mAP_50', 'mAP_75')  # items that are 0 without predictions


class _ByName(CocoMetric):
    """A COCO metric that maps labels to categories by name."""

    cat_ids: list[int] | None

    def compute_metrics(self, results: list) -> dict[str, float]:
        if self._coco_api is not None and self.cat_ids is None:
            fill_nulls(self._coco_api.dataset['annotations'])
            categories = self._coco_api.dataset['categories']
            self.ids_of_labels = ids_by_name(categories, self.dataset_meta['classes'])
            # the evaluation sorts them, and its table of classes assumes that order
            self.cat_ids = sorted(self.ids_of_labels)
        found = super().compute_metrics(results)
        return found if self.format_only else self._none_found() | found

    def _none_found(self) -> dict[str, float]:
        """Return the metrics of a model that finds nothing, which the libraries leave out.

        Without them, a run whose validations find nothing would write no best.pth.
        """
        kinds = [kind for kind in self.metrics if kind in ('bbox', 'segm')]
        items = [item for item in OVERALL if item in (self.metric_items or OVERALL)]
        return {f'{kind}_{item}': 0.0 for kind in kinds for item in items}

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        if self._coco_api is None or not hasattr(self, 'ids_of_labels'):
            return super().results2json(results, outfile_prefix)
        evaluated, self.cat_ids = self.cat_ids, self.ids_of_labels
        try:
            return super().results2json(results, outfile_prefix)
        finally:
            self.cat_ids = evaluated


@METRICS.register_module()
class CocoByNameMetric(_ByName, CocoMetric):
    """MMDetection's CocoMetric, for `CocoByNameDataset`."""


@METRICS.register_module()
class FasterCocoByNameMetric(_ByName, FasterCocoMetric):
    """MMDetection's FasterCocoMetric, for `CocoByNameDataset`."""
