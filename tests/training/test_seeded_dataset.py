"""An unreadable file is named, or skipped and recorded if the config says so."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.dataset import BaseDataset
from torch.utils.data import DataLoader

from backbones.errors import UnreadableError
from backbones.training.seeded_dataset import Samples, unreadable_file

BAD = {
    'empty': b'',
    'a web page': b'<html>not found</html>',
    'absent': None,
}


def read(facts: dict) -> int:
    image = cv2.imread(facts['img_path'])
    return int(image[0, 0, 0])  # a TypeError without image, as in pipelines


def images(folder: Path, bad: str | None) -> BaseDataset:
    """Four images, filled with their number; the third may be bad."""
    for i in range(4):
        cv2.imwrite(str(folder / f'{i}.png'), np.full((4, 4, 3), i, np.uint8))
    if bad is not None:
        (folder / '2.png').unlink()
        if BAD[bad] is not None:
            (folder / '2.png').write_bytes(BAD[bad])
    dataset = BaseDataset(lazy_init=True, serialize_data=False, pipeline=[read])
    dataset.data_list = [dict(img_path=str(folder / f'{i}.png')) for i in range(4)]
    dataset._fully_initialized = True
    return dataset


def loaded(dataset: BaseDataset, workers: int, skipped: Path | None = None) -> list[int]:
    dataset.__getitems__ = Samples(dataset, skipped)
    return [x for batch in DataLoader(dataset, 2, num_workers=workers) for x in batch.tolist()]


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize('bad', BAD)
def test_the_error_is_one_line_that_names_the_file(bad: str, workers: int, tmp_path: Path) -> None:
    with pytest.raises(UnreadableError) as error:
        loaded(images(tmp_path, bad), workers)
    message = str(error.value)
    assert message.startswith(f'{tmp_path / "2.png"} ') and '\n' not in message
    assert ('does not exist: put it back' if bad == 'absent' else 'cannot be read') in message
    assert message.endswith(': --cfg-options skip_unreadable=True')


def test_a_disk_that_is_gone_is_not_skipped(tmp_path: Path) -> None:
    dataset = images(tmp_path, None)
    for file in tmp_path.glob('*.png'):
        file.unlink()
    with pytest.raises(UnreadableError, match=r'1\.png is the last of 4 files in a row'):
        Samples(dataset, tmp_path / 'unreadable.txt')([2])


def test_an_image_that_a_metric_needs_cannot_be_skipped(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match=r'cannot be read: replace it$'):
        Samples(images(tmp_path, 'empty'), judges=True)([2])


@pytest.mark.parametrize('workers', [0, 1])
def test_skipped_files_are_replaced_by_the_next_and_noted(workers: int, tmp_path: Path) -> None:
    note = tmp_path / 'unreadable.txt'
    assert loaded(images(tmp_path, 'empty'), workers, note) == [0, 1, 3, 3]
    assert note.read_text().splitlines() == [str(tmp_path / '2.png')]


def test_errors_of_the_pipeline_stay_what_they_are(tmp_path: Path) -> None:
    dataset = images(tmp_path, None)
    dataset.pipeline.transforms.append(lambda x: x / 0)
    assert unreadable_file(dataset, 2) is None
    with pytest.raises(ZeroDivisionError):
        loaded(dataset, 0)


def test_an_error_in_a_pipeline_is_not_blamed_on_an_image_that_opencv_does_not_know(
    tmp_path: Path,
) -> None:
    dataset = images(tmp_path, None)
    for kind, whole in (('whole', True), ('cut', False)):
        path = tmp_path / f'{kind}.npy'
        np.save(path, np.zeros((40, 40, 5), np.uint16))
        path.write_bytes(path.read_bytes()[: None if whole else 500])
        dataset.data_list = [dict(img_path=str(path))]
        assert unreadable_file(dataset, 0) == (None if whole else str(path))
