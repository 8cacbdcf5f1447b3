"""Predictions: what is read, what is found, what is written, and what is refused."""

import json
import os
import re
import signal
import tracemalloc
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import supervision as sv
import torch
from conftest import as_a_process, load_tool, tool
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from backbones import config_file
from backbones.errors import ArgumentError, MissingFileError, UserError
from backbones.inference import Predictor, UnreadableError, memory, read_image
from backbones.inference import predictor as predictor_module
from backbones.inference.image_files import find_images
from backbones.inference.model_in_pytorch import bytes_per_pixel

DETECTION = 'mask_rcnn_dilateformer_nano_digits'
SEGMENTATION = 'upernet_dilateformer_nano_digits'
SOME = 0.095  # random weights give no higher score to any of eleven classes
RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (60, 80, 3), np.uint8)


@pytest.fixture(scope='module')
def weights(tmp_path_factory) -> dict[str, str]:
    """A checkpoint with random weights for each task."""
    folder, made = tmp_path_factory.mktemp('weights'), {}
    with as_a_process():
        for name in (DETECTION, SEGMENTATION):
            cfg = Config.fromfile(config_file(name))
            init_default_scope(cfg.default_scope)
            torch.manual_seed(0)
            model = MODELS.build(cfg.model)
            meta = dict(dataset_meta=dict(classes=cfg.metainfo.classes))
            made[name] = str(folder / f'{name}.pth')
            torch.save(dict(state_dict=model.state_dict(), meta=meta), made[name])
    return made


@pytest.fixture(scope='module')
def predictor(weights: dict[str, str]) -> Predictor:
    with as_a_process():
        return Predictor(DETECTION, weights[DETECTION], score=SOME)


