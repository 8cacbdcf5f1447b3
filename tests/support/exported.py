"""Small ONNX files with the inputs and outputs of exported models, and known results."""

import json
from pathlib import Path

import onnx

from backbones.inference.digests import with_metadata

HEAD = '<ir_version: 10, opset_import: ["" : 20]>'
CLASSES = ['red', 'green', 'blue']


def segmentor(
    path: Path,
    sides: str = 'height, width',
    images: str = '1',
    channels: int = 3,
    scores: str = 'logits = Identity (image)',
    **about: object,
) -> Path:
    """A segmentor whose scores are the colours: the label of a pixel is its brightest channel."""
    text = f"""{HEAD}
        g (float[{images}, {channels}, {sides}] image)
            => (float[{images}, {channels}, {sides}] logits, int64[{images}, {sides}] labels) {{
            {scores}
            labels = ArgMax <axis = 1, keepdims = 0> (image)
        }}"""
    return _save(path, text, about)


def detector(
    path: Path,
    sides: str = 'height, width',
    change: tuple[str, str] = ('', ''),
    **about: object,
) -> Path:
    """A detector with masks that finds the left half of each image twice, and its upper right.

    The scores are 0.9, 0.8 (class 0 and 1, left) and 0.3 (class 2); masks are full. `change`
    replaces a part of the graph.
    """
    text = f"""{HEAD}
        g (float[1, 3, {sides}] image)
            => (float[n, 4] boxes, float[n] scores, int64[n] labels, float[n, 28, 28] masks) {{
            places = Constant <value = int64[4] {{3, 2, 3, 2}}> ()
            shares = Constant <value = float[3, 4]
                {{0, 0, 0.5, 1, 0, 0, 0.5, 1, 0.5, 0, 1, 0.5}}> ()
            all = Shape (image)
            size = Gather (all, places)
            pixels = Cast <to = 1> (size)
            boxes = Mul (shares, pixels)
            scores = Constant <value = float[3] {{0.9, 0.8, 0.3}}> ()
            labels = Constant <value = int64[3] {{0, 1, 2}}> ()
            shape = Constant <value = int64[3] {{3, 28, 28}}> ()
            one = Constant <value = float[1] {{1}}> ()
            masks = Expand (one, shape)
        }}"""
    assert change[0] in text
    text = text.replace(*change) if change[0] else text
    return _save(path, text, about)


def panoptic(path: Path, sides: str = 'height, width', **about: object) -> Path:
    """A panoptic model: red is class 0, green is the first instance of class 1."""
    text = f"""{HEAD}
        g (float[1, 3, {sides}] image) => (int64[1, {sides}] panoptic) {{
            numbers = Constant <value = int64[3] {{0, 1001, 3}}> ()
            brightest = ArgMax <axis = 1, keepdims = 0> (image)
            panoptic = Gather (numbers, brightest)
        }}"""
    return _save(path, text, dict(task='panoptic', **about))


def program(path: Path, **about: object) -> Path:
    """The segmentor as a file of torch.export, which takes multiples of 32 pixels."""
    import torch

    from backbones.deploy.metadata import as_text
    from backbones.deploy.torch_file import save

    class Segmentor(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return image.clone(), image.argmax(1)

    sides = {i: 32 * torch.export.Dim(f'side{i}', min=1, max=100) for i in (2, 3)}
    image = torch.zeros(1, 3, 64, 96)
    made = torch.export.export(Segmentor(), (image,), dynamic_shapes=dict(image=sides))
    facts = dict(task='semantic', outputs=['logits', 'labels'], pad_to_multiples_of='32')
    save(made, path, as_text(dict(facts, classes=CLASSES) | about))
    return path


def backbone(path: Path, images: int = 1) -> Path:
    text = f"""{HEAD}
        g (float[{images}, 3, 32, 32] image) => (float[{images}, 3, 32, 32] level0) {{
            level0 = Identity (image)
        }}"""
    return _save(path, text, {})


def _save(path: Path, text: str, about: dict) -> Path:
    file = onnx.parser.parse_model(text)
    onnx.checker.check_model(file)
    facts = {'classes': CLASSES, **about}
    stored = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    path.write_bytes(with_metadata(file, stored))
    return path


def as_openvino(path: Path) -> Path:
    """Write one of these files in OpenVINO's format, with its metadata."""
    import openvino

    from backbones.deploy.openvino_file import save

    source = onnx.load(path)
    model = openvino.Core().read_model(str(path))
    for output, value in zip(model.outputs, source.graph.output, strict=True):
        output.tensor.set_names({value.name})
    for entry in source.metadata_props:
        model.set_rt_info(entry.value, ['dense_backbones', entry.key])
    save(model, path.with_suffix('.xml'), 'fp32')
    return path.with_suffix('.xml')
