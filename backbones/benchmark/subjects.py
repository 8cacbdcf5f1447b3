"""What can be measured: backbones, peers, operators, whole detectors and segmentors.

A candidate is a dict: `backbone`, `op` or `config` names it; `backend`, `mode`, `size`, `batch`,
`dtype`, `threads`, `device`, `compile`, `channels_last`, `with_cp` say how it runs.
"""

from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib import import_module

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch import Tensor, nn

from backbones import create
from backbones.engine import complexity
from backbones.engine.config import import_scope, load_config
from backbones.engine.launch import replace_sync_bn
from backbones.ops import default_backend

PEERS = ('timm_swin_t', 'timm_convnext_t', 'mmdet_resnet50', 'mmdet_swin_t')
OPS = (
    *('attention', 'channel_aggregation', 'context_gate', 'conv_mlp', 'cross_shaped_attention'),
    *('decompose_context', 'depthwise_conv', 'dilated_attention', 'gated_product'),
    *('global_attention', 'mlp', 'multi_order_conv', 'outlook_attention', 'pointwise'),
)
KINDS = ('op', 'config', 'backbone')
OBJECTS = 8  # annotated instances of an image

Run = tuple[Callable, list[Tensor]]  # what is called, and with what


def name_of(candidate: dict) -> str:
    return next(candidate[key] for key in KINDS if key in candidate)


def build(candidate: dict) -> tuple[tuple[Tensor, ...], Callable[[tuple[int, int]], Run]]:
    """Build a candidate with random weights.

    Returns:
        The parameters and buffers, and a function of the size, in pixels (of operators in cells),
        that returns what is to be called with which inputs. It gives tensors whose means a training
        step adds up: features, or losses.
    """
    train, device, batch = candidate['mode'] == 'train', candidate['device'], candidate['batch']
    layout = torch.channels_last if candidate['channels_last'] else torch.contiguous_format
    compiled = partial(torch.compile, dynamic=False) if candidate['compile'] else lambda f, **_: f
    if 'op' in candidate:

        def op_at(size: tuple[int, int]) -> Run:
            run, inputs = operator(candidate['op'], batch, *size)
            inputs = [x.to(device).requires_grad_(train) for x in inputs]
            return compiled(run, fullgraph=True), inputs

        return (), op_at

    if 'config' in candidate:
        cfg = read_config(candidate['config'])
        model = whole_model(cfg)
    else:
        model = backbone(candidate['backbone'], with_cp=candidate['with_cp'])
    model.train(train)  # returns nothing in MMDetection's backbones
    model = model if device == 'cpu' else model.to(device)  # fake tensors cannot be moved
    for x in model.parameters() if candidate['channels_last'] else ():
        x.data = x.data.contiguous(memory_format=layout) if x.ndim == 4 else x.data
    if 'config' in candidate and candidate['compile']:
        model.backbone.compile(dynamic=False)  # heads have shapes that depend on the values
    forward = compiled(model, fullgraph=candidate['backend'] != 'peer')

    def at(size: tuple[int, int]) -> Run:
        images = torch.randn(batch, 3, *size, device=device).contiguous(memory_format=layout)
        if 'config' not in candidate:
            return forward, [images]
        return partial(whole_step, model, samples(cfg, batch, *size, device)), [images]

    return (*model.parameters(), *model.buffers()), at


def count_macs(candidate: dict) -> int:
    """Multiply-adds of a candidate's forward pass for one image, in the published formulation."""
    kind = next(key for key in KINDS if key in candidate)
    return _count_macs(kind, candidate[kind], tuple(candidate['size']))


@cache
def _count_macs(kind: str, name: str, size: tuple[int, int]) -> int:
    if kind == 'config':
        return complexity.complexity(read_config(name), shape=size)['macs']
    plain = dict(mode='inference', batch=1, device='meta', compile=False, channels_last=False)
    candidate = plain | {kind: name, 'with_cp': False, 'backend': 'reference'}
    with torch.device('meta'), torch.no_grad(), default_backend('reference'):
        run, inputs = build(candidate)[1](size)
        return complexity.count_macs(run, *inputs)[0]


def backbone(name: str, *, with_cp: bool) -> nn.Module:
    """One of ours, or a peer that emits four levels, without stochastic depth."""
    if name not in PEERS:
        return create(name, with_cp=with_cp)
    if name.startswith('timm'):
        import timm

        arch, options = 'convnext_tiny', {}
        if name == 'timm_swin_t':
            arch, options = 'swin_tiny_patch4_window7_224', dict(strict_img_size=False)
        return timm.create_model(arch, features_only=True, drop_path_rate=0.0, **options)
    from mmdet.models import backbones

    if name == 'mmdet_resnet50':
        return backbones.ResNet(50, norm_eval=False)
    with torch.device('cpu'):  # it computes with values
        return backbones.SwinTransformer(drop_path_rate=0.0)


def read_config(path: str) -> Config:
    return load_config(path, options=None, work_dir=None, data_root=None, launcher='none')


def whole_model(cfg: Config) -> nn.Module:
    """A detector or segmentor with random weights; BatchNorm in place of SyncBN."""
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    settings = Config(dict(model=cfg.model.to_dict())).model
    settings.backbone.pop('init_cfg', None)
    replace_sync_bn(settings)
    return MODELS.build(settings)


