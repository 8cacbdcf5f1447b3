"""Mixed precision on CPUs is decided by a trial, and right or refused."""

import pytest
import torch
from conftest import NANO, tool, variant_id
from torch import Tensor, nn

from backbones import BACKBONES
from backbones.training import cpu_amp
from backbones.training.cpu_amp import decide, to_channels_last, wrong_gradients


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_the_backbones_gradients_are_right_in_bfloat16(cls: type) -> None:
    model = cls(NANO[cls], drop_path_rate=0.5)
    model.init_weights()
    assert wrong_gradients(model, image(2, 3, 64, 96)) == []
    assert all(module.training for module in model.modules())


class Noisy(nn.Module):
    """A layer whose gradient is wrong under autocast, like that of a broken kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        weight = self.conv.weight
        if torch.is_autocast_enabled('cpu'):
            weight = weight.detach() - (weight - weight.detach())
        return (nn.functional.conv2d(x, weight, self.conv.bias),)


def seconds(monkeypatch: pytest.MonkeyPatch, **of: float) -> None:
    monkeypatch.setattr(
        cpu_amp, '_seconds', lambda loss, images, half: of['bfloat16' if half else 'float32']
    )


def model_of(backbone: nn.Module) -> nn.Module:
    return nn.ModuleDict(dict(backbone=backbone, data_preprocessor=nn.Identity()))


class Plain(Noisy):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.conv(x),)


def test_wrong_gradients_keep_float32_and_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds(monkeypatch, float32=2.0, bfloat16=1.0)
    decision = decide(model_of(Noisy()), image(1, 3, 8, 8), lambda images: torch.zeros(()))
    assert not decision.bfloat16
    assert 'wrong gradients on this CPU for conv.weight' in decision.why


@pytest.mark.parametrize('time, chosen', [(1.0, True), (1.8, True), (1.95, False), (3.0, False)])
def test_the_faster_type_is_taken(time: float, chosen: bool, monkeypatch) -> None:
    seconds(monkeypatch, float32=2.0, bfloat16=time)
    decision = decide(model_of(Plain()), image(1, 3, 8, 8), lambda images: torch.zeros(()))
    assert decision.bfloat16 == chosen
    assert f'takes {time / 2:.2f} times as long' in decision.why


def test_a_model_that_fails_in_bfloat16_trains_in_float32() -> None:
    model = model_of(Plain())

    def loss(images: Tensor) -> Tensor:
        scores = model.backbone(images)[0].flatten()
        scores[torch.tensor([0])] = torch.zeros(1)  # some heads mix dtypes like this
        return scores.sum()

    decision = decide(model, image(1, 3, 8, 8), loss)
    assert not decision.bfloat16
    assert decision.why.startswith('bfloat16 fails on a CPU (RuntimeError: Index put requires')
    assert decision.why.endswith('): training in float32')
    assert model.backbone.conv.weight.is_contiguous()


def test_training_in_bfloat16_stores_maps_by_cell_but_logits_as_usual() -> None:
    model = model_of(nn.Conv2d(3, 8, 3))
    model['data_preprocessor'].forward = lambda data, training: data
    model.head = nn.Module()
    model.head.conv_seg = nn.Conv2d(8, 5, 1)
    handles = to_channels_last(model)
    images = model['data_preprocessor'](dict(inputs=image(2, 3, 8, 8), names=['a']), True)
    features = model['backbone'](images['inputs'])
    assert images['names'] == ['a']
    assert features.is_contiguous(memory_format=torch.channels_last)
    assert model.head.conv_seg(features).is_contiguous()
    for handle in handles:
        handle.remove()
    assert not model.head.conv_seg(features).is_contiguous()


@pytest.mark.slow
def test_a_training_run_says_what_it_decided(tmp_path) -> None:
    tool('make_digits', '--out', tmp_path / 'digits', '--train', '4', '--val', '2')
    common = ('configs/upernet_cloformer_nano_digits.py', '--amp', '--device', 'cpu')
    common += ('--data-root', tmp_path / 'digits', '--work-dir', tmp_path / 'work', '--no-results')
    steps = ('--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    out = tool('train', *common, *steps)
    assert 'AMP: a step in bfloat16 takes' in out or 'wrong gradients on this CPU' in out
