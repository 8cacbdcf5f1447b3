"""Published label maps whose class names are in no file: CamVid, Cityscapes, ADE20K."""

from collections.abc import Callable
from pathlib import Path

from backbones.data.dataset import Split
from backbones.data.layouts.label_names import LabelNames

CAMVID = ('Sky', 'Building', 'Pole', 'Road', 'Pavement', 'Tree', 'SignSymbol', 'Fence', 'Car',
          'Pedestrian', 'Bicyclist')  # fmt: skip
# ids of the 19 classes to learn, among the 34 of labelIds and -1
CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
CITYSCAPES_VOID = tuple(i for i in range(35) if i not in CITYSCAPES)


def recognise(root: Path, splits: list[Split]) -> tuple[LabelNames, tuple[int, ...]] | None:
    """Return the names of a published dataset, and the values that its authors ignore.

    None if the folder has no published names.
    """
    looks: tuple[Callable, ...] = (_camvid, _cityscapes, _ade20k)
    return next(filter(None, (look(root, splits) for look in looks)), None)


def _camvid(root: Path, splits: list[Split]) -> tuple[LabelNames, tuple[int, ...]] | None:
    """Recognise CamVid by the folders of SegNet's tutorial, with 11 classes."""
    if not (root / 'train').is_dir() or not (root / 'trainannot').is_dir():
        return None
    return LabelNames(root, CAMVID, tuple(range(11))), (11,)


def _cityscapes(root: Path, splits: list[Split]) -> tuple[LabelNames, tuple[int, ...]] | None:
    """Recognise Cityscapes by the names of its label maps."""
    labels = [label.stem for split in splits for _, label in split.pairs[:1]]
    kinds = ('TrainIds', 'Ids')
    kind = next((k for k in kinds if any(n.endswith(f'label{k}') for n in labels)), '')
    if not kind:
        return None
    from mmseg.datasets import CityscapesDataset

    names = tuple(CityscapesDataset.METAINFO['classes'])
    if kind == 'Ids':
        return LabelNames(root, names, CITYSCAPES), CITYSCAPES_VOID
    return LabelNames(root, names), ()


def _ade20k(root: Path, splits: list[Split]) -> tuple[LabelNames, tuple[int, ...]] | None:
    """Recognise ADE20K's challenge of 2016: 150 classes, and 0 for everything else."""
    if not (root / 'objectInfo150.txt').is_file() and root.name != 'ADEChallengeData2016':
        return None
    from mmseg.datasets import ADE20KDataset

    names = tuple(name.strip() for name in ADE20KDataset.METAINFO['classes'])
    return LabelNames(root, names, tuple(range(1, 151))), (0,)
