"""Layers that backbones share, with children that none of the five has."""

import pytest
import torch
from torch import nn

from backbones import plain
from backbones.layers import Convolutions

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
