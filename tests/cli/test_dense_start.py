"""Choosing the whole model from which a training run starts, and re-initialising class layers."""

import functools
import http.server
import threading
from pathlib import Path

import pytest
import torch
from conftest import as_a_process, tool
from mmengine.config import Config
from own_data import make_coco

from backbones.checkpoints import files, load_model, torch_files
from backbones.cli import dense_start
from backbones.cli.dense_start import answers, choose_start, published_files
from backbones.errors import UserError
from backbones.openmmlab.build import build_model, enter_library
from backbones.package_files import config_file

BASE = 'mask_rcnn_moganet_t_coco'


def test_every_published_model_has_a_config_and_an_address() -> None:
    files = published_files()
    assert len(files) >= 30
    assert all(Path(config_file(name)).is_file() for name in files)
    assert all(url.startswith('https://') and url.endswith('.pth') for url in files.values())


def test_the_authors_model_is_the_default_where_the_network_answers(monkeypatch) -> None:
    url = published_files()[BASE]
    monkeypatch.setattr(dense_start, 'answers', lambda asked: asked == url)
    assert choose_start(None, BASE)[0] == url
    assert choose_start(None, f'configs/{BASE}.py')[0] == url
    assert choose_start('coco', BASE) == (url, '')
    assert choose_start('none', BASE) == (None, '')
    assert choose_start('own.pth', BASE) == ('own.pth', '')
    assert choose_start(None, BASE, backbone='cswin_t') == (None, '')
    assert choose_start('coco', BASE, backbone='cswin_t') == (url, '')
    assert choose_start(None, 'mask_rcnn_cswin_t_coco') == (None, ''), 'none was published'
    monkeypatch.setattr(dense_start, 'answers', lambda asked: False)
    file, notice = choose_start(None, BASE)
    assert file is None and 'cannot be reached. Fetch it elsewhere and give it with' in notice


@pytest.mark.parametrize(
    'given, base, changed, message',
    [
        ('coco', 'mask_rcnn_cswin_t_coco', None, 'no such model of mask_rcnn_cswin_t_coco was'),
        ('ade20k', BASE, None, f'no such model of {BASE} was published; allowed with --base'),
        ('coco', BASE, '5 channels', 'does not fit 5 channels; remove one of them'),
    ],
)
def test_what_was_not_published_is_refused(given, base, changed, message) -> None:
    with pytest.raises(UserError, match=message):
        choose_start(given, base, changed=changed)


def test_a_server_is_asked_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / 'there.pth').write_bytes(b'')

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.HTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f'http://127.0.0.1:{server.server_port}'
        assert answers(f'{place}/there.pth') and not answers(f'{place}/gone.pth')
        server.shutdown()
    assert not answers(f'{place}/there.pth')


def test_a_config_begins_with_a_file_and_names_the_layers_that_start_anew(tmp_path: Path) -> None:
    base, file, out = 'retinanet_cloformer_nano_small', tmp_path / 'start.pth', tmp_path / 'own.py'
    cfg = Config.fromfile(config_file(base))
    cfg.model.bbox_head.num_classes = 7
    with as_a_process():
        enter_library(cfg)
        torch.save(dict(state_dict=build_model(cfg).state_dict()), file)
    root = make_coco(tmp_path / 'data')
    said = tool('new_config', root, '--base', base, '--out', out, '--start', file)
    own = Config.fromfile(out)
    assert own.load_from == str(file) and own.model.backbone.get('init_cfg') is None
    assert 're-initialised for other classes: bbox_head.retina_cls.weight' in said
    other = 'semantic_fpn_cloformer_nano_small'
    cfg = Config.fromfile(config_file(other))
    with as_a_process():
        enter_library(cfg)
        torch.save(dict(state_dict=build_model(cfg).state_dict()), file)
    before = out.read_text()
    said = tool('new_config', root, '--base', base, '--out', out, '--start', file, fails=True)
    assert "does not fit this config's RetinaNet" in said and out.read_text() == before


def test_a_model_lends_all_but_its_backbone_to_another_one(tmp_path: Path, monkeypatch) -> None:
    base, file, out = 'retinanet_cloformer_nano_small', tmp_path / 'start.pth', tmp_path / 'own.py'
    cfg = Config.fromfile(config_file(base))
    cfg.model.bbox_head.num_classes = 2  # as many as the data have
    with as_a_process():
        enter_library(cfg)
        lent = build_model(cfg).state_dict()
        torch.save(dict(state_dict=lent), file)
    options = ('--base', base, '--out', out, '--start', file, '--backbone', 'moganet_xt')
    reads = []
    monkeypatch.setattr(files, 'load', lambda path: reads.append(path) or torch_files.load(path))
    said = tool('new_config', make_coco(tmp_path / 'data'), *options)
    assert reads == [file]  # once
    assert f'loaded from {file}, without its backbone: neck, bbox_head' in said
    assert 'for the channels of the backbone: neck.lateral_convs.0.conv.weight\n' in said
    own = Config.fromfile(out)
    assert own.load_from == str(file) and own.load_backbone is False
    assert own.model.backbone.type == 'MogaNet' and own.model.backbone.init_cfg.checkpoint
    with as_a_process():
        enter_library(own)
        model = build_model(own)
        load_model(model, str(file), new_classes=set, backbone=False)
    state = model.state_dict()
    new = [key for key in state if key not in lent or not state[key].equal(lent[key])]
    assert {key.split('.')[0] for key in new} == {'backbone', 'neck'}
    assert all('lateral_convs' in key for key in new if key.startswith('neck'))
