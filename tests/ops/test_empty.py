"""Operators of maps without images, which are plain wherever a module calls them."""

from collections.abc import Callable

import pytest
import torch
from conftest import draw

from backbones.ops.channel_aggregation import channel_aggregation
from backbones.ops.context_gate import context_gate
from backbones.ops.conv_mlp import conv_mlp
from backbones.ops.depthwise_conv import depthwise_conv
from backbones.ops.dilated_attention import dilated_attention
from backbones.ops.mlp import mlp
from backbones.ops.outlook_attention import outlook_attention

WIDE = draw(12, 4, 1, 1), draw(12)
DEEP = draw(12, 1, 5, 5), draw(12)
BACK = draw(4, 12, 1, 1), draw(4)
SIGMA = draw(1, 12, 1, 1)
X, MAP = draw(0, 4, 6, 5), draw(0, 6, 5, 4)
CALLS = {
    'channel_aggregation': lambda f: channel_aggregation(
        X, WIDE, DEEP, (draw(1, 12, 1, 1), draw(1)), SIGMA, BACK, backend=f
    ),
    'context_gate': lambda f: context_gate(
        draw(0, 12, 6, 5), DEEP, *[(draw(4, 4, 1, 1), draw(4))] * 2, scale=0.5, backend=f
    ),
    'conv_mlp': lambda f: conv_mlp(X, WIDE, DEEP, BACK, backend=f),
    'depthwise_conv': lambda f: depthwise_conv(X, draw(4, 1, 5, 5), draw(4), backend=f),
    'dilated_attention': lambda f: dilated_attention(
        MAP, MAP, MAP, heads=2, dilations=(1, 2), backend=f
    ),
    'mlp': lambda f: mlp(MAP, (draw(12, 4), draw(12)), (draw(4, 12), draw(4)), backend=f),
    'outlook_attention': lambda f: outlook_attention(
        draw(0, 3, 3, 162), MAP, heads=2, backend=f
    ),
}  # fmt: skip
FORMS = {'depthwise_conv': ('split',)}


@pytest.mark.parametrize('operator, call', CALLS.items(), ids=CALLS)
def test_an_empty_batch_gives_an_empty_map(operator: str, call: Callable) -> None:
    for name in ('auto', *FORMS.get(operator, ('strips',))):
        with torch.no_grad():
            assert call(name).shape[0] == 0 and call(name).numel() == 0
