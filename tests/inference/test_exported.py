"""Predictions with an exported file: results, options, faults, and an environment without torch."""

import copy
import json
import os
import pickle
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import cv2
import exported
import numpy as np
import onnx
import pytest
from conftest import ROOT, tool
from owner import Owner
from PIL import Image

from backbones import Predictor
from backbones.drawing.palette import Classes
from backbones.errors import ArgumentError, UnreadableError, UserError
from backbones.folder_lock import NAME
from backbones.openmmlab.extra import RUNTIME_COMMAND

RNG = np.random.default_rng(0)
PACKAGES = re.findall(r'[a-z-]+', re.sub(r"[>=<.,\d']", '', RUNTIME_COMMAND))[2:]
EXTRA = re.search(r'^runtime = \[(.*?)^\]', (ROOT / 'pyproject.toml').read_text(), re.S | re.M)[1]
# makes imports fail that an environment for exported files lacks
WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmseg',
                                  'timm', 'safetensors', 'huggingface_hub'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Absent())
"""


def patches(height: int, width: int) -> np.ndarray:
    """A photograph of eight by eight patches in pure colours, nearly."""
    brightest = np.eye(3)[RNG.integers(0, 3, (8, 8))] * 180 + RNG.integers(0, 60, (8, 8, 3))
    return cv2.resize(brightest.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Images of several kinds and sizes, and two that cannot be read."""
    folder = tmp_path / 'album'
    folder.mkdir()
    Image.fromarray(patches(60, 80)).save(folder / 'a.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(patches(64, 96)).save(folder / 'turned.jpg', exif=exif)
    Image.fromarray(patches(100, 40)).convert('L').save(folder / 'grey.png')
    cv2.imwrite(str(folder / 'deep.png'), patches(50, 50).astype(np.uint16) * 256)
    (folder / 'cut.png').write_bytes((folder / 'a.png').read_bytes()[:90])
    (folder / 'empty.jpg').touch()
    return folder


def test_a_file_is_predicted_without_torch_and_openmmlab(album: Path, tmp_path: Path) -> None:
    file, out = exported.detector(tmp_path / 'x.onnx'), tmp_path / 'out'
    command = ['predict', str(file), str(album), '--out', str(out), '--as-labels', 'coco']
    program = f"""{WITHOUT}
import runpy
sys.argv = ['dense-backbones', *{command}]
try:
    runpy.run_module('backbones', run_name='__main__')
finally:
    import backbones
    print('torch' in sys.modules, backbones.__all__)
    try:
        backbones.create
    except ImportError as error:
        print(error)
"""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', program], env=environment, text=True,
                          capture_output=True)  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'images: 4 of 6' in done.stdout and '2 without a prediction:' in done.stdout
    assert 'cut.png: damaged image' in done.stdout and 'empty.jpg: empty file' in done.stdout
    assert "False ['Predictor', 'UserError', 'config_file', 'paste']" in done.stdout
    assert 'backbones.create needs PyTorch: pip install torch' in done.stdout
    found = json.loads((out / 'results.json').read_text())
    sizes = {i['id']: i for i in json.loads((out / 'images.json').read_text())['images']}
    assert len(found) == 2 * len(sizes) == 8
    for one in found:
        image = sizes[one['image_id']]
        assert one['bbox'] == [0, 0, image['width'] / 2, image['height']]
        assert one['segmentation']['size'] == [image['height'], image['width']]
    assert len([*(out / 'pictures').iterdir()]) == len([*(out / 'dataset/images').iterdir()]) == 4


@pytest.mark.parametrize('sides', ['height, width', '96, 128'], ids=['every size', 'one size'])
def test_boxes_and_masks_are_in_pixels_of_the_image(sides: str, tmp_path: Path) -> None:
    predictor = Predictor(exported.detector(tmp_path / 'x.onnx', sides), score=0.5)
    found = predictor.find(patches(60, 80))  # fits into 96 x 128 exactly
    assert found.xyxy.tolist() == [[0, 0, 40, 60]] * 2 and found.class_id.tolist() == [0, 1]
    assert found.confidence.tolist() == pytest.approx([0.9, 0.8])
    expected = np.arange(80) < 40
    assert (found.mask == expected).all() and found.mask.shape == (2, 60, 80)
    assert predictor.surest == pytest.approx(0.9)
    found = predictor.find(patches(60, 40))  # padded at the right
    assert found.xyxy[0].tolist() == [0, 0, *((20, 60) if sides[0] == 'h' else (40, 60))]
    assert Predictor(tmp_path / 'x.onnx', score=0.1).find(patches(200, 333)).xyxy[2, 2] == 333


