"""Tiles of label maps give MMSegmentation's labels, without the scores of all pixels at once."""

import tracemalloc

import numpy as np
import pytest
import torch
from conftest import as_a_process
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.models import EncoderDecoder
from torch import Tensor, nn

from backbones.drawing.paint import pixels_of
from backbones.inference import Predictor, memory
from backbones.inference.tiles import label_map, shared_rows, starts
from backbones.openmmlab.registries import import_scope
from backbones.package_files import config_file

CLASSES, CONFIG = 5, 'upernet_cloformer_nano_digits'


class Scores(EncoderDecoder):
    """A segmentor whose scores depend on the place in the tile, so that neighbours disagree."""

    def __init__(self, classes: int, tile: int, stride: int) -> None:
        nn.Module.__init__(self)
        self.out_channels, self.align_corners = classes, False
        self.test_cfg = Config(dict(mode='slide', crop_size=(tile, tile), stride=(stride, stride)))

    def encode_decode(self, inputs: Tensor, batch_img_metas: list) -> Tensor:
        height, width = inputs.shape[-2:]
        place = torch.arange(height)[:, None] * 7 + torch.arange(width) * 3
        shift = torch.arange(self.out_channels)[:, None, None]
        return torch.sin(place + shift) + inputs[:, :1] * torch.cos(place * shift + 0.5)


def decide(scores: Tensor) -> Tensor:
    return scores.argmax(0)


SIDE = st.integers(1, 90)


@settings(max_examples=40, deadline=None)
@given(size=st.tuples(SIDE, SIDE), tile=st.integers(3, 40), data=st.data())
@example(size=(41, 41), tile=40, data=None)  # the last tile covers almost all of the one before
@example(size=(90, 3), tile=40, data=None)
def test_labels_are_those_of_mmsegmentation(size: tuple[int, int], tile: int, data) -> None:
    stride = data.draw(st.integers(-(-tile // 3), tile)) if data else tile - tile // 3
    model = Scores(CLASSES, tile, stride)
    image = np.random.default_rng(0).random((*size, 3), np.float32)
    whole = torch.from_numpy(image).permute(2, 0, 1)[None]
    expected = model.slide_inference(whole, [{}])[0].argmax(0)

    def scores(tiles) -> Tensor:
        for part in tiles:
            yield model.encode_decode(torch.from_numpy(part).permute(2, 0, 1)[None], [{}])[0]

    found = label_map(image, tile, stride, scores=scores, decide=decide)
    assert found.dtype == np.uint8 and np.array_equal(found, expected)
    assert starts(size[0], tile, stride)[-1] == max(size[0] - tile, 0)


@pytest.mark.parametrize('classes, kind', [(256, np.uint8), (257, np.uint16)])
def test_many_classes_have_labels_of_16_bits(classes: int, kind: type) -> None:
    def scores(tiles) -> Tensor:
        for _ in tiles:
            yield torch.eye(classes)[:, :9, None].expand(-1, -1, 9).flip(0)

    found = label_map(np.zeros((9, 9, 3)), 32, 22, scores=scores, decide=decide)
    assert found.dtype == kind and found[0, 0] == classes - 1


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp('weights') / 'upernet.pth'
    cfg = Config.fromfile(config_file(CONFIG))
    with as_a_process():
        import_scope(cfg.default_scope)
        init_default_scope(cfg.default_scope)
        torch.save(MODELS.build(cfg.model).state_dict(), path)
    return str(path)


@pytest.mark.parametrize(
    'size, batch',
    [
        ((150, 210), 3),
        ((20, 50), 1),
        *(
            pytest.param(size, batch, marks=pytest.mark.slow)
            for size, batch in [((150, 210), 1), ((64, 64), 1), ((40, 300), 1), ((40, 300), 3)]
        ),
    ],
)
def test_a_segmentor_finds_what_it_finds_by_sliding(checkpoint, size: tuple, batch: int) -> None:
    config = Config.fromfile(config_file(CONFIG))
    tiled = Predictor(config, checkpoint, tile=64, device='cpu', batch=batch)
    config.model.test_cfg = dict(mode='slide', crop_size=(64, 64), stride=(43, 43))
    config.test_dataloader.dataset.pipeline = [
        step for step in config.test_dataloader.dataset.pipeline if step.type != 'Resize'
    ]
    sliding = Predictor(config, checkpoint, device='cpu')
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found, expected = tiled.find(image), sliding.find(image)
    assert found.shape == size and np.mean(found != expected) < 1e-3, 'near-ties at most'
    assert len(np.unique(found)) > 1


def test_the_scores_of_a_row_of_overlaps_are_kept(checkpoint: str, monkeypatch) -> None:
    """MMSegmentation keeps two maps of all scores: 2 x 11 x 4 x 2,000,000 bytes here."""
    predictor = Predictor(CONFIG, checkpoint, tile=128, device='cpu')
    image = np.zeros((2000, 1000, 3), np.uint8)
    assert shared_rows(2000, 128, 86) == 1806 + 128 - 1872 == 62
    monkeypatch.setattr(memory, 'available', lambda: 62 * 1000 * 11 * 4 - 1)
    with pytest.raises(memory.TooLargeError, match='make the image or tiles smaller'):
        predictor.find(image)


def test_pixels_are_counted_in_parts() -> None:
    labels = np.random.default_rng(0).integers(0, 200, (4000, 3000), np.uint8)
    expected = np.bincount(labels.ravel()).tolist()
    tracemalloc.start()
    assert pixels_of(labels) == expected
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * labels.size, 'numpy takes 8 bytes a pixel'
    assert pixels_of(np.zeros((1, 1), np.int64)) == [1]
