"""Remedies for library errors that do not say what to do."""

import contextlib
from collections.abc import Iterator

from backbones.errors import UserError, first_line

SIZES = (
    '; the images of a batch differ in size: crop or resize them in the pipeline (RandomCrop, and '
    'size in model.data_preprocessor), or set batch_size=1'
)
REMEDIES = {  # by words in the libraries' messages
    'stack expects each tensor to be equal size': SIZES,
    'The image size in a batch should be the same': SIZES,
    'Expected more than 1 value per channel when training': (
        '; BatchNorm needs more than one value per channel: set train_dataloader.batch_size=2 '
        'or more, and train_dataloader.drop_last=True if the last batch of an epoch has one image, '
        "or use a norm_cfg of another type, such as dict(type='GN', num_groups=32)"
    ),
    'segm is not in results': (
        '; test-time augmentation merges boxes only, not masks: remove --tta, or set '
        'test_evaluator.metric=bbox'
    ),
}


def remedy(error: BaseException) -> str:
    """Return a remedy to append to an error's message; '' if none is known."""
    return next((said for words, said in REMEDIES.items() if words in str(error)), '')


@contextlib.contextmanager
def with_remedies() -> Iterator[None]:
    """Turn errors with a known remedy into one line.

    Raises:
        UserError: names the remedy.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if said := remedy(error):
            raise UserError(f'{first_line(error)}{said}') from error
        raise
