"""ONNX files have PyTorch's numbers at every size, or there is a plain error."""

import io
import json
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from conftest import NANO, draw, tool, variant_id
from torch import Tensor, nn

from backbones import BACKBONES, CloFormer, CSWin
from backbones.deploy import compare, export, openvino_file
from backbones.deploy import source as sources
from backbones.deploy.models import exportable
from backbones.deploy.preprocessing import Preprocessing
from backbones.deploy.resizing import AdaptiveAverage
from backbones.deploy.runtime_forms import runtime_forms
from backbones.errors import UserError
from backbones.inference.pasting import paste
from backbones.openmmlab import config as configs
from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.outlook_attention import outlook_attention

DETECTOR = 'mask_rcnn_cloformer_nano_digits'
FIVE = 'model.roi_head.bbox_head.num_classes=5'


def nano(cls: type, *, dynamic: bool, **settings: object) -> sources.Source:
    torch.manual_seed(0)
    return sources.of_backbone('cswin_t', cls(NANO[cls], **settings).eval(), dynamic=dynamic)


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Path:
    """The first level of a small CloFormer, for images of 40 x 50 pixels."""
    out = tmp_path_factory.mktemp('export') / 'Größe 1/small.onnx'
    source = nano(CloFormer, dynamic=False, out_indices=(0,))
    found = export.export(source, out, export.Target((40, 50))).differences
    assert [d.what for d in found] == ['level0, of the largest value'] * 2
    assert all(d.found < 1e-5 for d in found)
    return out


@pytest.mark.slow
def test_the_file_says_what_it_takes_and_gives(small: Path) -> None:
    session = onnxruntime.InferenceSession(small)
    (image,), (level,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ('image', [1, 3, 40, 50], 'tensor(float)')
    assert (level.name, level.shape) == ('level0', [1, 32, 10, 13])
    about = session.get_modelmeta().custom_metadata_map
    assert about['input'] == 'RGB, 0 to 255, float32, (1, 3, height, width)'
    assert json.loads(about['strides']) == [4]
    facts = {k: json.loads(about[k]) for k in ('format', 'size', 'batch', 'outputs', 'mean')}
    assert facts == dict(
        format=1, size=[40, 50], batch=1, outputs=['level0'], mean=[123.675, 116.28, 103.53]
    )
    assert about['task'] == 'features' and about['precision'] == 'fp32'


@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('lead', [(2,), (2, 3), (2, 3, 4), (2, 3, 4, 5)])
@pytest.mark.parametrize('options', [{}, dict(scale=0.5), dict(dropout_p=0.0, is_causal=False)])
def test_attention_is_two_products_of_four_dimensions(
    options: dict, lead: tuple[int, ...], masked: bool
) -> None:
    inputs = tuple(torch.randn(*lead, *shape) for shape in ((7, 8), (9, 8), (9, 6)))
    inputs += (torch.randn(*lead[1:], 7, 9),) * masked
    attention = Attention(options)
    program = recorded(attention, inputs)
    products = [n for n in program.graph.nodes if 'matmul' in str(n.target)]
    assert [part.meta['val'].ndim for n in products for part in n.args] == [4, 4, 4, 4]
    torch.testing.assert_close(program.module()(*inputs), attention(*inputs))


@pytest.mark.parametrize('options', [dict(is_causal=True), dict(attn_mask=torch.eye(7) > 0)])
def test_other_attention_stays_pytorchs(options: dict) -> None:
    inputs = tuple(torch.randn(2, 3, 7, 8) for _ in range(3))
    attention = Attention(options)
    program = recorded(attention, inputs)
    assert any('scaled_dot_product' in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(*inputs), attention(*inputs))


def test_layer_norm_of_a_map_is_that_of_a_sequence() -> None:
    norm, over_two = nn.LayerNorm(6), nn.LayerNorm((5, 6))
    for module, shape, ndim in (
        (norm, (2, 4, 5, 6), 3),
        (norm, (4, 6), 2),
        (over_two, (2, 4, 5, 6), 4),
    ):
        inputs = (torch.randn(shape),)
        program = recorded(module, inputs)
        (node,) = (n for n in program.graph.nodes if 'layer_norm' in str(n.target))
        assert node.args[0].meta['val'].ndim == ndim
        torch.testing.assert_close(program.module()(*inputs), module(*inputs))


class Attention(nn.Module):
    def __init__(self, options: dict) -> None:
        super().__init__()
        self.options = options

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(*inputs, **self.options)


def recorded(module: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """Trace a module as for a runtime."""
    with runtime_forms():
        return torch.export.export(module, inputs, strict=False)


@pytest.mark.slow
def test_a_file_that_disagrees_is_not_kept(tmp_path: Path, monkeypatch, small: Path) -> None:
    source = nano(CloFormer, dynamic=False, out_indices=(0,))
    wrong = {'level0': np.zeros((1, 32, 10, 13), np.float32)}
    monkeypatch.setattr(export, 'to_onnx', lambda *args, **options: None)
    monkeypatch.setattr(export, 'runner', lambda file: lambda images: [wrong])
    result = export.export(source, tmp_path / 'x.onnx', export.Target((40, 50)))
    found = result.differences
    assert not any(d.agrees for d in found) and not list(tmp_path.iterdir())
    assert '1.0e+00' in export.text(found)


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['cswin_t', '--out', 'x.pt', '--dynamic'], '--out is x.pt; allowed: a name ending in'),
        (['cswin_t', '--out', 'x.onnx', '--size', 16, 64], '--size is 16 64; allowed: at least 32'),
        (['cswin_t', '--out', 'x.onnx', '--dynamic'], 'give either a checkpoint or --pretrained'),
        (['cswin_x', '--out', 'x.onnx', '--dynamic'], 'cswin_x'),
        (['upernet_cswin_t_ade20k', '--out', 'x.onnx', '--dynamic'], 'give a checkpoint of the'),
        (
            ['upernet_cswin_t_ade20k', '--out', 'x.onnx', '--dynamic', '--pretrained'],
            '--pretrained is for a backbone alone',
        ),
        (
            ['cswin_t', '--out', 'x.onnx', '--dynamic', '--backbone', 'volo_d1'],
            'are for a config, not for a backbone',
        ),
        (
            f'{DETECTOR} x.pth --out x.onnx --dynamic --cfg-options {FIVE}'.split(),
            'bbox_head.num_classes is 5, but CocoDataset has 10 classes',
        ),
    ],
)
def test_what_cannot_end_well_is_one_line(arguments: list, message: str) -> None:
    out = tool('export', *arguments, fails=True)
    assert out.startswith('error: ') and message in out and out.count('\n') == 1


