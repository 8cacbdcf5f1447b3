"""Backbones in every way to run them, and a training step of each quickstart config, on a GPU."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import NANO, ROOT
from subjects import annotations as draw_annotations
from subjects import tensors_of
from torch import Tensor, nn

from backbones.openmmlab.build import build_model
from backbones.openmmlab.config import load_config

pytestmark = pytest.mark.gpu
QUICKSTART = sorted(p.stem for p in (ROOT / 'configs').glob('*_nano_digits.py'))
# the error of levels relative to their largest value, and of all gradients relative to their norm
WAYS = {
    'eager': (1e-4, 1e-4),
    'compiled': (1e-4, 1e-4),
    'amp': (0.05, 0.05),
    'with_cp': (1e-4, 1e-4),
    'channels_last': (1e-4, 1e-4),
}


def step(model: nn.Module, images: Tensor, amp: bool) -> tuple[list[Tensor], Tensor]:
    """Levels, and the gradients of all parameters side by side."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=amp):
        levels = model(images)
    draws = torch.Generator().manual_seed(0)  # the mean of a normalised level's squares is constant
    weights = [torch.randn(x.shape, generator=draws, dtype=torch.float64).to(x) for x in levels]
    sum((w * level).double().sum() for w, level in zip(weights, levels)).backward()
    gradients = [p.grad.flatten().cpu().double() for p in model.parameters()]
    return [level.detach().cpu().double() for level in levels], torch.cat(gradients)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('cls', NANO, ids=lambda cls: cls.__name__)
def test_every_way_gives_the_numbers_of_float64(cls: type, way: str, device: str) -> None:
    exact = cls(NANO[cls], norm_eval=True).double().train()
    images = torch.randn(2, 3, *((200, 333) if device == 'cuda' else (64, 75)))
    ours = cls(NANO[cls], norm_eval=True, with_cp=way == 'with_cp').train()
    ours.load_state_dict(copy.deepcopy(exact.state_dict()))
    ours.to(device)
    x = images.to(device)
    if way == 'channels_last':
        ours, x = (t.to(memory_format=torch.channels_last) for t in (ours, x))
    if way == 'compiled':
        ours.compile(fullgraph=True, backend='inductor' if device == 'cuda' else 'aot_eager')
    expected, theirs = step(exact, images.double(), amp=False)
    levels, gradients = step(ours, x, amp=way == 'amp')
    error, gradient_error = WAYS[way]
    for found, level in zip(levels, expected):
        assert (found - level).abs().max() <= error * level.abs().max()
    assert (gradients - theirs).norm() <= gradient_error * theirs.norm()


@pytest.mark.parametrize('name', QUICKSTART)
def test_a_quickstart_config_takes_a_training_step(name: str, device: str) -> None:
    cfg = load_config(str(ROOT / f'configs/{name}.py'))
    model = build_model(cfg)
    model.init_weights()  # otherwise DINO's heads are uninitialised memory
    model.to(device).train()
    samples = [s.to(device) for s in draw_annotations(cfg.default_scope, 2, (128, 160))]
    images = torch.randn(2, 3, 128, 160, device=device)
    losses = [x for x in tensors_of(model(images, samples, 'loss')) if x.requires_grad]
    assert losses and all(x.isfinite().all() for x in losses)
    sum(x.sum() for x in losses).backward()
    for parameter in model.backbone.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
    before = [p.detach().clone() for p in model.backbone.parameters()]
    torch.optim.AdamW(model.parameters(), lr=1e-4).step()
    assert all((p != b).any() for p, b in zip(model.backbone.parameters(), before))


@pytest.fixture
def one_process(device: str, tmp_path: Path) -> Iterator[None]:
    """A process group of one process if there is a GPU; on the CPU, SyncBN is plain BatchNorm."""
    if device == 'cuda':
        store = f'file://{tmp_path}/store'
        torch.distributed.init_process_group('nccl', store, rank=0, world_size=1)
    yield
    if device == 'cuda':
        torch.distributed.destroy_process_group()


@pytest.mark.usefixtures('one_process')
def test_synchronised_batch_norm_equals_the_plain_one(device: str) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).to(device)
    synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    images = torch.randn(2, 3, 20, 23, device=device)
    found, expected = ([m(images), *m[1].buffers()] for m in (synchronised, plain))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
