"""Recording the images of a training run, so that it does not continue on others."""

import hashlib
import os
from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from backbones.errors import UserError
from backbones.openmmlab.compat import is_resuming

KEY = 'training_images'  # in the message hub, which checkpoints hold
LOOKED_AT = 1000  # number of evenly spread images of a dataset whose names are compared


class DataRecord(Hook):
    """Record the training images in checkpoints, and refuse to continue on others.

    The annotation file that a config names may have changed since, for example by a new division
    into training and validation. The location of the images does not matter.

    Raises:
        UserError: their number, or one of the compared names, differs.
    """

    def before_train(self, runner: Runner) -> None:
        hub, own = runner.message_hub, described(runner.train_dataloader.dataset)
        before = hub.get_info(KEY, own) if is_resuming(runner) else own
        if before != own:
            raise UserError(
                f'the training images ({own}) are not those of the checkpoint ({before}): continue '
                'with those, or start a new run: --work-dir DIR and --cfg-options load_from=FILE'
            )
        hub.update_info(KEY, own)


def described(dataset: Any) -> str:
    """Return the number of a dataset's images and a digest of some of their names."""
    total, names = 0, hashlib.sha256()
    for part in _parts(dataset):
        total += len(part)
        for index in range(0, len(part), -(-len(part) // LOOKED_AT) or 1):
            name = os.path.basename(str(part.get_data_info(index).get('img_path')))
            names.update(name.encode(errors='surrogateescape') + b'/')
    return f'{total}, with names of digest {names.hexdigest()[:8]}'


def _parts(dataset: Any) -> Iterator[Any]:
    """Yield the datasets inside wrappers, if they list their images."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    if any(part is not None for part in inner):
        for part in inner:
            yield from _parts(part)
    elif hasattr(dataset, 'get_data_info') and hasattr(dataset, '__len__'):
        yield dataset