def test_a_missing_package_is_said_with_the_command(monkeypatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f'No module named {name!r}')

    monkeypatch.setattr('backbones.errors.import_module', absent)
    with pytest.raises(ImportError, match=r"onnx: pip install 'dense-backbones\[export\]'$"):
        export.check_arguments('x.onnx', export.Target(None))


def test_a_full_disk_is_said_with_what_is_free(tmp_path: Path, monkeypatch) -> None:
    def save_model(*_: object, **__: object) -> None:
        raise RuntimeError('basic_ios::clear: iostream error')

    runtime = SimpleNamespace(save_model=save_model)
    monkeypatch.setattr(openvino_file, 'package', lambda name: runtime)
    with pytest.raises(UserError, match=r'cannot write .*x\.xml: .*error; \d+ MiB are free'):
        openvino_file.save(None, tmp_path / 'x.xml', 'fp32')
    assert not [*tmp_path.iterdir()]


def test_a_model_of_another_kind_is_refused_by_name() -> None:
    with pytest.raises(UserError, match='Linear cannot be exported; allowed: a backbone, a seg'):
        exportable(nn.Linear(2, 2))


@pytest.mark.parametrize('cells', [1, 2, 3, 6])
@pytest.mark.parametrize('size', [(3, 5), (6, 4), (7, 16)], ids=str)
def test_averaging_matrices_are_adaptive_pooling(size: tuple[int, int], cells: int) -> None:
    x = draw(1, 2, *size)
    expected = nn.AdaptiveAvgPool2d(cells)(x)
    torch.testing.assert_close(AdaptiveAverage((cells, cells))(x), expected, rtol=1e-12, atol=0)


def test_pasted_masks_are_those_of_mmdetection() -> None:
    module = import_module('mmdet.models.roi_heads.mask_heads.fcn_mask_head')
    boxes = torch.tensor([[3.2, 4, 20, 30.5], [0, 0, 47, 9], [5, 6, 5, 20], [20, 32, 48, 32]])
    masks = draw(4, 28, 28).float()
    found = paste(masks.numpy(), boxes.numpy(), (32, 48))
    for whole, mask, box in zip(found, masks, boxes):
        expected = np.zeros((32, 48))
        part, place = module._do_paste_mask(mask[None, None], box[None], 32, 48, skip_empty=True)
        expected[place] = part[0]
        np.testing.assert_allclose(whole, expected, atol=1e-5)