@pytest.mark.parametrize('kind', [exported.detector, exported.segmentor])
def test_openvino_gives_the_same_results(kind, album: Path, tmp_path: Path) -> None:
    pytest.importorskip('openvino')
    file = kind(tmp_path / 'x.onnx')
    one, other = Predictor(file), Predictor(exported.as_openvino(file))
    assert other.meta == one.meta == dict(classes=exported.CLASSES)
    for path in (album / 'a.png', album / 'turned.jpg', album / 'deep.png'):
        a, b = one.predict(path).found, other.predict(path).found
        if kind is exported.segmentor:
            assert np.array_equal(a, b)
        else:
            assert np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.mask, b.mask)


def test_openvino_is_as_before_after_an_image_for_which_memory_is_missing(
    tmp_path: Path, monkeypatch
) -> None:
    """With one thread, `infer` would return the previous image's labels, without an error."""
    pytest.importorskip('openvino')
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    products = """
        shape = Constant <value = int64[3] {1, 3, -1}> ()
        rows = Reshape (image, shape)
        columns = Transpose <perm = [0, 2, 1]> (rows)
        products = MatMul (columns, rows)
        sum = ReduceMax (products)
        zero = Constant <value = float {0}> ()
        nothing = Mul (sum, zero)
        logits = Add (image, nothing)"""  # 4 TB for a megapixel
    predictor = Predictor(
        exported.as_openvino(exported.segmentor(tmp_path / 'x.onnx', scores=products))
    )
    for colour in range(3):
        image = np.zeros((40, 50, 3), np.uint8)
        image[..., colour] = 200
        assert (predictor.find(image) == colour).all()
        with pytest.raises(MemoryError):
            predictor.find(np.zeros((1000, 1000, 3), np.uint8))


@pytest.mark.parametrize('sides', ['height, width', '64, 96'], ids=['every size', 'one size'])
def test_the_segments_of_a_panoptic_file_cover_their_pixels(sides: str, tmp_path: Path) -> None:
    file = exported.panoptic(tmp_path / 'x.onnx', sides)
    image = patches(64, 96)
    found = Predictor(file).find(image)
    assert found.class_id.tolist() == [0, 1] and found.confidence.tolist() == [1, 1]
    for mask, box, channel in zip(found.mask, found.xyxy, (0, 1)):
        expected = image.argmax(2) == channel
        assert np.array_equal(mask, expected)
        rows, columns = np.nonzero(expected)
        corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box.tolist() == corners
    larger = Predictor(file).find(cv2.resize(image, (192, 128), interpolation=cv2.INTER_NEAREST))
    assert larger.mask.shape == (2, 128, 192)
    with pytest.raises(UserError, match=r'x.onnx is a panoptic model, which needs whole images'):
        Predictor(file, tile=64)