def save(path: Path, mode: str = 'RGB', **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(COLOURS).convert(mode).save(path, **options)
    return path


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Typical images, a damaged one, and a text file."""
    root = tmp_path / 'mein Ordner'
    save(root / 'a/1.png')
    save(root / 'Bäume/1.png', 'L')
    save(root / 'a/turned.jpg', exif=turned())
    save(root / 'a/print.jpg', 'CMYK')
    save(root / 'a/clear.png', 'RGBA')
    save(root / 'a/tiny.png')
    Image.fromarray(COLOURS[:3, :70]).save(root / 'a/tiny.png')
    cv2.imwrite(str(root / 'a/deep.png'), COLOURS.astype(np.uint16) * 256)
    (root / 'a/cut.png').write_bytes((root / 'a/1.png').read_bytes()[:3000])
    (root / 'notes.txt').write_text('not an image')
    return root


def test_instances_are_written_as_coco_reads_them(
    weights: dict[str, str], album: Path, tmp_path: Path
) -> None:
    out = tmp_path / 'out'
    said = tool('predict', DETECTION, weights[DETECTION], album, '--out', out, '--score', SOME,
                fails=True)  # fmt: skip
    assert '1 without a prediction:' in said and 'a/cut.png: damaged image' in said
    assert 'images: 7 of 8' in said and 'by suffix: 1 .txt' in said
    assert '1: the upper 8 of 16 bits per channel are used' in said
    assert '1: transparency is ignored' in said

    coco = COCO(out / 'images.json')
    sizes = {image['file_name']: (image['width'], image['height']) for image in coco.imgs.values()}
    assert sizes == {
        'a/1.png': (80, 60), 'Bäume/1.png': (80, 60), 'a/turned.jpg': (60, 80),
        'a/print.jpg': (80, 60), 'a/clear.png': (80, 60), 'a/deep.png': (80, 60),
        'a/tiny.png': (70, 3),
    }  # fmt: skip
    found = coco.loadRes(str(out / 'results.json')).anns.values()
    assert found and f'| {len(found):>5} |' in said
    for one in found:
        image = coco.imgs[one['image_id']]
        x, y, width, height = one['bbox']
        assert 0 <= x < x + width <= image['width'] + 0.01
        assert 0 <= y < y + height <= image['height'] + 0.01
        assert one['score'] >= SOME and one['category_id'] in coco.cats
        assert coco_mask.decode(one['segmentation']).shape == (image['height'], image['width'])
    pictures = {p.relative_to(out / 'pictures').as_posix() for p in out.rglob('*.jpg')}
    assert pictures == {str(Path(name).with_suffix('.jpg')) for name in sizes}

    none = tool(
        'predict', DETECTION, weights[DETECTION], album / 'a/1.png', '--out', tmp_path / 'no'
    )
    assert re.search(r'nothing reached the score 0\.5; the highest score is 0\.[1-4]\d', none)
    again = tool('predict', DETECTION, weights[DETECTION], album, '--out', out, fails=True)
    assert (
        'out is not empty (4 entries)' in again
        and 'add --resume' in again
        and 'Traceback' not in again
    )


def test_label_maps_are_as_large_as_their_images(
    weights: dict[str, str], album: Path, tmp_path: Path
) -> None:
    (album / 'a/cut.png').unlink()
    out = tmp_path / 'out'
    images = (album / 'a', album / 'Bäume/*.png')
    said = tool('predict', SEGMENTATION, weights[SEGMENTATION], *images, '--out', out, '--tile', 64)
    assert 'images: 7 of 7' in said and 'share of pixels' in said
    names = (out / 'classes.txt').read_text().split()
    assert names == ['background', *'0123456789']
    # two images are called 1.png, so the folders of both are kept
    sizes = {
        p.relative_to(out / 'labels').as_posix(): Image.open(p).size for p in out.rglob('*.png')
    }
    assert sizes == {
        'a/1.png': (80, 60), 'Bäume/1.png': (80, 60), 'a/turned.png': (60, 80),
        'a/print.png': (80, 60), 'a/clear.png': (80, 60), 'a/deep.png': (80, 60),
        'a/tiny.png': (70, 3),
    }  # fmt: skip
    assert all(np.asarray(Image.open(path)).max() < 11 for path in out.rglob('*.png'))


def test_predictions_are_those_of_the_libraries(weights: dict[str, str], tmp_path: Path) -> None:
    from mmdet.apis import inference_detector, init_detector
    from mmseg.apis import inference_model, init_model

    path = save(tmp_path / '1.jpg')
    with as_a_process():
        detector = init_detector(config_file(DETECTION), weights[DETECTION], device='cpu')
        expected = inference_detector(detector, str(path)).pred_instances
        [result] = Predictor(DETECTION, weights[DETECTION], score=0, device='cpu')([path])
        boxes = expected.bboxes
        expected = expected[(boxes[:, 2:] > boxes[:, :2]).all(1)]  # without empty boxes
        assert np.allclose(result.found.xyxy, expected.bboxes, atol=1e-3)  # BatchNorm is folded
        assert np.allclose(result.found.confidence, expected.scores, atol=1e-5)
        assert np.mean(result.found.mask != np.asarray(expected.masks)) < 1e-4
        assert result.picture().ndim == 3
        model = init_model(config_file(SEGMENTATION), weights[SEGMENTATION], device='cpu')
        expected = inference_model(model, str(path)).pred_sem_seg.data[0]
        [result] = Predictor(SEGMENTATION, weights[SEGMENTATION], device='cpu')([path])
        assert np.mean(result.found != np.asarray(expected)) < 1e-3


@pytest.mark.parametrize('batch', [1, 4])
def test_what_lies_in_two_tiles_is_found_once(
    batch: int, predictor: Predictor, monkeypatch
) -> None:
    """Bright rectangles, which a stand-in for the model finds in every tile."""
    boxes = [(10, 10, 40, 30), (98, 70, 126, 102), (200, 20, 230, 50), (56, 150, 66, 160)]
    image = np.zeros((200, 300, 3), np.uint8)
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 255

    def find(tiles: list[np.ndarray]) -> list[sv.Detections]:
        return [*map(find_in, tiles)]

    def find_in(tile: np.ndarray) -> sv.Detections:
        assert max(tile.shape) <= 128
        number, _, spots, _ = cv2.connectedComponentsWithStats(tile[..., 0])
        xyxy = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in spots[1:]], float).reshape(-1, 4)
        size = np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1)
        masks = [(tile[..., 0] > 0) & _inside(tile, box) for box in xyxy]
        return sv.Detections(
            xyxy=xyxy,
            class_id=np.zeros(number - 1, int),
            confidence=size / 1e4,
            mask=np.array(masks, bool).reshape(-1, *tile.shape[:2]),
        )

    monkeypatch.setattr(predictor, 'tile', 128)
    monkeypatch.setattr(predictor, 'batch', batch)
    monkeypatch.setattr(predictor, '_run', find)
    found = predictor.find(image)
    assert sorted(map(tuple, found.xyxy.astype(int).tolist())) == sorted(boxes)
    assert sum(mask.sum() for mask in found.mask) == image[..., 0].astype(bool).sum()


def _inside(tile: np.ndarray, box: np.ndarray) -> np.ndarray:
    inside = np.zeros(tile.shape[:2], bool)
    x1, y1, x2, y2 = box.astype(int)
    inside[y1:y2, x1:x2] = True
    return inside


@pytest.mark.parametrize('size', [(1, 1), (5, 400)])
def test_images_of_any_size_are_taken(size: tuple[int, int], predictor: Predictor) -> None:
    found = predictor.find(np.zeros((*size, 3), np.uint8))
    assert found.mask.shape[1:] == size
    assert np.all(found.xyxy >= 0) and np.all(found.xyxy <= [*size[::-1], *size[::-1]])


@pytest.mark.parametrize(
    'image, given',
    [
        (np.zeros((3, 40, 50), np.uint8), r'uint8 of shape \(3, 40, 50\)'),
        (np.zeros((40, 50), np.uint8), r'uint8 of shape \(40, 50\)'),
        (np.zeros((40, 50, 4), np.uint8), r'uint8 of shape \(40, 50, 4\)'),
        (np.zeros((40, 50, 3), np.float32), r'float32 of shape \(40, 50, 3\)'),
        (np.zeros((0, 50, 3), np.uint8), r'uint8 of shape \(0, 50, 3\)'),
        (torch.zeros(3, 40, 50), 'a Tensor'),
        ('image.png', 'a str'),
    ],
)
def test_pixels_in_another_form_are_refused(image, given: str, predictor: Predictor) -> None:
    said = rf'the image is {given}; allowed: a numpy array \(height, width, 3\), uint8, RGB'
    with pytest.raises(ArgumentError, match=said):
        predictor.find(image)


def test_one_path_is_enough_and_pixels_are_no_path(predictor: Predictor, tmp_path: Path) -> None:
    pixels = np.zeros((40, 50, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    for path in (tmp_path / 'a.png', str(tmp_path / 'a.png')):
        assert [found.path for found in predictor(path)] == [tmp_path / 'a.png']
    with pytest.raises(
        ArgumentError,
        match=r'a ndarray is not the path of an image; pass its pixels to find\(image\)',
    ):
        list(predictor([pixels]))


def test_arguments_of_the_wrong_type_are_named_together() -> None:
    said = (
        "score is '0.5'; .*tile is '640'; .*batch is 1.5; .*checkpoint is a dict; allowed: a path"
    )
    with pytest.raises(UserError, match=said):
        Predictor('a.py', dict(state_dict={}), score='0.5', tile='640', batch=1.5)


def test_an_image_whose_masks_do_not_fit_into_memory_is_refused(
    predictor: Predictor, monkeypatch
) -> None:
    monkeypatch.setattr(memory, 'available', lambda: 10**6)
    said = r'1 megapixels need 0\.02 GiB .* 0\.00 GiB are free; cut it with --tile N'
    with pytest.raises(memory.TooLargeError, match=said):
        predictor.find(np.zeros((1000, 1000, 3), np.uint8))
    monkeypatch.undo()
    monkeypatch.setattr(memory, 'INFO', Path('/not/there'))  # on another system
    assert memory.available() > 2**40
    cfg = Config.fromfile(config_file(SEGMENTATION))
    assert predictor.model.bytes_per_pixel == 20 and bytes_per_pixel(cfg, 11) == 44


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(score=1.5, tile=10), r'score is 1.5; allowed: 0 to 1; tile is 10; allowed: at least'),
        (dict(device='gpu'), r"device 'gpu'.*allowed: auto, cpu, cuda"),
        (dict(checkpoint='gone.pth'), 'gone.pth does not exist'),
        (dict(config='mask_rcnn_dilateformer_nano_digit'), 'does not exist'),
        (dict(config=SEGMENTATION), "does not fit this config's EncoderDecoder"),
        (dict(config='mask_rcnn_cswin_nano_digits'), 'does not fit this config'),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict, message: str, weights: dict[str, str]) -> None:
    arguments = dict(config=DETECTION, checkpoint=weights[DETECTION])
    with as_a_process(), pytest.raises(UserError, match=message):
        Predictor(**{**arguments, **changes})


def test_classes_in_another_order_are_refused(weights: dict[str, str], tmp_path: Path) -> None:
    file = torch.load(weights[DETECTION])
    file['meta']['dataset_meta']['classes'] = [*'0123456798']
    torch.save(file, tmp_path / 'other.pth')
    with as_a_process(), pytest.raises(UserError, match="class 8 is '9' there, but '8' here"):
        Predictor(DETECTION, str(tmp_path / 'other.pth'))


def test_classes_without_names_in_the_config_are_the_checkpoints(
    weights: dict[str, str], tmp_path: Path
) -> None:
    cfg = Config.fromfile(config_file(SEGMENTATION))
    for key in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
        cfg[key].dataset.pop('metainfo')
    with as_a_process():
        assert Predictor(cfg, weights[SEGMENTATION]).meta['classes'][1] == '0'
        nameless = tmp_path / 'nameless.pth'
        torch.save(dict(state_dict=torch.load(weights[SEGMENTATION])['state_dict']), nameless)
        with pytest.raises(UserError, match=r'neither the config nor .*nameless\.pth names the'):
            Predictor(cfg, str(nameless))


def test_images_are_found_by_file_folder_and_pattern(album: Path, monkeypatch) -> None:
    monkeypatch.chdir(album)
    (album / 'a/._1.png').write_bytes(b'of macOS')
    inside = find_images(['a']).inside.values()
    assert {'1.png', 'turned.jpg'} < {path.name for path in inside} == set(map(str, inside))
    assert find_images(['.']).others == {'.txt': 1}
    assert [*map(str, find_images(['notes.txt']).inside.values())] == ['notes.txt'], 'named'
    both = find_images(['a/1.png', 'Bäume', '**/1.png']).inside
    assert sorted(map(str, both.values())) == ['Bäume/1.png', 'a/1.png']
    save(album / 'a/1.jpg')
    names = find_images(['a/1.*']).names()
    assert sorted(names.values()) == ['1.jpg', '1.png'], 'neither takes the place of the other'
    save(album / 'x[1].png')
    assert [p.name for p in find_images(['x[1].png']).inside] == ['x[1].png']


def test_what_leads_nowhere_is_named(album: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(album)
    with pytest.raises(MissingFileError, match=r'Baume, b/\*\.jpg not found'):
        find_images(['Baume', 'a', 'b/*.jpg'])
    with pytest.raises(UserError, match=r'no image in \*\.txt among 1 files \(1 \.txt\); looked'):
        find_images(['*.txt'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(UserError, match=r'no image in .*empty; looked for \.bmp'):
        find_images([str(tmp_path / 'empty')])


def test_results_do_not_lie_among_the_images(album: Path, weights: dict[str, str]) -> None:
    said = tool('predict', DETECTION, weights[DETECTION], album, '--out', album / 'out', fails=True)
    assert 'so the next call would read' in said and 'choose a folder outside' in said
    (album.parent / 'link').symlink_to(album)
    command = ('predict', DETECTION, weights[DETECTION], album.parent / 'link', '--out')
    assert 'so the next call would read' in tool(*command, album / 'out', fails=True)
    assert not (album / 'out').exists()


def test_reading_says_what_cannot_be_read(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / 'float.tif'), COLOURS[..., 0].astype(np.float32))
    Image.new('I', (5, 5)).save(tmp_path / 'long.tif')
    (tmp_path / 'page.jpg').write_text('<!doctype html>')
    (tmp_path / 'empty.png').touch()
    save(tmp_path / 'cut.tif')
    (tmp_path / 'cut.tif').write_bytes((tmp_path / 'cut.tif').read_bytes()[:-200])
    for name, message in {
        'float.tif': '32 bits per channel have no known range',
        'long.tif': '32 bits per channel have no known range',
        'page.jpg': r'not an image \(a web page, perhaps a failed download\)',
        'empty.png': 'empty file',
        'cut.tif': 'damaged image',
        'gone.png': 'missing image',
    }.items():
        with pytest.raises(UnreadableError, match=f'{name}: {message}'):
            read_image(tmp_path / name)


def test_sixteen_bits_are_read_as_in_a_training(tmp_path: Path) -> None:
    for used, name in ((10, 'a.png'), (12, 'b.tif'), (16, 'c.png')):
        deep = COLOURS.astype(np.uint16) << (used - 8)
        deep[0, 0] = 2**used - 1
        cv2.imwrite(str(tmp_path / name), deep)
        pixels, (note,) = read_image(tmp_path / name)
        assert np.array_equal(pixels[..., ::-1], mmcv.imread(tmp_path / name))
        assert note.startswith('the upper 8 of 16 bits')
        assert (f'{used} are in use: scale' in note) == (used < 14)


def test_tiles_need_no_memory_beyond_the_image(predictor: Predictor, monkeypatch) -> None:
    """Tiles are views; numbering the pixels took 8 bytes per pixel."""
    found = sv.Detections(np.array([[200.0, 200, 210, 210]]), class_id=np.zeros(1, int),
                          confidence=np.ones(1))  # fmt: skip
    monkeypatch.setattr(predictor, 'tile', 512)
    tiles = []
    monkeypatch.setattr(
        predictor, '_run', lambda some: tiles.extend(some) or [found.select([0]) for _ in some]
    )
    image = np.zeros((2000, 3000, 3), np.uint8)
    tracemalloc.start()
    count = len(predictor.find(image))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == len(tiles) > 40
    assert peak < 1 << 20 < image.nbytes


@pytest.mark.parametrize('name', [DETECTION, SEGMENTATION])
def test_several_images_at_once_are_predicted_as_one_by_one(
    name: str, weights: dict[str, str], album: Path
) -> None:
    (album / 'a/cut.png').unlink()
    paths = sorted(album.rglob('*.png')) + sorted(album.rglob('*.jpg'))  # of several sizes
    with as_a_process():
        one, many = (Predictor(name, weights[name], score=SOME, batch=n) for n in (1, 4))
        steps = []
        step = many._step
        many._step = lambda prepared: steps.append(len(prepared)) or step(prepared)
        for a, b in zip(one(paths), many(paths), strict=True):
            if name == SEGMENTATION:
                assert np.array_equal(a.found, b.found)
                continue
            assert len(a.found) == len(b.found) > 0
            assert np.allclose(a.found.xyxy, b.found.xyxy, atol=1e-3)
            assert np.allclose(a.found.confidence, b.found.confidence, atol=1e-5)
            assert np.array_equal(a.found.class_id, b.found.class_id)
            assert np.array_equal(a.found.mask, b.found.mask)
    assert sum(steps) == len(paths) and max(steps) > 1


@pytest.mark.skipif(not memory.INFO.is_file(), reason='only Linux says how much is free')
def test_a_program_gets_an_error_instead_of_memory_that_is_not_there() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA)
    with memory.only_free_memory(on_cpu=True):
        np.empty(2**26, np.uint8)
        with pytest.raises(MemoryError):
            np.empty(memory.available() + 2**29, np.uint8)
    with memory.only_free_memory(on_cpu=False):
        assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def test_memory_that_one_image_lacks_does_not_end_the_others(
    weights: dict[str, str], album: Path, tmp_path: Path, monkeypatch
) -> None:
    run = Predictor._run

    def fail(self: Predictor, images: list) -> list:
        if any(image.shape[0] == 3 for image in images):
            raise MemoryError
        return run(self, images)

    monkeypatch.setattr(Predictor, '_run', fail)
    for batch in (1, 4):
        out = tmp_path / f'out{batch}'
        said = tool('predict', DETECTION, weights[DETECTION], album, '--out', out, '--batch', batch,
                    fails=True)  # fmt: skip
        assert 'images: 6 of 8' in said and '2 without a prediction' in said
        assert 'tiny.png: there is too little memory for it; shrink it, or try --tile' in said


@pytest.mark.parametrize(
    'name, number',
    [
        (DETECTION, signal.SIGTERM),
        (SEGMENTATION, signal.SIGINT),
        pytest.param(DETECTION, signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(SEGMENTATION, signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_signal_keeps_what_is_done_and_resume_does_the_rest(
    name: str, number: int, weights: dict[str, str], tmp_path: Path, monkeypatch
) -> None:
    images = tmp_path / 'images'
    for i in range(5):
        save(images / f'{i}.png')
    command = ('predict', name, weights[name], images, '--score', SOME, '--out')
    tool(*command, tmp_path / 'whole')
    read, out = predictor_module.read_image, tmp_path / 'out'

    def kill(path: Path) -> tuple:
        if path.name == '3.png':
            os.kill(os.getpid(), number)
        return read(path)

    monkeypatch.setattr(predictor_module, 'read_image', kill)
    said = tool(*command, out, fails=True)
    assert 'images: 3 of 5' in said and f'{signal.Signals(number).name}: add --resume' in said
    assert 'Traceback' not in said
    lines = (out / 'predictions.jsonl').read_bytes()
    assert lines.count(b'\n') == 4
    (out / 'predictions.jsonl').write_bytes(lines + b'{"image": {"id"')  # as a kill leaves it
    monkeypatch.undo()
    said = tool(*command, out, '--resume')
    assert 'images: 5 of 5' in said and 'including 3 from before' in said
    for path in (tmp_path / 'whole').rglob('*.*'):
        assert (out / path.relative_to(tmp_path / 'whole')).read_bytes() == path.read_bytes()
    other = tool(*command[:-2], 0.3, '--out', out, '--resume', fails=True)
    assert f'holds results of another call (score {SOME} -> 0.3)' in other


def test_the_exit_code_of_a_signal_says_so(weights: dict, tmp_path: Path, monkeypatch) -> None:
    def kill(path: Path) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(predictor_module, 'read_image', kill)
    command = [DETECTION, weights[DETECTION], str(save(tmp_path / '1.png')), '--out']
    with as_a_process(), pytest.raises(SystemExit) as end:
        load_tool('predict').main([*command, str(tmp_path / 'out')])
    assert end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize('layout', ['coco', 'yolo', 'masks'])
def test_predictions_become_a_dataset_that_the_check_reads(
    layout: str, weights: dict[str, str], album: Path, tmp_path: Path
) -> None:
    from backbones.cli import check_data

    (album / 'a/cut.png').unlink()
    (album / 'a/tiny.png').unlink()
    save(album / 'a/1.jpg')  # beside 1.png
    name = SEGMENTATION if layout == 'masks' else DETECTION
    command = ('predict', name, weights[name], album, '--score', SOME, '--tile', 64, '--batch', 2,
               '--as-labels', layout, '--out', tmp_path / 'out')  # fmt: skip
    said = tool(*command)
    assert f'tools/check_data.py {tmp_path}/out/dataset reads' in said
    report = check_data.check(str(tmp_path / 'out/dataset'))
    kinds = {fault.kind for fault in report.faults.errors} - {'deep-image'}
    assert not kinds
    assert report.counts['train']['images'] == 7
    results = tmp_path / 'out/results.json'
    if results.is_file():
        found = json.loads(results.read_text())
        empty = sum(not coco_mask.area(one['segmentation']) for one in found)
        assert report.counts['train']['annotations'] == len(found) - empty > 0
    other = 'coco' if layout == 'masks' else 'masks'
    wrong = tool(*command[:-3], other, '--out', tmp_path / 'no', fails=True)
    assert f'--as-labels {other}: the model predicts' in wrong


@pytest.mark.parametrize(
    'setting', [dict(color_type='unchanged'), dict(imdecode_backend='tifffile')]
)
def test_a_config_that_loads_other_images_than_predictions_is_refused(
    setting: dict, weights: dict[str, str]
) -> None:
    """With color_ignore_orientation, it would train and test on images without their rotation."""
    cfg = Config.fromfile(config_file(DETECTION))
    loader = cfg.test_dataloader.dataset.pipeline[0]
    loader.update(imdecode_backend='pillow')
    with as_a_process():
        Predictor(cfg, weights[DETECTION])
    loader.update(setting)
    with as_a_process(), pytest.raises(UserError, match=r'predictions read 8-bit RGB'):
        Predictor(cfg, weights[DETECTION])