def test_detections_are_compared_whatever_their_order() -> None:
    boxes = np.array([[0, 0, 9, 9], [5, 5, 20, 30], [1, 1, 4, 4]], np.float32)
    theirs = dict(boxes=boxes, scores=np.array([0.9, 0.8, 0.7]), labels=np.array([0, 1, 1]))
    order = [2, 0, 1]
    ours = {name: values[order] for name, values in theirs.items()}
    ours['boxes'] = ours['boxes'] + np.float32(0.05)
    lost, shift, score = compare.differences(np.zeros((40, 40, 3)), ours, theirs)
    assert (lost.found, shift.found, score.found) == (0, pytest.approx(0.05, rel=1e-3), 0)
    ours['labels'] = np.array([1, 0, 0])
    lost, *_ = compare.differences(np.zeros((40, 40, 3)), ours, theirs)
    assert lost.found == pytest.approx(1 / 3) and not lost.agrees


class Operators(nn.Module):
    """The two backbones that the old exporter got wrong, because a form writes to views."""

    def forward(self, x: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        mixed = outlook_attention(logits, x, heads=2)
        return dilated_attention(x, x.sin(), x.cos(), heads=3), mixed


def old_exporter(model: nn.Module, *inputs: Tensor) -> list[np.ndarray]:
    """Return onnxruntime's results for a file from `torch.onnx.export(dynamo=False)`."""
    file = io.BytesIO()
    with torch.no_grad():
        torch.onnx.export(model, inputs, file, dynamo=False, opset_version=18)
    session = onnxruntime.InferenceSession(file.getvalue())
    names = [i.name for i in session.get_inputs()]
    return session.run(None, {n: x.numpy() for n, x in zip(names, inputs)})


def test_the_old_exporter_gets_operators_right_that_write_to_views() -> None:
    inputs = draw(1, 7, 5, 6).float(), draw(1, 4, 3, 2 * 81).float()
    for found, expected in zip(old_exporter(Operators(), *inputs), Operators()(*inputs)):
        np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_the_old_exporter_gets_every_backbone_right(cls: type) -> None:
    model, x = nano(cls, dynamic=False).model, draw(1, 3, 97, 131).float()
    with torch.no_grad():
        expected = model(x)
    for found, level in zip(old_exporter(model, x), expected, strict=True):
        assert np.abs(found - level.numpy()).max() <= 1e-5 * level.abs().max().item()


@pytest.mark.slow
def test_cswin_moves_maps_where_openvino_does_not_have_to(tmp_path: Path) -> None:
    """It fuses these orders with the products, and convolutions may have channels last."""
    out = tmp_path / 'cswin.onnx'
    export.export(nano(CSWin, dynamic=False), out, export.Target((64, 64)))
    graph = onnx.load(out).graph
    made = {name: node for node in graph.node for name in node.output}
    read = {name: node for node in graph.node for name in node.input}

    def order(node: onnx.NodeProto | None) -> list[int]:
        moves = node is not None and node.op_type == 'Transpose'
        return list(node.attribute[0].ints) if moves else []

    lepe = [node for node in graph.node if node.op_type == 'Conv' and node.attribute]
    lepe = [c for c in lepe if any(a.name == 'group' and a.i > 1 for a in c.attribute)]
    assert {str(order(made[conv.input[0]])) for conv in lepe} == {'[0, 3, 1, 2]'}
    assert {str(order(read[conv.output[0]])) for conv in lepe} == {'[0, 2, 3, 1]'}
    softmaxes = [node for node in graph.node if node.op_type == 'Softmax']
    keys = [made[made[softmax.input[0]].input[1]] for softmax in softmaxes]
    values = [made[read[softmax.output[0]].input[1]] for softmax in softmaxes]
    assert {str(order(node)) for node in keys} == {'[0, 2, 3, 1]'}
    assert {str(order(node)) for node in values} == {'[0, 2, 1, 3]'}


@pytest.mark.slow
@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_a_backbone_for_all_sizes_is_right_at_each(cls: type, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(export, 'SIZES', ((64, 96), (67, 131), (224, 224), (33, 200)))
    out = tmp_path / 'x.onnx'
    found = export.export(nano(cls, dynamic=True), out, export.Target(None)).differences
    assert len(found) == 16 and all(d.found < 1e-5 for d in found) and out.is_file()


def spread(layer: nn.Module, _: tuple, out: Tensor) -> Tensor:
    """Shrink a layer without bias until its outputs on every level deviate by 1.5 at most."""
    factor = (1.5 / out.std()).clamp(max=1)
    layer.weight.mul_(factor)
    return out * factor


def lively(model: nn.Module, sample: type) -> None:
    """Spread a new detector's scores, because it would find nothing, or everything equally."""
    torch.manual_seed(1)  # with 0, rounding decides which of two boxes stays
    model.eval()
    hooks = []
    for name, layer in model.named_modules():
        if name.endswith(('.rpn_cls', '.retina_cls', '.fc_cls', '.fc_reg', '.conv_logits')):
            nn.init.normal_(layer.weight)
            nn.init.zeros_(layer.bias)
            hooks.append(layer.register_forward_hook(spread))
    if hooks:
        (image,) = sources.samples(
            [], [(160, 200)], Preprocessing((0,) * 3, (1,) * 3, rgb=True, divisor=32)
        )
        compare.model_in_pytorch(model, sample, 32)(image)
    for hook in hooks:
        hook.remove()


@pytest.mark.slow
@pytest.mark.parametrize('dynamic', [True, False], ids=['dynamic', 'fixed'])
@pytest.mark.parametrize(
    'name, backbone, kinds',
    [
        ('upernet_cloformer_nano_digits', None, ('logits', 'labels')),
        ('semantic_fpn_moganet_xt_ade20k', 'cloformer_xxs', ('logits', 'labels')),
        ('retinanet_moganet_xt_coco', 'cloformer_xxs', ('boxes', 'scores')),
        ('faster_rcnn_cswin_t_coco', 'cloformer_xxs', ('boxes', 'scores')),
        (DETECTOR, None, ('boxes', 'scores', 'masks')),
    ],
)
def test_a_whole_model_gives_the_numbers_of_its_library(
    name: str, backbone: str | None, kinds: tuple[str, ...], dynamic: bool, tmp_path: Path
) -> None:
    from mmengine.registry import MODELS, init_default_scope

    from backbones.openmmlab.registries import import_scope

    settings = dict(options=None, work_dir=None, data_root=None, launcher='none')
    cfg = configs.load_config(name, backbone=backbone, **settings)
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    sample = import_module(f'{cfg.default_scope}.structures')
    lively(model, getattr(sample, 'DetDataSample', None))
    torch.save(model.state_dict(), tmp_path / 'x.pth')
    size = ['--dynamic'] if dynamic else ['--size', 160, 200]
    swap = ['--backbone', backbone] if backbone else []
    out = tool('export', name, tmp_path / 'x.pth', '--out', tmp_path / 'x.onnx', *size, *swap)
    print(out)
    assert 'same numbers as PyTorch' in out and (tmp_path / 'x.onnx').is_file()
    assert all(kind in out for kind in kinds)
    assert 'twin, of 0' not in out


@pytest.mark.slow
def test_a_file_takes_as_many_channels_as_its_model(tmp_path: Path) -> None:
    """Their order is not reversed, unlike that of a colour image for a BGR model."""
    model = CloFormer(NANO[CloFormer], in_channels=5, out_indices=(0,)).eval()
    preprocessing = Preprocessing(
        (100, 200, 300, 400, 500), (10,) * 5, rgb=False, divisor=1, colours=False
    )
    source = sources.Source(
        model=model,
        preprocessing=preprocessing,
        in_pytorch=compare.backbone_in_pytorch(model, preprocessing),
        metadata={},
        images=[],
    )
    found = export.export(source, tmp_path / 'five.onnx', export.Target((40, 50))).differences
    assert all(d.found < 1e-5 for d in found)
    (image,) = onnxruntime.InferenceSession(tmp_path / 'five.onnx').get_inputs()
    assert image.shape == [1, 5, 40, 50]


def test_a_misspelt_backbone_is_named_rather_than_a_missing_checkpoint() -> None:
    with pytest.raises(FileNotFoundError, match=r"cswin_tt does not exist; did you mean 'cswin_t'"):
        sources.read_model('cswin_tt', None, backbone=None, options=None, dynamic=False)
