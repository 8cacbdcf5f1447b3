"""Which variants train on which card."""

import cards
import measure
import page
import pytest
import torch
from test_benchmark import rows

import backbones

MIB = 2**20


def test_the_page_names_the_first_way_that_fits():
    # a card of 24 GB is filled to 24 * 1024 * 0.8 = 19660 MiB
    small = {'backbone': 'a', 'size': [8, 8], 'batch': 2, 'nothing': 19660, '`--amp`': 9}
    large = {'backbone': 'b', 'size': [8, 8], 'batch': 2, 'nothing': 99999, '`--amp`': 19661}
    text = rows(page.cards([small, large]))
    assert text[0] == '| backbone | nothing, MiB | `--amp`, MiB | 24 GB | 48 GB | 80 GB |'
    assert text[2:] == [
        '| a | 19660 | 9 | nothing | nothing | nothing |',
        '| b | 99999 | 19661 | too large | `--amp` | `--amp` |',
    ]


def test_every_variant_is_asked_for():
    args = measure.parse_args(['--cards', '--size', '800', '1280', '--batch', '2'])
    assert args.names == [n for n in backbones.list_backbones() if not n.endswith('_384')]


@pytest.mark.slow
def test_each_way_needs_less_and_none_less_than_the_weights():
    found = cards.step('cloformer_xxs', (128, 160), 1)
    nothing, amp, memory, both, with_cp, all_three = (found[way] for way in cards.WAYS)
    parameters = backbones.variant('cloformer_xxs').parameters
    assert nothing > amp > both > all_three > cards.STATE * parameters / MIB
    assert nothing > memory > both and memory > with_cp > all_three
    assert not torch.is_autocast_enabled('cuda')
    # with twice the images, twice as much is kept, with the same weights
    twice = cards.step('cloformer_xxs', (128, 160), 2)
    four = cards.step('cloformer_xxs', (128, 160), 4)
    for way in cards.WAYS:
        assert four[way] - twice[way] == pytest.approx(2 * (twice[way] - found[way]), rel=0.02)
