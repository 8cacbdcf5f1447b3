"""Images with any channels: one reader, one decision, and a config that trains on all of them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from conftest import as_a_process, tool
from mmengine.config import Config
from mmengine.registry import DATASETS
from own_data import SIZE, json_file, make_coco, make_masks, noise
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from backbones.cli import check_data
from backbones.data.configs.channels import pipeline_lines
from backbones.data.configs.new_config import new_config
from backbones.data.files.images import image_facts
from backbones.errors import UnreadableError, UserError
from backbones.inference.reading import read_image
from backbones.openmmlab.build import build_model, enter_library
from backbones.pixels import read_pixels, to_rgb, view

BANDS = 5
DETECTION, SEGMENTATION = 'retinanet_cloformer_nano_small', 'semantic_fpn_cloformer_nano_small'


def bands(seed: int, number: int = BANDS) -> np.ndarray:
    """12-bit values in 16 bits, with a different mean in each channel."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 2048, (SIZE[1], SIZE[0], number))
    return (pixels + 400 * np.arange(number)).astype(np.uint16)


def save(path: Path, pixels: np.ndarray) -> None:
    if path.suffix == '.npy':
        np.save(path, pixels)
    elif path.suffix == '.tif':
        tifffile.imwrite(path, pixels, photometric='minisblack', planarconfig='contig')
    else:
        assert cv2.imwrite(str(path), pixels[..., ::-1])


def replace_images(root: Path, suffix: str) -> Path:
    """Give each image of a dataset five bands of 16 bits, under its name."""
    files = [p for p in root.rglob('*') if p.suffix in ('.png', '.jpg') and 'masks' not in p.parts]
    for i, path in enumerate(sorted(files)):
        path.unlink()
        save(path.with_suffix(suffix), bands(i))
    for file in root.glob('annotations/*.json'):
        file.write_text(file.read_text().replace('.png', suffix))
    return root


def test_every_way_to_store_them_gives_the_same_numbers(tmp_path: Path) -> None:
    pixels = bands(0)
    planes = pixels.transpose(2, 0, 1)
    options = dict(photometric='minisblack')
    save(tmp_path / 'bands.tif', pixels)
    save(tmp_path / 'array.npy', pixels)
    tifffile.imwrite(tmp_path / 'planes.tif', planes, planarconfig='separate', **options)
    tifffile.imwrite(tmp_path / 'pages.tif', planes, compression='zlib', **options)
    for i, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / 'appended.tif', plane, append=i > 0, **options)
    for path in sorted(tmp_path.iterdir()):
        assert np.array_equal(read_pixels(path, BANDS), pixels), path.name
        facts = image_facts(path, decode=True)
        assert not facts.fault and facts.size == SIZE and facts.special
        assert (facts.channels, facts.kind, facts.bits) == (BANDS, 'uint16', 16)
        assert view(path, (4, 0, 7)).shape == (SIZE[1], SIZE[0], 3)