def whole_step(model: nn.Module, annotated: list, images: Tensor) -> tuple[Tensor, ...]:
    """Predict, or compute the losses in training mode.

    A detector with random weights finds next to nothing, so that its mask head has no work.
    """
    if not model.training:
        return tuple(model.predict(images, annotated))
    return (model.parse_losses(model.loss(images, annotated))[0],)


def samples(cfg: Config, B: int, H: int, W: int, device: str) -> list:
    """Annotations of random images: boxes with masks and labels, or a label map."""
    from mmengine.structures import InstanceData, PixelData

    shape = dict.fromkeys(('img_shape', 'ori_shape', 'pad_shape', 'batch_input_shape'), (H, W))
    meta = dict(shape, scale_factor=(1.0, 1.0), flip=False, img_id=0)
    if cfg.default_scope == 'mmseg':
        from mmseg.structures import SegDataSample

        labels = PixelData(data=torch.randint(2, (1, H, W), device=device))
        return [SegDataSample(metainfo=meta, gt_sem_seg=labels) for _ in range(B)]
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    found = []
    for _ in range(B):
        start = torch.rand(OBJECTS, 2) * 0.6
        boxes = torch.cat([start, start + 0.1 + torch.rand(OBJECTS, 2) * 0.3], 1)
        boxes *= torch.tensor([W, H, W, H])
        masks = torch.zeros(OBJECTS, H, W, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.long().tolist()):
            mask[top : bottom + 1, left : right + 1] = 1
        instances = InstanceData(
            bboxes=boxes.to(device),
            labels=torch.randint(2, (OBJECTS,), device=device),
            masks=BitmapMasks(masks.numpy(), H, W),
        )
        ignored = InstanceData(bboxes=boxes[:0].to(device))
        found.append(
            DetDataSample(metainfo=meta, gt_instances=instances, ignored_instances=ignored)
        )
    return found


def operator(name: str, B: int, H: int, W: int) -> Run:
    """An operator as the smallest variants use it in their first stage, and its inputs."""
    run = getattr(import_module(f'backbones.ops.{name}'), name)
    randn = torch.randn

    def layer(out: int, *kernel: int) -> tuple[Tensor, Tensor]:
        return randn(out, *kernel), randn(out)

    def maps(count: int, channels: int) -> list[Tensor]:
        return [randn(B, channels, H, W) for _ in range(count)]

    if name == 'attention':
        return run, [randn(B, 12, H * W, 24) for _ in range(3)]
    if name == 'channel_aggregation':
        layers = [*layer(256, 32, 1, 1), *layer(256, 1, 3, 3), *layer(1, 256, 1, 1)]
        layers += [randn(1, 256, 1, 1), *layer(32, 256, 1, 1)]
        return _paired(run, (2, 2, 2, 1, 2)), [*maps(1, 32), *layers]
    if name == 'context_gate':
        inputs = [*maps(3, 32), *layer(32, 32, 1, 1), *layer(32, 32, 1, 1)]
        return _paired(partial(run, scale=0.25), (1, 1, 2, 2)), inputs
    if name == 'conv_mlp':
        layers = [*layer(192, 48, 1, 1), *layer(192, 1, 5, 5), *layer(48, 192, 1, 1)]
        return _paired(run, (2, 2, 2)), [*maps(1, 48), *layers]
    if name == 'cross_shaped_attention':

        def stripes(qkv: Tensor, *lepe: Tensor) -> Tensor:
            return run(qkv, [lepe[:2], lepe[2:]], heads=2, stripe=1)

        return stripes, [randn(B, H, W, 192), *layer(32, 1, 3, 3), *layer(32, 1, 3, 3)]
    if name == 'decompose_context':
        return _paired(run, (2, 1)), [*maps(1, 32), *layer(32, 32, 1, 1), randn(1, 32, 1, 1)]
    if name == 'depthwise_conv':
        return partial(run, dilation=3), [*maps(1, 32), *layer(32, 1, 7, 7)]
    if name == 'dilated_attention':
        return partial(run, heads=3), [randn(B, H, W, 72) for _ in range(3)]
    if name == 'gated_product':
        return run, maps(2, 32)
    if name == 'global_attention':
        pooled = [randn(B, 16, -(-H // 8), -(-W // 8)) for _ in range(2)]
        return partial(run, heads=1), [*maps(1, 16), *pooled]
    if name == 'mlp':
        return _paired(run, (2, 2)), [randn(B, H, W, 72), *layer(288, 72), *layer(72, 288)]
    if name == 'multi_order_conv':
        layers = [layer(32, 1, 5, 5), layer(12, 1, 5, 5), layer(16, 1, 7, 7)]

        def orders(x: Tensor, *parts: Tensor) -> Tensor:
            return run(x, parts[::2], parts[1::2])

        return orders, [*maps(1, 32), *(part for pair in layers for part in pair)]
    if name == 'outlook_attention':
        logits = randn(B, (H + 1) // 2, (W + 1) // 2, 6 * 81)
        return partial(run, heads=6), [logits, randn(B, H, W, 192)]
    return run, [*maps(1, 64), *layer(256, 64, 1, 1)]


def _paired(run: Callable, lengths: Iterable[int]) -> Callable:
    """Let an operator that takes layers, (weight, bias) each, be called with flat tensors."""

    def flat(x: Tensor, *rest: Tensor) -> Tensor:
        parts = list(rest)
        groups = [[parts.pop(0) for _ in range(length)] for length in lengths]
        return run(x, *(tuple(g) if len(g) > 1 else g[0] for g in groups))

    return flat
