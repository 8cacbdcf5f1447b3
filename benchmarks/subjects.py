"""The subjects of measurements: backbones, peers, operators, whole detectors and segmentors.

A candidate is a dict: `backbone`, `op` or `config` names it; `backend`, `mode`, `size`, `batch`,
`dtype`, `threads`, `device`, `compile`, `channels_last`, `with_cp` say how it runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache

import timm
import torch
from mmengine.registry import MODELS
from operators import Shapes, examples
from torch import Tensor, nn

from backbones import create
from backbones.openmmlab import complexity
from backbones.openmmlab.build import build_model
from backbones.openmmlab.config import load_config
from backbones.openmmlab.registries import import_scope
from backbones.ops.dispatch import plain
from backbones.registry import SCHEMES

# with four levels and without stochastic depth: arguments for timm, or a config for MMDetection
PEERS = dict(
    timm_swin_t=dict(model_name='swin_tiny_patch4_window7_224', strict_img_size=False),
    timm_convnext_t=dict(model_name='convnext_tiny'),
    mmdet_resnet50=dict(type='mmdet.ResNet', depth=50, norm_eval=False),
    mmdet_swin_t=dict(type='mmdet.SwinTransformer', drop_path_rate=0.0),
)


def build(candidate: dict) -> nn.Module:
    """Build a candidate with random weights; see `draw_inputs` for its inputs."""
    torch.manual_seed(0)  # so that the candidates of a model share their weights
    with torch.device(candidate['device']):
        if 'op' in candidate:
            model = examples(1, 1, 1)[candidate['op']][0]()
        elif 'config' in candidate:
            model = build_model(load_config(candidate['config']))
        elif candidate['backbone'] in PEERS:
            model = peer(candidate['backbone']).to(candidate['device'])
        else:
            model = create(candidate['backbone'], with_cp=candidate['with_cp'])
    model.train(candidate['mode'] == 'train')  # returns None in MMDetection's backbones
    for x in model.parameters():
        x.data = in_layout(candidate, x.data)
    if candidate['compile']:
        # the shapes in heads depend on values
        part = model.backbone if 'config' in candidate else model
        part.compile(dynamic=False, fullgraph=candidate['backend'] != 'peer')
    return model


def peer(name: str) -> nn.Module:
    if 'type' not in PEERS[name]:
        return timm.create_model(**PEERS[name], features_only=True)
    import_scope('mmdet')
    with torch.device('cpu'):  # Swin's constructor computes with values
        return MODELS.build(PEERS[name])


def draw_inputs(candidate: dict, size: Sequence[int]) -> list:
    """Draw random inputs, nested lists of tensors; size in pixels, for operators in cells."""
    batch, device, train = candidate['batch'], candidate['device'], candidate['mode'] == 'train'
    with torch.device(device):
        if 'op' in candidate:
            return draw(examples(batch, *size)[candidate['op']][1], grad=train)
        images = in_layout(candidate, torch.randn(batch, 3, *size))
    if 'config' not in candidate:
        return [images]
    samples = annotations(load_config(candidate['config']).default_scope, batch, tuple(size))
    return [images, [sample.to(device) for sample in samples], 'loss' if train else 'predict']


def draw(shapes: tuple[int, ...] | Shapes, *, grad: bool) -> Tensor | list:
    if isinstance(shapes, list):
        return [draw(part, grad=grad) for part in shapes]
    return torch.randn(shapes, requires_grad=grad)


def annotations(scope: str, B: int, size: tuple[int, int]) -> list:
    """Return annotations for random images: boxes with masks and labels, or a label map."""
    if scope == 'mmdet':
        from mmdet.testing import demo_mm_inputs

        demo = demo_mm_inputs(B, (3, *size), num_items=[8] * B, num_classes=2, with_mask=True)
        samples = demo['data_samples']
    else:
        from mmengine.structures import PixelData
        from mmseg.structures import SegDataSample

        labels = PixelData(data=torch.randint(2, (1, *size)))
        samples = [SegDataSample(gt_sem_seg=labels) for _ in range(B)]
    shape = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), size)
    for sample in samples:
        sample.set_metainfo(dict(shape, scale_factor=(1.0, 1.0)))
    return samples


def in_layout(candidate: dict, x: Tensor) -> Tensor:
    last = candidate['channels_last'] and x.ndim == 4
    return x.contiguous(memory_format=torch.channels_last) if last else x


def tensors_of(x: object) -> list[Tensor]:
    """Return the tensors in nested lists, tuples and dicts."""
    x = list(x.values()) if isinstance(x, dict) else x
    if isinstance(x, list | tuple):
        return [tensor for part in x for tensor in tensors_of(part)]
    return [x] if isinstance(x, Tensor) else []


def prepare(candidate: dict, model: nn.Module, size: Sequence[int]) -> Callable[[], None]:
    """Return the step to time: inference, or forward and backward without an optimizer."""
    train, inputs = candidate['mode'] == 'train', draw_inputs(candidate, size)

    def step() -> None:
        with running(candidate), torch.inference_mode(not train):
            out = model(*inputs)
        if train:
            with running(candidate, autocast=False):
                sum(x.float().mean() for x in tensors_of(out)).backward()
            for x in (*model.parameters(), *tensors_of(inputs)):
                x.grad = None

    return step


@contextmanager
def running(candidate: dict, *, autocast: bool = True) -> Iterator[None]:
    """Run with the candidate's backend and dtype."""
    published = plain() if candidate['backend'] == 'plain' else nullcontext()
    half = autocast and candidate['dtype'] == 'bfloat16'
    amp = torch.autocast(candidate['device'], torch.bfloat16, enabled=half)
    with published, amp:
        yield


def kind_of(candidate: dict) -> str:
    return next(kind for kind in ('op', 'config', 'backbone') if kind in candidate)


def is_peer(name: str | None) -> bool:
    """Return whether a backbone is another library's: one of `PEERS`, or 'timm:NAME'."""
    return name is not None and (name in PEERS or name.startswith(tuple(SCHEMES)))


@cache
def count_parameters(name: str) -> int:
    """Count a backbone's parameters."""
    candidate = dict(backbone=name, mode='inference', device='meta', with_cp=False)
    model = build(candidate | dict(compile=False, channels_last=False))
    return sum(p.numel() for p in model.parameters())


@cache
def count_macs(kind: str, name: str, size: tuple[int, int]) -> int:
    """Count the multiply-adds of a forward pass for one image, in the published formulation."""
    if kind == 'config':
        return complexity.complexity(load_config(name), shape=size)['macs']
    candidate = {kind: name, 'mode': 'inference', 'device': 'meta', 'batch': 1}
    candidate |= dict(with_cp=False, compile=False, channels_last=False)
    with torch.no_grad(), plain():
        return complexity.count_macs(build(candidate), *draw_inputs(candidate, size))[0]
