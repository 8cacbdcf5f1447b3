"""The program that makes goldens and key lists from another project's module."""

import json
from pathlib import Path

import make_golden
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import drawn
from weights import image, summary

ADAPTER = """
import torch
from torch import nn

class Toy(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        level = self.norm(self.stem(x))
        return tuple(nn.functional.avg_pool2d(level, 2**i, ceil_mode=True) for i in range(4))

def published(arch):
    return Toy(dict(tiny_384=5)[arch])
"""
SHAPES = {
    'stem.weight': (5, 3, 4, 4),
    'stem.bias': (5,),
    'norm.weight': (5,),
    'norm.bias': (5,),
    'norm.running_mean': (5,),
    'norm.running_var': (5,),
    'norm.num_batches_tracked': (),
    'head.weight': (10, 5),
    'head.bias': (10,),
}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    (tmp_path / 'adapter.py').write_text(ADAPTER)
    for folder in ('golden', 'keys'):
        (tmp_path / folder).mkdir()
    words = f'{tmp_path}/adapter.py toy_tiny_384 64x64 33x47 --keys --out {tmp_path}'
    make_golden.main(words.split())
    return tmp_path


def test_keys_are_names_and_shapes_of_the_published_state_dict(made: Path) -> None:
    keys = json.loads((made / 'keys/toy_tiny_384.json').read_text())
    assert {key: tuple(shape) for key, shape in keys.items()} == SHAPES


@pytest.mark.parametrize('height, width', [(64, 64), (33, 47)])
def test_goldens_are_the_levels_in_float64_and_eval_mode(
    made: Path, height: int, width: int
) -> None:
    state = {k: v.double() for k, v in drawn(SHAPES).items()}
    x = torch.from_numpy(image(height, width))
    x = F.conv2d(x, state['stem.weight'], state['stem.bias'], stride=4)
    x = F.batch_norm(
        x, *(state[f'norm.{k}'] for k in ('running_mean', 'running_var', 'weight', 'bias'))
    )
    levels = [F.avg_pool2d(x, 2**i, ceil_mode=True).numpy() for i in range(4)]
    golden = np.load(made / f'golden/toy_tiny_384_{height}x{width}.npz')
    for key, value in summary(levels).items():
        np.testing.assert_allclose(golden[key], value, rtol=1e-12, atol=1e-12, err_msg=key)
