"""Published detectors and segmentors load whole into this project's leaves.

The files cannot be committed, but their layout can: `keys/*_dense.json` for the backbones and
`keys/whole/METHOD.json` for necks and heads, where 'C0' to 'C3' are the backbone's widths. The
latter lists are state dicts of models that the old libraries built from their own base configs:
MMDetection 2.26.0 (Cascade with GIoU: its ConvNeXt config, which has the same heads) and
MMSegmentation 0.29.1, both on MMCV 1.7.2, with the widths of all six MogaNets; MMSegmentation
0.11.0 with those of CSWin gives the same UperNet. Names, shapes and the order of classes are those
of MMDetection 3.x and MMSegmentation 1.x.
"""

import json
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import HERE, ROOT, drawn, file_name, published_shapes, split_leaf, tool
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset
from torch import Tensor, nn

from backbones import checkpoints
from backbones.checkpoints import load_model
from backbones.openmmlab.registries import import_scope

CLASSES = {
    name: cls.METAINFO['classes']
    for name, cls in (('mmdet', CocoDataset), ('mmseg', ADE20KDataset))
}
PUBLISHED = yaml.safe_load((ROOT / 'configs/published.yml').read_text())['configs']
# whole models that the authors published, with method and variant
LEAVES = {leaf: split_leaf(leaf)[:2] for leaf, facts in PUBLISHED.items() if 'checkpoint' in facts}
SMALLEST = {  # by method and backbone; later entries replace earlier, larger ones
    (method, row.cls): leaf
    for leaf, (method, row) in sorted(LEAVES.items(), key=lambda each: -each[1][1].parameters)
}.values()


def quick(leaves: Iterable[str]) -> list:
    """All leaves, of which the default suite takes these."""
    return [pytest.param(x, marks=[] if x in leaves else [pytest.mark.slow]) for x in LEAVES]


WITH_VALUES = quick(('mask_rcnn_moganet_xt_coco',))
WITHOUT_VALUES = quick(SMALLEST)


@cache
def shapes_of(leaf: str) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of a published whole model."""
    method, row = LEAVES[leaf]
    terms = {f'C{i}': dim for i, dim in enumerate(row.channels)}
    heads = json.loads((HERE / f'keys/whole/{method}.json').read_text())
    keys = published_shapes(f'{file_name(row)}_dense')
    return {f'backbone.{k}': s for k, s in keys.items()} | {
        k: tuple(sum(terms.get(t) or int(t) for t in str(n).split(' + ')) for n in shape)
        for k, shape in heads.items()
    }


@cache
def values_of(leaf: str) -> dict[str, Tensor]:
    """Its weights, which no test changes."""
    return drawn(shapes_of(leaf))


def empty_model(leaf: str, device: str) -> nn.Module:
    cfg = Config.fromfile(ROOT / f'configs/{leaf}.py')
    import_scope(cfg.default_scope)
    init_default_scope(cfg.default_scope)
    from mmengine.registry import MODELS

    cfg.model.backbone.init_cfg = None
    with torch.device(device):
        return revert_sync_batchnorm(MODELS.build(cfg.model)).eval()


@cache
def meta_model(leaf: str) -> nn.Module:
    """A model without values: loading into it changes nothing."""
    return empty_model(leaf, 'meta')


def save(state: dict[str, Tensor], path: Path, *, library: str) -> Path:
    """Write a file like MMCV 1.x, with everything that OpenMMLab's tools add to the weights."""
    ordered = OrderedDict(state)
    ordered._metadata = OrderedDict({'': dict(version=1), 'backbone': dict(version=1)})
    weights = [v for v in state.values() if v.dim()][:2]
    meta = {
        f'{library}_version': '0.1.0+386b548',
        'mmcv_version': '1.7.0',
        'time': 'Sun Jan  1 12:00:00 2023',
        'epoch': 12,
        'iter': 160000,
        'seed': 0,
        'exp_name': f'{path.stem}.py',
        'config': "model = dict(type='EncoderDecoder')\n",
        'env_info': 'sys.platform: linux\nPython: 3.8.13',
        'CLASSES': CLASSES[library],
        'PALETTE': [[120, 120, 120], (180, 120, 120)],
        'hook_msgs': dict(best_score=np.float64(0.4929), best_ckpt='best.pth', last_ckpt=None),
        'palette_of_own_classes': np.zeros((2, 3), np.uint8),
    }
    moments = [dict(step=5, exp_avg=v, exp_avg_sq=v) for v in weights]
    group = dict(lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05, amsgrad=False)
    optimizer = dict(
        state=dict(enumerate(moments)), param_groups=[{**group, 'params': [0, 1], 'initial_lr': 1}]
    )
    new = path.with_suffix('.new')
    torch.save(dict(meta=meta, state_dict=ordered, optimizer=optimizer), new)
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(path, 'w') as target:
        for name in source.namelist():  # numpy 1 had these functions in another module
            content = source.read(name)
            if name.endswith('/data.pkl'):
                assert b'cnumpy._core.multiarray\n' in content
                content = content.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
            target.writestr(name, content)
    new.unlink()
    return path


