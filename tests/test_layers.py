"""Layers that backbones share, with children that none of the five has."""

import pytest
import torch
from conftest import variant_id
from torch import nn

from backbones import BACKBONES, plain
from backbones.errors import UserError
from backbones.layers import Convolutions, DropPath, LayerNorm, Mlp, convolve, depthwise
from backbones.ops._watchers import remember_layers


class Standardised(nn.Conv2d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


class Scaled(nn.Conv2d):
    def _conv_forward(self, x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return 2 * super()._conv_forward(x, *parameters)


class Shifted(nn.GELU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


class Clipped(nn.ReLU):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).clamp(max=0.5)


class GluMlp(Mlp):
    def __init__(self, dim: int) -> None:
        super().__init__(dim, 2)
        self.act = nn.SiLU()
        remember_layers(self)


CHAINS = {
    'a GELU before a 1x1 convolution': [nn.Conv2d(4, 8, 3, 1, 1), nn.GELU(), nn.Conv2d(8, 4, 1)],
    'a GELU before a norm': [nn.Conv2d(4, 4, 3, 1, 1), nn.GELU(), nn.BatchNorm2d(4)],
    'a GELU at the end': [nn.Conv2d(4, 4, 3, 1, 1), nn.GELU()],
    'the approximate GELU': [nn.GELU('tanh'), nn.Conv2d(4, 4, 3, 1, 1)],
    'a ReLU at the beginning': [nn.ReLU(), nn.Conv2d(4, 4, 3, 1, 1)],
    'a strided 1x1 convolution': [nn.Conv2d(4, 4, 1, 2)],
    'a depthwise convolution': [nn.Conv2d(4, 4, 3, 1, 1, groups=4)],
    'a dilated convolution': [nn.GELU(), nn.Conv2d(4, 4, 3, 1, 2, dilation=2)],
    'an oblong convolution': [nn.Conv2d(4, 4, (1, 7), 1, (0, 3))],
    'padding with copies': [nn.Conv2d(4, 4, 3, 1, 1, padding_mode='replicate')],
    'padding by name': [nn.Conv2d(4, 4, 3, padding='same')],
    'a convolution of another kind': [Standardised(4, 8, 3, 1, 1), nn.GELU(), Scaled(8, 4, 1)],
    'activations of another kind': [Shifted(), nn.BatchNorm2d(4), Clipped(), nn.Conv2d(4, 4, 3)],
}


@pytest.mark.parametrize('layers', CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize('training', [False, True])
def test_convolutions_compute_what_their_layers_say(layers: list, training: bool) -> None:
    model = Convolutions(*layers).double().train(training)
    image = torch.randn(2, 4, 9, 12, dtype=torch.double, requires_grad=training)
    given = image.clone()
    fast = model(given)
    assert torch.equal(given, image)
    with plain():
        torch.testing.assert_close(fast, model(image), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    'settings',
    [
        dict(kernel_size=3),
        dict(kernel_size=4, padding=2),
        dict(kernel_size=(3, 5), padding=(1, 2)),
        dict(kernel_size=3, padding=1, stride=(1, 2)),
        dict(kernel_size=3, padding=2, stride=2, dilation=2),
        dict(kernel_size=3, padding=1, padding_mode='reflect'),
        dict(kernel_size=3, padding='same'),
        dict(kernel_size=3, padding=1, groups=2),
        dict(kernel_size=3, padding=3, dilation=3, bias=False),
    ],
    ids=str,
)
def test_helpers_compute_what_the_convolution_says(settings: dict) -> None:
    x = torch.randn(2, 4, 9, 12, dtype=torch.double)
    conv = nn.Conv2d(4, 4, **{'groups': 4, **settings}).double()
    torch.testing.assert_close(depthwise(conv)(x), conv(x))
    torch.testing.assert_close(convolve(conv, x, gelu=True), conv(nn.functional.gelu(x)))


def test_transposed_convolutions_compute_what_they_say() -> None:
    x = torch.randn(2, 4, 5, 6, dtype=torch.double)
    for settings in (dict(output_padding=1), dict(groups=2), dict(dilation=2), {}):
        conv = nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, **settings).double()
        torch.testing.assert_close(convolve(conv, x), conv(x))


def test_a_subclass_with_other_layers_computes_them() -> None:
    model, x = GluMlp(4).double(), torch.randn(2, 3, 3, 4, dtype=torch.double)
    torch.testing.assert_close(model(x), model.fc2(model.act(model.fc1(x))))


def test_drop_path_keeps_some_images() -> None:
    with pytest.raises(UserError, match=r'drop_prob is 1.0; allowed: a probability in \[0, 1\)'):
        DropPath(1.0)


def test_layer_norm_sums_up_its_gradients_in_float32() -> None:
    norm, x = LayerNorm(8), torch.randn(20000, 8).bfloat16()
    direction = torch.rand(x.shape).bfloat16()
    found = []
    for values in (x.float(), x):
        values.requires_grad_()
        out = norm(values)
        assert out.dtype is values.dtype
        inputs = [values, *norm.parameters()]
        found.append(torch.autograd.grad(out, inputs, direction.to(out.dtype)))
    for exact, rough in zip(*found):
        assert (rough - exact).norm() <= 0.01 * exact.norm()


@pytest.mark.parametrize('cls', BACKBONES, ids=variant_id)
def test_backbones_have_no_other_layer_norm(cls: type) -> None:
    norms = [m for m in cls(cls.NANO).modules() if isinstance(m, nn.LayerNorm)]
    assert all(isinstance(norm, LayerNorm) for norm in norms)
