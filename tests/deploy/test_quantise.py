"""int8 files are calibrated and measured with the inputs that the predictor gives them."""

from pathlib import Path

import exported
import numpy as np
import onnx
import pytest
from conftest import as_a_process
from mmengine.config import Config
from PIL import Image

from backbones.deploy.openvino_file import compile_model, to_openvino
from backbones.deploy.quantise import calibration_inputs, products, quantise, unquantised
from backbones.inference.sessions import OpenVino, open_file
from backbones.openmmlab.config import read_config

WIDE = (40, 100)  # height and width in pixels
CONVOLVED = """one = Constant <value = float[3, 3, 1, 1] {1, 0, 0, 0, 1, 0, 0, 0, 1}> ()
            logits = Conv (image, one)"""


def photo(path: Path) -> str:
    pixels = np.random.default_rng(0).integers(0, 256, (*WIDE, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return str(path)


def test_an_image_keeps_its_ratio(tmp_path: Path) -> None:
    path = photo(tmp_path / 'a.png')
    file = exported.segmentor(tmp_path / 'x.onnx', '50, 50', mean=[1, 2, 3])
    (pixels,) = calibration_inputs(open_file(str(file)), [path])
    assert pixels.shape == (1, 3, 50, 50) and pixels.dtype == np.float32
    assert (pixels[0, :, 20:] == np.array([1, 2, 3])[:, None, None]).all()
    assert (pixels[0, :, :20].std((1, 2)) > 10).all()


def test_of_a_model_that_slides_it_is_one_window(tmp_path: Path) -> None:
    path = photo(tmp_path / 'a.png')
    window = dict(size=[40, 40], stride=[30, 30])
    file = exported.segmentor(tmp_path / 'x.onnx', '40, 40', sliding_window=window)
    found = calibration_inputs(open_file(str(file)), [path] * 9)
    assert {pixels.shape for pixels in found} == {(1, 3, 40, 40)}
    assert len({pixels.tobytes() for pixels in found}) > 1


@pytest.mark.slow
def test_a_perfect_segmentor_stays_one(tmp_path: Path) -> None:
    pytest.importorskip('nncf')
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    photo(tmp_path / 'images/a.png')
    labels = np.asarray(Image.open(tmp_path / 'images/a.png')).argmax(2).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / 'labels/a.png')
    cfg: Config = read_config('upernet_cloformer_nano_digits')
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].dataset.update(
            data_root=str(tmp_path), data_prefix=dict(img_path='images', seg_map_path='labels'),
            metainfo=dict(classes=exported.CLASSES),
        )  # fmt: skip
    file = onnx.load(exported.segmentor(tmp_path / 'x.onnx', '100, 100', scores=CONVOLVED))
    about = {entry.key: entry.value for entry in file.metadata_props}
    model = to_openvino(file, about)
    with as_a_process():
        done = quantise(model, about, cfg, 5, max_drop=5)
    assert done.before == 100 and done.after > 95 and done.images == 1 and not done.kept
    session = OpenVino(compile_model(done.model, 'int8'), about)
    assert session.shape == (1, 3, 100, 100)


def test_layers_in_higher_precision_have_weights_and_no_quantiser_before_them() -> None:
    ov = pytest.importorskip('openvino')
    op = ov.opset13

    def named(node, name: str):
        node.set_friendly_name(name)
        return node

    image = op.parameter([4, 4], np.float32)
    low, high = (op.constant(np.array(n, np.float32)) for n in (0, 1))
    rounded = op.fake_quantize(image, low, high, low, high, 256)
    moved = op.transpose(op.reshape(rounded, [4, 4], False), [1, 0])
    weight = op.constant(np.eye(4, dtype=np.float32))
    first = named(op.matmul(moved, weight, False, False), 'quantised')
    kept = named(op.matmul(first, weight, False, False), 'kept')
    product = named(op.matmul(kept, first, False, False), 'product')
    model = ov.Model([product], [image])
    assert unquantised(model) == ['kept'] and products(model) == ['product']