def test_a_program_of_pytorch_is_predicted_like_other_files(album: Path, tmp_path: Path) -> None:
    file = exported.program(tmp_path / 'x.pt2')
    for size in ((64, 96), (45, 70), (20, 20)):  # the last two are padded
        image = patches(*size)
        assert np.array_equal(Predictor(file).find(image), image.argmax(2))
    said = tool('predict', file, album / 'a.png', '--out', tmp_path / 'out')
    assert 'images: 1 of 1' in said
    (tmp_path / 'cut.pt2').write_bytes(file.read_bytes()[:200])
    with pytest.raises(UserError, match=r'cut.pt2 cannot be opened'):
        Predictor(tmp_path / 'cut.pt2')
    with zipfile.ZipFile(file) as parts:
        model = next(part for part in parts.infolist() if part.filename.endswith('model.json'))
    content = bytearray(file.read_bytes())
    content[model.header_offset + model.file_size // 2] ^= 1
    (tmp_path / 'torn.pt2').write_bytes(content)
    with pytest.raises(UserError, match=r'torn.pt2 cannot be opened: .*model.json is damaged'):
        Predictor(tmp_path / 'torn.pt2')


def test_an_onnx_file_whose_graph_was_damaged_is_refused(tmp_path: Path) -> None:
    """A flipped bit in a weight would change the results silently."""
    file = exported.detector(tmp_path / 'x.onnx', transforms=[])
    content, damaged = file.read_bytes(), tmp_path / 'y.onnx'
    length = content.index(b'graph_sha256')
    assert content.rindex(b'classes') > content.rindex(b'transforms') > length
    for place in range(0, length - 4, 7):
        damaged.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        with pytest.raises(UserError, match=r'y\.onnx was damaged, or changed by another program'):
            Predictor(damaged)
    for end in range(0, len(content), 7):
        damaged.write_bytes(content[:end])
        with pytest.raises(UserError, match=r'y\.onnx (cannot be opened|names no|was damaged)'):
            Predictor(damaged)


def test_damaged_metadata_are_an_error_of_the_file(tmp_path: Path) -> None:
    file = exported.segmentor(tmp_path / 'x.onnx')
    file.write_bytes(file.read_bytes().replace(b'"green"', b'"gr\xff\xfen"'))
    with pytest.raises(UserError, match=r"x\.onnx cannot be opened: UnicodeDecodeError: 'utf-8'"):
        Predictor(file)
    program = exported.program(tmp_path / 'x.pt2', outputs=['logits'])
    with pytest.raises(UserError, match=r'x\.pt2 cannot be opened: .* name 1 of 2 outputs'):
        Predictor(program)


def test_metadata_may_be_edited_and_a_file_without_a_digest_is_taken(tmp_path: Path) -> None:
    file = onnx.load(exported.detector(tmp_path / 'x.onnx', author='Jo'))
    names = [entry.key for entry in file.metadata_props]
    assert names == ['graph_sha256', 'author', 'classes']
    file.metadata_props[2].value = '["a", "b", "c"]'
    onnx.save(file, tmp_path / 'x.onnx')
    assert Predictor(tmp_path / 'x.onnx').meta['classes'] == ['a', 'b', 'c']
    file.graph.node[0].name = 'changed'
    onnx.save(file, tmp_path / 'x.onnx')
    with pytest.raises(UserError, match='To keep a change, delete graph_sha256 from its metadata'):
        Predictor(tmp_path / 'x.onnx')
    del file.metadata_props[0]
    onnx.save(file, tmp_path / 'x.onnx')
    assert Predictor(tmp_path / 'x.onnx').meta['classes'] == ['a', 'b', 'c']


def test_a_predictor_of_a_file_can_be_pickled_and_copied(tmp_path: Path) -> None:
    predictor = Predictor(exported.segmentor(tmp_path / 'x.onnx'), tile=64, score=0.3)
    image = patches(64, 96)
    for same in (pickle.loads(pickle.dumps(predictor)), copy.deepcopy(predictor)):
        assert (same.tile, same.score) == (64, 0.3)
        assert np.array_equal(same.find(image), predictor.find(image))


def test_threads_share_predictors_of_several_files(tmp_path: Path) -> None:
    files = [exported.segmentor(tmp_path / 'a.onnx'), exported.detector(tmp_path / 'b.onnx'),
             exported.program(tmp_path / 'c.pt2')]  # fmt: skip
    if find_spec('openvino'):
        files += [exported.as_openvino(file) for file in files[:2]]
    predictors = [Predictor(file) for file in files]
    images = [patches(*size) for size in ((64, 96), (45, 70), (150, 33))]
    jobs = 4 * [(predictor, image) for predictor in predictors for image in images]

    def find(job: tuple) -> list[np.ndarray]:
        found = job[0].find(job[1])
        return [found] if job[0].segments else [found.xyxy, found.confidence, found.mask]

    expected = [find(job) for job in jobs]
    with ThreadPoolExecutor(8) as threads:
        for found, alone in zip(threads.map(find, jobs), expected, strict=True):
            assert all(map(np.array_equal, found, alone))


def test_images_may_come_from_a_generator(tmp_path: Path) -> None:
    predictor = Predictor(exported.segmentor(tmp_path / 'x.onnx'))
    assert len(predictor.find_all(patches(64, 96) for _ in range(2))) == 2
    with pytest.raises(ArgumentError, match='NoneType is not the path of an image'):
        next(predictor(None))


def test_a_forked_process_refuses_an_openvino_file_instead_of_waiting_forever(
    monkeypatch, tmp_path: Path
) -> None:
    predictor = Predictor(openvino_files(tmp_path)[0])
    monkeypatch.setattr(os, 'getpid', lambda: 1)
    with pytest.raises(UserError, match='before this process was forked'):
        predictor.find(np.zeros((40, 60, 3), np.uint8))


def test_a_signal_after_two_openvino_files_does_not_end_the_process(tmp_path: Path) -> None:
    """Each core of OpenVINO would leave the other's stack for signals, which is gone."""
    file, _ = openvino_files(tmp_path)
    program = f"""
import os, signal
from backbones import Predictor
signal.signal(signal.SIGTERM, lambda *_: print('handled'))
one, other = Predictor({str(file)!r}), Predictor({str(file)!r})
del one
del other
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, '-c', program], text=True, capture_output=True)
    assert (done.stdout, done.returncode) == ('handled\n', 0), done.stderr


@pytest.mark.parametrize('sides', ['height, width', '64, 64'], ids=['every size', 'one size'])
@pytest.mark.parametrize('tile', [None, 64])
def test_label_maps_have_the_size_of_the_image(sides: str, tile: int | None, tmp_path) -> None:
    predictor = Predictor(exported.segmentor(tmp_path / 'x.onnx', sides), tile=tile)
    for size in ((64, 96), (160, 64), (32, 32), (10, 200)):
        image = patches(*size)
        found = predictor.find(image)
        assert found.shape == size
        exact = tile or sides[0] == 'h'
        wrong = np.mean(found != image.argmax(2))
        assert wrong == 0 if exact else wrong < 0.25 or size == (10, 200), 'at borders of patches'


def test_images_of_one_call_do_not_depend_on_each_other(album: Path, tmp_path: Path) -> None:
    file = exported.segmentor(tmp_path / 'x.onnx', images='n')
    paths = [album / name for name in ('a.png', 'turned.jpg', 'grey.png', 'a.png')]
    many = [*Predictor(file, batch=3)(paths)]
    for one, path in zip(many, paths):
        assert np.array_equal(one.found, Predictor(file).predict(path).found)


def test_an_interrupted_call_is_continued(album: Path, tmp_path: Path) -> None:
    file, out = exported.segmentor(tmp_path / 'x.onnx'), tmp_path / 'out'
    tool('predict', file, album / 'a.png', '--out', out)
    said = tool('predict', file, album, '--out', out, '--resume', fails=True)
    assert 'images: 4 of 6' in said and 'including 1 from before' in said
    assert (out / 'classes.txt').read_text().split() == exported.CLASSES
    other = exported.segmentor(tmp_path / 'y.onnx')
    said = tool('predict', other, album, '--out', out, '--resume', fails=True)
    assert 'holds results of another call' in said


def test_an_interrupted_call_is_continued_by_an_equal_one_only(tmp_path: Path) -> None:
    """The same command means something else with other images of that name, or other weights."""
    file, out = exported.segmentor(tmp_path / 'x.onnx'), tmp_path / 'out'
    for camera in ('one', 'two'):
        (tmp_path / camera).mkdir()
        Image.new('RGB', (60, 40)).save(tmp_path / camera / 'a.png')
    tool('predict', file, tmp_path / 'one', '--out', out)
    said = tool('predict', file, tmp_path / 'two', '--out', out, '--resume', fails=True)
    assert (
        f'for a.png from {tmp_path}/one/a.png, but this call predicts on {tmp_path}/two/a.png'
        in said
    )
    other = tmp_path / 'a.bmp'  # whose label map would have the same name
    Image.new('RGB', (60, 40)).save(other)
    said = tool('predict', file, other, '--out', out, '--resume', fails=True)
    assert f'for a.* from {tmp_path}/one/a.png, but this call predicts on {other}' in said
    exported.segmentor(file, palette=[[1, 2, 3]] * 3)
    said = tool('predict', file, tmp_path / 'one', '--out', out, '--resume', fails=True)
    assert 'holds results of another call (model ' in said


@pytest.mark.parametrize('options', [(), ('--resume',)])
def test_two_calls_do_not_write_into_one_folder(options: tuple, album: Path, tmp_path) -> None:
    file, out = exported.segmentor(tmp_path / 'x.onnx'), tmp_path / 'out'
    if options:
        tool('predict', file, album / 'a.png', '--out', out)
    owner = Owner(out)
    command = ('predict', file, album / 'turned.jpg', '--out', out, *options)
    before = {path: path.stat().st_mtime_ns for path in out.rglob('*.*') if path.name != NAME}
    said = tool(*command, fails=True)
    assert f'{out} is in use by another run, process {owner.process.pid} on' in said
    assert before == {path: path.stat().st_mtime_ns for path in before}
    owner.kill()
    said = tool(*command)
    assert f'taken over from process {owner.process.pid}' in said and 'images: 1 of 1' in said
    assert ('1 image of an earlier call' in said) == bool(options)
    assert not (out / NAME).exists()


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(batch=2), r'x.onnx takes 1 image per call, not 2'),
        (dict(tile=96), r'x.onnx takes images of 64 x 64, not tiles of 96 pixels'),
        (dict(checkpoint='a.pth', device='cuda'), r'leave out checkpoint a.pth, device cuda'),
        (dict(amp=True), r'bfloat16 is for OpenVINO files'),
        (
            dict(config='backbone.onnx'),
            r'a model of the task unknown with the outputs level0; predictions',
        ),
        (dict(config='damaged.onnx'), r'damaged.onnx cannot be opened: Invalid'),
        (dict(config='gone.onnx'), r'gone.onnx does not exist'),
        (dict(config='nameless.onnx'), r'nameless.onnx names no classes: export it with a'),
        (dict(config='mask_rcnn_cloformer_nano_digits'), r'give the checkpoint that was trained'),
    ],
)
def test_what_does_not_go_with_a_file_is_said(options: dict, message: str, tmp_path: Path) -> None:
    exported.segmentor(tmp_path / 'x.onnx', '64, 64')
    exported.backbone(tmp_path / 'backbone.onnx')
    exported.segmentor(tmp_path / 'nameless.onnx', classes=[])
    (tmp_path / 'damaged.onnx').write_bytes((tmp_path / 'x.onnx').read_bytes()[:70])
    name = options.pop('config', 'x.onnx')
    with pytest.raises(UserError, match=message):
        Predictor(str(tmp_path / name) if '.' in name else name, **options)


def test_images_are_resized_as_the_config_says(tmp_path: Path) -> None:
    steps = [dict(type='LongSide.Resize', scale=[90, 60], keep_ratio=True),
             dict(type='ResizeToMultiple', size_divisor=32)]  # fmt: skip
    file = exported.detector(tmp_path / 'x.onnx', transforms=steps)
    model = Predictor(file).model
    prepared = model.prepare(patches(40, 50))
    assert prepared['inside'] == (64, 96) and prepared['inputs'].shape == (3, 64, 96)
    assert Predictor(file).find(patches(40, 50)).xyxy[0] == pytest.approx([0, 0, 25, 40])
    exported.detector(file, transforms=[dict(type='Pad', size_divisor=32)])
    with pytest.raises(UserError, match=r"prepares images by .*'Pad'.* allowed: Resize with scale"):
        Predictor(file)


@pytest.mark.parametrize('sides', ['height, width', '48, 64'], ids=['every size', 'one size'])
def test_windows_of_the_config_are_averaged(sides: str, tmp_path: Path) -> None:
    window = dict(size=[48, 64], stride=[30, 40])
    steps = [dict(type='Resize', scale=[400, 200], keep_ratio=True)]
    file = exported.segmentor(
        tmp_path / 'x.onnx', sides, task='semantic', sliding_window=window, transforms=steps
    )
    for size in ((200, 310), (100, 155), (32, 40)):
        image = patches(*size)
        assert np.mean(Predictor(file).find(image) != image.argmax(2)) < 0.03, size


def test_the_command_for_an_environment_without_torch_names_the_extra() -> None:
    named = {name for name in PACKAGES if f'    {name!r}' in EXTRA or f"    '{name}>=" in EXTRA}
    assert named == {*PACKAGES} and RUNTIME_COMMAND in (ROOT / 'docs/predict.md').read_text()


def test_pictures_have_the_colours_of_the_dataset(tmp_path: Path) -> None:
    palette = [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    file = exported.segmentor(tmp_path / 'x.onnx', palette=palette, bands='null')
    predictor = Predictor(file)
    colours = Classes(predictor.meta).colours.colors
    assert [[*colour.as_rgb()] for colour in colours] == palette and 'bands' not in predictor.meta


LIES = dict(
    classes=[1, {}, [1, 2], 'red', ['a', 'b'], ['a', 'b', 'c', 'd', 'e']],
    palette=[[[1, 2]], [[0, 0, 256]] * 3, 'red'],
    bands=[[1], 'x', [0, 1, -1]],
    mean=['x', [1, 2], [None] * 3, ['a'] * 3],
    task=['features', '{}', 'panoptic'],
    format=[2, 'x', -1, [1]],
    mask_threshold=['x', 2, [0.5]],
    mask_frame=['x'],
    foreground_threshold=['x'],
    sliding_window=[[1], dict(size=[8, 8]), dict(size=[8, 8], stride=[0, 8]), 'x',
                    dict(size=[4, 4], stride=[8, 8])],
    transforms=['x', [1], [{}], [dict(type=1)], [dict(type='Resize', scale='x')],
                [dict(type='Resize', scale=[0, 0])], [dict(type='Resize')],
                [dict(type='Resize', scale=[10**9, 8])], [dict(type='Resize', scale_factor=1e9)],
                [dict(type='ResizeToMultiple', size_divisor=0)],
                [dict(type='ResizeToMultiple', size_divisor=10**9)]],
    pad_to_multiples_of=[0, 10**9, [32]],
)  # fmt: skip


@pytest.mark.parametrize('key', LIES)
@pytest.mark.parametrize('kind', [exported.segmentor, exported.detector])
def test_metadata_that_lie_are_said_or_do_not_matter(kind, key: str, tmp_path: Path) -> None:
    """Any metadata lead to an error message or to the right result."""
    image = np.zeros((40, 60, 3), np.uint8)
    expected = Predictor(str(kind(tmp_path / 'true.onnx'))).find(image)
    refused = 0
    for number, value in enumerate(LIES[key]):
        path = kind(tmp_path / f'{number}.onnx', **{key: value})
        try:
            found = Predictor(str(path)).find(image)
        except UserError as error:
            refused += 1
            assert str(path) in str(error)
        else:
            assert str(found) == str(expected), value
    assert refused


@pytest.mark.parametrize('classes', [['a', 'b'], ['a', 'b', 'c', 'd']])
def test_names_of_more_or_fewer_classes_are_refused_before_the_first_image(
    classes: list[str], tmp_path: Path
) -> None:
    """A label map need not have the class whose name is missing, or wrong."""
    said = rf'distinguishes 3 classes, but names {len(classes)}'
    files = [exported.segmentor(tmp_path / 'a.onnx', classes=classes),
             exported.detector(tmp_path / 'b.onnx', classes=classes, class_count=3),
             exported.program(tmp_path / 'c.pt2', classes=classes)]  # fmt: skip
    if find_spec('openvino'):
        files += [exported.as_openvino(file) for file in files[:2]]
    for file in files:
        with pytest.raises(UserError, match=said):
            Predictor(file)


def test_foreign_metadata_do_not_matter_and_missing_ones_are_said(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    path = exported.segmentor(tmp_path / 'a.onnx', author='Jo', stride='{32', names="{0: 'a'}")
    assert Predictor(str(path)).find(image).shape == (40, 60)
    with pytest.raises(UserError, match='names no classes'):
        Predictor(str(exported.segmentor(tmp_path / 'b.onnx', classes='null')))
    with pytest.raises(UserError, match='takes images of 4 channels, but its metadata say nothing'):
        Predictor(str(exported.segmentor(tmp_path / 'c.onnx', channels=4)))


def test_a_file_takes_the_values_that_it_was_trained_on(tmp_path: Path) -> None:
    """The model would see 8 bits instead of 16 as black."""
    about = dict(input='channels as in the images', values='uint16', classes=list('abcd'))
    path = exported.segmentor(tmp_path / 'a.onnx', channels=4, **about)
    for kind in ('uint16', 'uint8'):
        np.save(tmp_path / f'{kind}.npy', np.ones((40, 60, 4), kind))
    predictor = Predictor(str(path))
    assert predictor.predict(tmp_path / 'uint16.npy').found.shape == (40, 60)
    with pytest.raises(UnreadableError, match='values of type uint8 instead of uint16'):
        predictor.predict(tmp_path / 'uint8.npy')


def test_an_image_that_is_shrunk_keeps_a_pixel(tmp_path: Path) -> None:
    for step in (dict(scale_factor=1e-9), dict(scale=[0.5, 0.5]), dict(scale=[30.5, 20])):
        file = exported.segmentor(tmp_path / 'x.onnx', transforms=[dict(type='Resize', **step)])
        assert Predictor(str(file)).find(np.zeros((40, 60, 3), np.uint8)).shape == (40, 60)


def test_outputs_that_do_not_fit_together_are_said(tmp_path: Path) -> None:
    for old, new, said in (
        ('{3, 28, 28}', '{2, 28, 28}', r'boxes \(3, 4\), .* masks \(2, 28, 28\)'),
        ('one = Constant <value = float[1] {1}>', 'one = Constant <value = float[1, 1, 1, 1] {1}>',
         r'masks \(1, 3, 28, 28\)'),
        ('{0.9, 0.8, 0.3}', '{0.9, nan, 0.3}', 'scores that are not finite numbers'),
        ('{0, 0, 0.5, 1, 0', '{0, 0, nan, 1, 0', 'boxes that are not finite numbers'),
        ('{0, 1, 2}', '{0, -1, 2}', 'negative labels'),
    ):  # fmt: skip
        path = exported.detector(tmp_path / 'x.onnx', change=(old, new))
        with pytest.raises(UserError, match=f'{path} returned .*{said}'):
            Predictor(str(path)).find(np.zeros((40, 60, 3), np.uint8))


def kept(xml: str) -> str:
    """Do what keeps a change of an OpenVINO file."""
    return re.sub('<graph_sha256.*?/>', '', xml)


def openvino_files(folder: Path, **about: object) -> tuple[Path, Path]:
    pytest.importorskip('openvino')
    file = exported.as_openvino(exported.detector(folder / 'x.onnx', **about))
    return file, file.with_suffix('.bin')


@pytest.mark.parametrize(
    ('damage', 'said'),
    [
        (lambda xml, weights: None, r'x\.bin, which has the weights of .*, does not exist'),
        (lambda xml, weights: (xml, b''), 'x.bin is not the file of weights'),
        (lambda xml, weights: (xml, weights[:40]), 'x.bin is not the file of weights'),
        (lambda xml, weights: (xml, bytes(len(weights))), 'x.bin is not the file of weights'),
        (lambda xml, weights: (xml, weights + b'0'), 'x.bin is not the file of weights'),
        (lambda xml, weights: (xml[:900], weights), 'cannot be opened: Error parsing'),
        (
            lambda xml, weights: (xml.replace('"2"', '"3"', 1), weights),
            r'x\.xml was damaged, or ch',
        ),
        (lambda xml, weights: (kept(xml.replace('Broadcast', 'Own')), weights), 'type: Own'),
    ],
)
def test_openvino_files_that_do_not_belong_together_are_refused(
    damage, said: str, tmp_path
) -> None:
    """Another training run's .bin file has the same size and gives other results."""
    file, weights = openvino_files(tmp_path)
    image = np.zeros((40, 60, 3), np.uint8)
    assert len(Predictor(str(file)).find(image)) == 2
    changed = damage(file.read_text(), weights.read_bytes())
    weights.unlink()
    if changed:
        file.write_text(changed[0])
        weights.write_bytes(changed[1])
    with pytest.raises(UserError, match=said) as refused:
        Predictor(str(file))
    assert '.cpp' not in str(refused.value)


def test_entities_of_an_openvino_file_are_not_expanded(tmp_path: Path) -> None:
    file, _ = openvino_files(tmp_path)
    (tmp_path / 'secret').write_text('top secret')
    kinds = [f'<!ENTITY a "{"a" * 99}">', f'<!ENTITY x SYSTEM "file://{tmp_path}/secret">']
    kinds += [f'<!ENTITY {b} "{f"&{a};" * 99}">' for a, b in zip('abcdefg', 'bcdefgh')]
    text = file.read_text().partition('?>')[2].replace('red', '&x;', 1).replace('green', '&h;', 1)
    file.write_text(f'<?xml version="1.0"?><!DOCTYPE net [{"".join(kinds)}]>{kept(text)}')
    assert Predictor(str(file)).meta['classes'] == ['&x;', '&h;', 'blue']