def test_ordinary_images_are_rgb_turned_as_the_camera_says(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
        Image.fromarray(colours).save(tmp_path / 'a.png', exif=exif)
        assert np.array_equal(read_pixels(tmp_path / 'a.png'), view(tmp_path / 'a.png'))
    deep = bands(0, 3)
    save(tmp_path / 'deep.png', deep)
    assert np.array_equal(read_pixels(tmp_path / 'deep.png'), deep)
    save(tmp_path / 'grey.tif', deep[..., 0])
    assert read_pixels(tmp_path / 'grey.tif').shape == (*SIZE[::-1], 1)


SUFFIXES = ('jpg', 'png', 'webp', 'tif')
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    'syntax-ns#"><rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('orientation', [*range(1, 9), 'in XMP alone'])
def test_the_check_and_every_reader_turn_an_image_as_training_does(
    suffix: str, orientation, tmp_path: Path
) -> None:
    """OpenCV ignores the tag in WebP, and everything that is only in XMP."""
    from mmcv.transforms import LoadImageFromFile

    path = tmp_path / f'a.{suffix}'
    options = dict(lossless=True) if suffix == 'webp' else {}
    if orientation in range(1, 9):
        options['exif'] = Image.Exif()
        options['exif'][0x0112] = orientation
    elif suffix == 'png':
        options['pnginfo'] = PngInfo()
        options['pnginfo'].add_itxt('XML:com.adobe.xmp', XMP)
    elif suffix == 'tif':
        options['tiffinfo'] = {700: XMP.encode()}
    else:
        options['xmp'] = XMP.encode()
    Image.fromarray(bands(0, 3).astype(np.uint8)).save(path, **options)
    trained = LoadImageFromFile()(dict(img_path=str(path)))['img'][..., ::-1]
    facts = image_facts(path, decode=True)
    assert not facts.fault and facts.size == trained.shape[1::-1]
    assert facts.turned == (orientation in range(2, 9) and suffix != 'webp')
    for pixels in (read_pixels(path), read_image(path)[0]):
        assert np.array_equal(pixels, trained)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_tiff_of_many_channels_is_turned_as_its_tag_says(orientation: int, tmp_path) -> None:
    pixels = bands(0)
    tag = [(274, 'H', 1, orientation, True)]
    options = dict(photometric='minisblack', planarconfig='contig', extratags=tag)
    tifffile.imwrite(tmp_path / 'a.tif', pixels, **options)
    colours = Image.fromarray(pixels[..., :3].astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    colours.save(tmp_path / 'b.png', exif=exif)
    facts, read = image_facts(tmp_path / 'a.tif', decode=True), read_pixels(tmp_path / 'a.tif')
    assert facts.size == read.shape[1::-1] and facts.turned == (orientation > 1)
    assert np.array_equal(read[..., :3].astype(np.uint8), read_pixels(tmp_path / 'b.png'))


def test_a_png_called_tif_is_read_as_what_it_is(tmp_path: Path) -> None:
    noise(tmp_path / 'a.png')
    (tmp_path / 'a.png').rename(tmp_path / 'a.tif')
    assert read_pixels(tmp_path / 'a.tif').shape == (*SIZE[::-1], 3)
    assert not image_facts(tmp_path / 'a.tif', decode=True).fault


def test_validation_images_of_other_values_are_an_error(tmp_path: Path) -> None:
    """With 16 bits in training and 8 in validation, each split is correct by itself."""
    replace_images(make_coco(tmp_path), '.tif')
    assert not check_data.check(str(tmp_path)).faults.errors
    for path in tmp_path.glob('val/*.tif'):
        save(path, (bands(0) // 256).astype(np.uint8))
    (fault,) = check_data.check(str(tmp_path)).faults.errors
    assert (fault.kind, fault.count) == ('channels-differ', 3)


def test_pictures_stretch_what_has_more_than_8_bits() -> None:
    grey = to_rgb(np.linspace(0, 4000, 10000).reshape(100, 100, 1))
    assert grey.shape == (100, 100, 3) and (grey == grey[..., :1]).all()
    assert grey.min() == 0 and grey.max() == 255 and abs(np.median(grey) - 127.5) < 2
    two = to_rgb(np.full((4, 4, 2), 7, np.uint8))
    assert two[0, 0].tolist() == [7, 7, 0], 'a missing band is black'


@pytest.mark.parametrize(
    'pixels, message',
    [
        (np.full((8, 8, 2), np.nan, np.float32), 'NaN or infinite'),
        (np.zeros((4, 8, 8, 2), np.uint8), 'shape .4, 8, 8, 2.; allowed: height, width'),
        (np.zeros((8, 8, 3), np.uint8), '3 channels instead of 2'),
        (np.zeros((2, 64, 48), np.uint8), 'shape .2, 64, 48.; allowed: height, width'),
        (np.zeros((8, 8, 2), np.uint8), 'values of type uint8 instead of float32'),
        (np.zeros((8, 8, 2), complex), 'values of type complex128'),
    ],
)
def test_what_is_no_image_of_these_channels_is_refused(pixels, message, tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', pixels)
    with pytest.raises(UnreadableError, match=message):
        read_pixels(tmp_path / 'a.npy', 2, 'float32')


@pytest.mark.parametrize(
    'make, base, suffix',
    [(make_coco, DETECTION, '.tif'), (make_masks, SEGMENTATION, '.npy')],
    ids=['boxes', 'label maps'],
)
def test_training_and_prediction_read_the_same_numbers(
    make, base: str, suffix: str, tmp_path: Path
) -> None:
    import torch

    from backbones.inference import Predictor

    root = replace_images(make(tmp_path / 'data'), suffix)
    report = check_data.check(str(root), decode=True)
    assert not report.faults.errors and report.dataset.channels == BANDS
    assert f'images are read with {BANDS} channels' in check_data.text(report)
    out = tmp_path / 'own.py'
    text = new_config(report.dataset, base=base, out=out)
    assert 'left out, because it computes with colours: PhotoMetricDistortion' in text
    out.write_text(text)
    cfg = Config.fromfile(out)
    kinds = [step['type'] for step in cfg.train_dataloader.dataset.pipeline]
    assert kinds[0] == 'LoadChannels' and 'PhotoMetricDistortion' not in kinds
    paths = report.dataset.splits['train'].paths()
    stacked = np.concatenate([read_pixels(p).reshape(-1, BANDS) for p in paths]).astype(float)
    assert cfg.model.backbone.in_channels == BANDS
    assert np.allclose(cfg.model.data_preprocessor.mean, stacked.mean(0), rtol=1e-4)
    assert np.allclose(cfg.model.data_preprocessor.std, stacked.std(0), rtol=1e-4)

    with as_a_process():
        enter_library(cfg)
        torch.manual_seed(0)
        model = build_model(cfg)
        file = tmp_path / 'best.pth'
        meta = dict(dataset_meta=dict(classes=report.dataset.classes))
        torch.save(dict(state_dict=model.state_dict(), meta=meta), file)
        sample = DATASETS.build(cfg.val_dataloader.dataset)[0]
        predictor = Predictor(cfg, str(file), score=0)
        path = Path(sample['data_samples'].img_path)
        pixels, _ = predictor.read(path)
        data = predictor._prepare(pixels)
        assert data['inputs'].shape[0] == BANDS
        assert torch.equal(data['inputs'], sample['inputs'])
        batch = model.data_preprocessor(dict(inputs=[sample['inputs']], data_samples=[]), False)
        height, width = sample['inputs'].shape[1:]
        inputs = batch['inputs'][0, :, :height, :width]
        assert inputs.mean().abs() < 0.2 and 0.5 < inputs.std() < 1.2, 'normalised'
        (found,) = predictor([path])
        assert found.image.shape == (*SIZE[::-1], 3) and found.picture().ndim == 3


def test_images_of_other_channels_are_named(tmp_path: Path) -> None:
    root = replace_images(make_coco(tmp_path), '.tif')
    save(root / 'train/Bäume 1.tif', bands(1, 4))
    save(root / 'train/Bäume 2.tif', (bands(1) >> 8).astype(np.uint8))
    report = check_data.check(str(root))
    (fault,) = report.faults.errors
    assert fault.kind == 'channels-differ' and fault.count == 2
    assert fault.examples == [
        'Bäume 1.tif: 4 channels of uint16, the others 5 x uint16',
        'Bäume 2.tif: 5 channels of uint8, the others 5 x uint16',
    ]


@pytest.mark.parametrize(
    ('kind', 'factor', 'found'),
    [('float32', 255, True), ('float32', 8, False), ('uint16', 1, False), ('uint16', 40, True)],
)
def test_images_of_another_scale_are_named(
    kind: str, factor: float, found: bool, tmp_path: Path
) -> None:
    root = replace_images(make_coco(tmp_path), '.npy')
    for seed, path in enumerate(root.rglob('*.npy')):
        scale = (255 if kind == 'uint16' else 1) * (factor if path.parent.name == 'val' else 1)
        save(path, (bands(seed) / bands(seed).max() * scale).astype(kind))
    faults = check_data.check(str(root)).faults
    said = [fault.examples[0] for fault in faults.warnings if fault.kind == 'scales-differ']
    assert bool(said) == found and not faults.errors
    assert all('.npy has values up to' in text for text in said)


def test_one_image_of_five_bands_among_photographs_is_named(tmp_path: Path) -> None:
    root = make_coco(tmp_path)
    save(root / 'train/5.tif', bands(0))
    content = json.loads(json_file(root, 'train').read_text())
    content['images'].append(dict(id=999, file_name='5.tif', width=SIZE[0], height=SIZE[1]))
    json_file(root, 'train').write_text(json.dumps(content))
    report = check_data.check(str(root))
    assert {'channels-differ', 'deep-image'} == {fault.kind for fault in report.faults.errors}
    assert report.dataset.channels == 0


def test_all_four_channels_of_ordinary_images_are_read_if_asked_for(tmp_path: Path) -> None:
    root = make_coco(tmp_path)
    for path in root.rglob('*.png'):
        noise(path, mode='RGBA')
    report = check_data.check(str(root), channels=4)
    assert not report.faults.errors and report.dataset.channels == 4
    assert 'transparent-image' not in {fault.kind for fault in report.faults.found.values()}
    assert 'transparent-image' in {
        f.kind for f in check_data.check(str(root)).faults.found.values()
    }
    with pytest.raises(UserError, match='--channels is 0; allowed: 1, 2, 3'):
        check_data.check(str(root), channels=0)


def test_a_base_that_needs_colours_is_refused() -> None:
    step = dict(type='PhotoMetricDistortion')
    inside = dict(pipeline=[dict(type='RandomApply', transforms=[step])])
    mixed = dict(type='MultiImageMixDataset', pipeline=[], dataset=dict(pipeline=[]))
    for dataset, said in (
        (inside, 'PhotoMetricDistortion inside RandomApply, which computes with red'),
        (mixed, 'the base mixes images .MultiImageMixDataset., which have 5 channels'),
        (dict(type='ConcatDataset', datasets=[inside]), 'wraps its train dataset in ConcatDataset'),
    ):
        cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
        with pytest.raises(UserError, match=said):
            pipeline_lines(cfg, BANDS, 'uint16', ['train'])


@pytest.mark.slow
@pytest.mark.parametrize(
    'make, base', [(make_coco, DETECTION), (make_masks, SEGMENTATION)], ids=['boxes', 'label maps']
)
def test_folder_to_predictions(make, base: str, tmp_path: Path) -> None:
    """Check, config, training with its results page, test and prediction of five bands."""
    root, out = replace_images(make(tmp_path / 'data'), '.tif'), tmp_path / 'own.py'
    tool('check_data', root, '--pictures', tmp_path / 'pictures')
    assert (tmp_path / 'pictures/train.png').is_file()
    tool('new_config', root, '--base', base, '--out', out, '--epochs', 2)
    work = tmp_path / 'work'
    tool('train', out, '--work-dir', work, page=True)
    assert (work / 'results/index.html').is_file()
    (weights, *_) = [*work.glob('best.pth'), *work.glob('last.pth')]
    tool('test', out, weights, '--work-dir', tmp_path / 'test', '--show-dir', tmp_path / 'shown')
    images = next(p for p in (root / 'val', root / 'images/val') if p.is_dir())
    said = tool('predict', out, weights, images, '--out', tmp_path / 'found', '--score', 0)
    assert 'images: 3 of 3' in said and len([*(tmp_path / 'found/pictures').iterdir()]) == 3