@torch.inference_mode()
def outputs(model: nn.Module) -> list[Tensor]:
    """Return feature maps, and every head's outputs for them or for features of two boxes."""
    generator = torch.Generator().manual_seed(0)
    maps = model.backbone(torch.randn(1, 3, 64, 96, generator=generator))
    found = [*maps]
    if hasattr(model, 'decode_head'):
        levels = model.neck(maps) if model.with_neck else maps
        found.append(model.decode_head(levels))
        if model.with_auxiliary_head:
            found.append(model.auxiliary_head(levels))
        return found
    levels = model.neck(maps)
    found += levels
    for answer in (model.rpn_head if hasattr(model, 'rpn_head') else model.bbox_head)(levels):
        found += answer
    if not hasattr(model, 'roi_head'):
        return found
    for part, size in ((model.roi_head.bbox_head, 7), (model.roi_head.mask_head, 14)):
        for head in part if isinstance(part, nn.ModuleList) else [part]:
            answer = head(torch.randn(2, 256, size, size, generator=generator))
            found += answer if isinstance(answer, tuple) else [answer]
    return found


def own_names(model: nn.Module, state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The same values under our names: the backbone loaded alone, as for the golden features."""
    backbone = deepcopy(model.backbone)
    part = {k.removeprefix('backbone.'): v for k, v in state.items() if k.startswith('backbone.')}
    torch.save(part, path)
    checkpoints.load_backbone(backbone, str(path))
    path.unlink()
    own = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    return own | {k: v for k, v in state.items() if not k.startswith('backbone.')}


@pytest.mark.parametrize('leaf', WITH_VALUES)
def test_a_published_file_gives_the_model_that_our_own_names_give(
    leaf: str, tmp_path: Path
) -> None:
    state = values_of(leaf)
    library = 'mmseg' if 'ade20k' in leaf else 'mmdet'
    path = save(state, tmp_path / f'{leaf}.pth', library=library)
    published = empty_model(leaf, 'cpu')
    own = deepcopy(published)
    load_model(published, str(path))
    path.unlink()
    torch.save({'state_dict': own_names(own, state, tmp_path / 'part.pth')}, tmp_path / 'own.pth')
    load_model(own, str(tmp_path / 'own.pth'))
    (tmp_path / 'own.pth').unlink()
    results = outputs(published)
    assert len(results) > 4
    for ours, theirs in zip(outputs(own), results, strict=True):
        assert ours.isfinite().all() and ours.std() > 0.01
        assert torch.equal(ours, theirs)
    ours = own.state_dict()
    for key, value in published.state_dict().items():
        assert torch.equal(value, ours[key]), key
        if not key.startswith('backbone.'):
            assert torch.equal(value, state[key]), key


@pytest.fixture
def load_empty(monkeypatch):
    """Load a state dict without values, as if it came from a file, into a model without values."""

    def load(model: nn.Module, state: dict[str, Tensor]) -> None:
        file = {'meta': {}, 'state_dict': state}
        monkeypatch.setattr('backbones.checkpoints.load.read', lambda path: file)
        load_model(model, 'published.pth')

    return load


@pytest.mark.parametrize('leaf', WITHOUT_VALUES)
def test_every_published_file_loads_strictly(leaf: str, load_empty) -> None:
    state = {k: torch.empty(s, device='meta') for k, s in shapes_of(leaf).items()}
    model = meta_model(leaf)
    load_empty(model, state)
    load_empty(model, {f'module.{k}': v for k, v in state.items()})


@pytest.mark.parametrize('leaf', SMALLEST)
def test_one_key_that_does_not_fit_is_named(leaf: str, load_empty) -> None:
    state = {k: torch.empty(s, device='meta') for k, s in shapes_of(leaf).items()}
    model = meta_model(leaf)
    for part in (True, False):
        keys = [k for k in state if k.startswith('backbone.') == part]
        victim = next(k for k in keys[len(keys) // 2 :] if k.endswith('weight'))
        name = re.escape(victim)
        ours = r'backbone\.stages\.\S+\.weight' if part else name

        with pytest.raises(ValueError, match=rf'{model.__class__.__name__} \n1 missing in the file:'
                           rf'\n  {ours}\nUse the config'):  # fmt: skip
            load_empty(model, {k: v for k, v in state.items() if k != victim})
        with pytest.raises(ValueError, match=rf' \n1 unknown to the model:\n  {name}_x\nUse the'):
            load_empty(model, {**state, f'{victim}_x': state[victim]})
        wrong = {**state, victim: torch.empty(3, 5, device='meta')}
        shapes = rf'{name} \(3, 5\) \(here \(.*\)\)'
        with pytest.raises(
            ValueError, match=rf' \n1 of another shape:\n  {shapes}\nUse the config'
        ):
            load_empty(model, wrong)


SCALE = ('test_dataloader.dataset.pipeline.1.scale=(96,72)',)
FEW_BOXES = ('model.test_cfg.rpn.max_per_img=50', 'model.test_cfg.rcnn.max_per_img=5')
TTA_SCALES = [f'tta_pipeline.1.transforms.0.{i}.scale={(32 + 16 * i, 64)}' for i in range(6)]


@pytest.mark.parametrize(
    'leaf, data, flags, options, metrics',
    [
        pytest.param(
            'mask_rcnn_moganet_xt_coco', 'coco', (),
            (*SCALE, 'model.test_cfg.rcnn.score_thr=0.001', *FEW_BOXES),
            {'coco/bbox_mAP', 'coco/segm_mAP'}, marks=pytest.mark.slow,
        ),
        pytest.param(
            'upernet_cswin_t_ade20k', 'ade', (), SCALE, {'mIoU', 'aAcc'}, marks=pytest.mark.slow
        ),
        ('semantic_fpn_moganet_xt_ade20k', 'ade', ('--tta',),
         (*TTA_SCALES, 'test_dataloader.dataset.indices=1'), {'mIoU', 'aAcc'}),
    ],
)  # fmt: skip
def test_the_test_tool_takes_the_published_file(
    leaf: str, data: str, flags: tuple, options: tuple, metrics: set, trees: Path, tmp_path: Path
) -> None:
    library = 'mmseg' if data == 'ade' else 'mmdet'
    path = save(values_of(leaf), tmp_path / f'{leaf}.pth', library=library)
    options = [str(o).replace(' ', '') for o in options]
    out = tool('test', f'configs/{leaf}.py', path, *flags, '--data-root', trees / data,
               '--work-dir', tmp_path, '--cfg-options', 'test_dataloader.num_workers=0',
               'test_dataloader.persistent_workers=False', *options)  # fmt: skip
    path.unlink()
    assert 'Traceback' not in out
    assert metrics <= set(json.loads((tmp_path / 'metrics.json').read_text())['metrics'])
