"""What to do about errors of the libraries that say it in their own terms."""

import contextlib
from collections.abc import Iterator

from backbones.errors import UserError, first_line

SIZES = (
    '; the images of a batch differ in size: let the pipeline crop or resize them (RandomCrop, and '
    'size in model.data_preprocessor), or set batch_size=1'
)
REMEDIES = {  # for what the libraries say
    'stack expects each tensor to be equal size': SIZES,
    'The image size in a batch should be the same': SIZES,
    'Expected more than 1 value per channel when training': (
        '; BatchNorm needs more than one value of each channel: set train_dataloader.batch_size=2 '
        'or more, and train_dataloader.drop_last=True if the last batch of an epoch has one image, '
        "or take a norm_cfg of another type, such as dict(type='GN', num_groups=32)"
    ),
    'segm is not in results': (
        '; test-time augmentation merges boxes only, no masks: leave --tta out, or set '
        'test_evaluator.metric=bbox'
    ),
}


def remedy(error: BaseException) -> str:
    """What to do about an error, to be put behind it; '' if nothing is known."""
    return next((said for words, said in REMEDIES.items() if words in str(error)), '')


@contextlib.contextmanager
def with_remedies() -> Iterator[None]:
    """Turn errors about which something can be done into one line.

    Raises:
        UserError: says what.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if said := remedy(error):
            raise UserError(f'{first_line(error)}{said}') from error
        raise
