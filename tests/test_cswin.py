"""What CSWin does differently: its norms and its stripes in published files."""

from pathlib import Path

import pytest
import torch
from conftest import published_shapes, published_state

from backbones import CSWin
from backbones.checkpoints import match


@pytest.mark.parametrize('layout', ['cswin_tiny', 'cswin_tiny_dense'])
def test_norms_come_from_the_classifier_or_the_dense_file(layout: str, tmp_path: Path) -> None:
    file, dense = tmp_path / 'published.pth', layout.endswith('dense')
    state = published_state(layout)
    if dense:  # a whole segmentor
        wrapped = {'backbone.' + k: t for k, t in state.items()}
        torch.save({'state_dict': {**wrapped, 'decode_head.conv_seg.bias': torch.ones(2)}}, file)
    else:  # the averaged weights take precedence
        wrapped = {'module.' + k: t for k, t in state.items()}
        torch.save({'state_dict': {'norm.weight': torch.ones(3)}, 'state_dict_ema': wrapped}, file)
    model = CSWin('tiny', init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    model.init_weights()
    expected = {f'norm{i}': state[f'norm{i}.weight'] if dense else None for i in (1, 2, 3, 4)}
    expected['norm4'] = state['norm4.weight' if dense else 'norm.weight']
    for name, values in expected.items():
        norm = getattr(model, name)
        assert torch.equal(norm.weight, torch.ones_like(norm.weight) if values is None else values)
    block = model.stages[2].blocks[20]
    assert torch.equal(block.norm2.weight, state['stage3.20.norm2.weight'])
    assert torch.equal(block.attn.lepe[1].weight, state['stage3.20.attns.1.get_v.weight'])


def test_refuses_half_of_the_dense_norms() -> None:
    with torch.device('meta'):
        model = CSWin('tiny')
        dense = {k: torch.empty(s) for k, s in published_shapes('cswin_tiny_dense').items()}
    partial = {k: t for k, t in dense.items() if not k.startswith('norm2.')}
    assert match(model, dense).problems == ''
    assert 'norm2.weight' in match(model, partial).problems
    both = {**dense, 'norm.weight': dense['norm4.weight']}
    assert 'norm.weight' in match(model, both).problems


def test_shares_keys_but_not_stripes_with_its_384_pixel_models() -> None:
    assert CSWin.ARCHS['base_384'] == {**CSWin.ARCHS['base'], 'stripes': (1, 2, 12)}
    with torch.device('meta'):
        large = CSWin('large')
    assert large.channels == (144, 288, 576, 1152)
    stripes = [stage.blocks[0].attn.stripe for stage in large.stages]
    assert stripes == [1, 2, 7, None]
