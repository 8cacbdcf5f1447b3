"""A training run is continued only on the images that it was trained on."""

from pathlib import Path

import pytest
import runners
from runners import Numbers, small_runner

from backbones.errors import UserError
from backbones.training.data_record import DataRecord, described


class Images(Numbers):
    """Numbers with the names of images."""

    names = tuple(f'{i}.png' for i in range(runners.SAMPLES))

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=f'/some/folder/{self.names[index]}')


class Wrapper:
    def __init__(self, *datasets: Numbers) -> None:
        self.datasets = datasets


@pytest.fixture(autouse=True)
def of_images(monkeypatch) -> None:
    monkeypatch.setattr(runners, 'Numbers', Images)


@pytest.mark.parametrize(
    ('names', 'goes_on'),
    [
        (Images.names, True),
        (('other.png', *Images.names[1:]), False),  # as after another division
    ],
)
def test_other_images_are_refused_when_a_run_is_resumed(
    names: tuple[str, ...], goes_on: bool, tmp_path: Path, monkeypatch
) -> None:
    small_runner(tmp_path, iterations=4, custom_hooks=[DataRecord()]).train()
    monkeypatch.setattr(Images, 'names', names)
    runner = small_runner(tmp_path, custom_hooks=[DataRecord()], resume=True)
    if goes_on:
        runner.train()
        assert runner.iter == 6
        return
    with pytest.raises(UserError, match=r'8, with names of digest \w+\) are not those of the che'):
        runner.train()


def test_a_checkpoint_without_the_record_is_continued(tmp_path: Path) -> None:
    small_runner(tmp_path, iterations=4).train()
    runner = small_runner(tmp_path, custom_hooks=[DataRecord()], resume=True)
    runner.train()
    assert runner.iter == 6


def test_joined_datasets_and_those_without_images_are_described() -> None:
    one, two = described(Images()), described(Wrapper(Images(), Images()))
    assert one.startswith('8, ') and two.startswith('16, ') and one[3:] != two[4:]
    assert described(Numbers()).startswith('0, ')
