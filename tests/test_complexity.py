"""Parameters and multiply-adds of whole models against the published figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from backbones.engine.complexity import complexity

ROOT = Path(__file__).parent.parent
# parameters in M and GMAC, as the authors print them
PUBLISHED = {
    'mask_rcnn_cswin_t_coco': (42, 279),
    'mask_rcnn_cswin_s_coco': (54, 342),
    'mask_rcnn_cswin_b_coco': (97, 526),
    'cascade_mask_rcnn_cswin_t_3x_coco': (80, 757),
    'cascade_mask_rcnn_cswin_s_3x_coco': (92, 820),
    'cascade_mask_rcnn_cswin_b_3x_coco': (135, 1004),
    'semantic_fpn_cswin_t_ade20k': (26.1, 202),
    'semantic_fpn_cswin_s_ade20k': (38.5, 271),
    'semantic_fpn_cswin_b_ade20k': (81.2, 464),
    'upernet_cswin_t_ade20k': (59.9, 959),
    'upernet_cswin_s_ade20k': (64.6, 1027),
    'upernet_cswin_b_ade20k': (109.2, 1222),
    'upernet_cswin_b_640_ade20k': (109, 1941),
    'upernet_cswin_l_640_ade20k': (207.7, 2745),
    'retinanet_moganet_xt_coco': (12.1, 167.2),
    'retinanet_moganet_t_coco': (14.4, 173.4),
    'retinanet_moganet_s_coco': (35.1, 253.0),
    'retinanet_moganet_b_coco': (53.5, 354.5),
    'retinanet_moganet_l_coco': (92.4, 476.8),
    'mask_rcnn_moganet_xt_coco': (22.8, 185.4),
    'mask_rcnn_moganet_t_coco': (25.0, 191.7),
    'mask_rcnn_moganet_s_coco': (45.0, 271.6),
    'mask_rcnn_moganet_b_coco': (63.4, 373.1),
    'mask_rcnn_moganet_l_coco': (102.1, 495.3),
    'cascade_mask_rcnn_plain_moganet_s_3x_coco': (77.9, 405.4),
    'cascade_mask_rcnn_moganet_s_3x_coco': (82.8, 750.2),
    'cascade_mask_rcnn_moganet_b_3x_coco': (101.2, 851.6),
    'cascade_mask_rcnn_moganet_l_3x_coco': (139.9, 973.8),
    'semantic_fpn_moganet_xt_ade20k': (6.9, 101.4),
    'semantic_fpn_moganet_t_ade20k': (9.1, 107.8),
    'semantic_fpn_moganet_s_ade20k': (29.1, 189.7),
    'semantic_fpn_moganet_b_ade20k': (47.5, 293.6),
    'semantic_fpn_moganet_l_ade20k': (86.2, 418.7),
    'upernet_moganet_xt_ade20k': (30.4, 855.7),
    'upernet_moganet_t_ade20k': (33.1, 862.4),
    'upernet_moganet_s_ade20k': (55.3, 946.4),
    'upernet_moganet_b_ade20k': (73.7, 1050.4),
    'upernet_moganet_l_ade20k': (113.2, 1176.1),
}
# further from the published figure than 2 %:
MISSES = {
    # the authors' S - T is 12.3 M with each other method, and 4.7 M here: theirs is a slip
    ('upernet_cswin_t_ade20k', 'params'),
    # 2611; stripes 12 cells wide, as in the variant for 384 pixels, give 2772, 1 % above the
    # published figure; the authors do not tell the width. B agrees with 7 cells.
    ('upernet_cswin_l_640_ade20k', 'macs'),
}
QUICK = ('mask_rcnn_moganet_xt_coco', 'retinanet_moganet_xt_coco', 'upernet_cswin_t_ade20k')


def row(name: str):
    return pytest.param(name, id=name, marks=() if name in QUICK else pytest.mark.slow)


@pytest.mark.parametrize('name', map(row, PUBLISHED))
def test_counts_are_within_2_percent_of_the_published_ones(name: str) -> None:
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    count = complexity(cfg, shape=(640, 2560) if '640' in name else None)
    for key, unit, published in zip(('params', 'macs'), (1e6, 1e9), PUBLISHED[name]):
        agrees = count[key] / unit == pytest.approx(published, rel=0.02)
        assert agrees != ((name, key) in MISSES), f'{key}: {count[key] / unit}, {published}'


def test_parts_add_up_and_auxiliary_heads_compute_nothing() -> None:
    cfg = Config.fromfile(ROOT / 'configs/upernet_cloformer_xxs_ade20k.py')
    count = complexity(cfg, shape=(64, 96))
    assert count['shape'] == (64, 96)
    assert list(count['parts']) == ['backbone', 'decode_head', 'auxiliary_head']
    for key in ('params', 'macs'):
        assert count[key] == sum(part[key] for part in count['parts'].values())
    assert count['parts']['auxiliary_head']['macs'] == 0


def test_a_config_of_another_library_is_refused() -> None:
    with pytest.raises(ValueError, match='default_scope'):
        complexity(Config(dict(default_scope='mmpretrain')))


def test_tool_prints_and_writes_json(tmp_path: Path) -> None:
    leaf, file = 'configs/faster_rcnn_cloformer_xxs_coco.py', tmp_path / 'counts.json'
    done = subprocess.run(
        [
            sys.executable,
            'tools/model_complexity.py',
            leaf,
            *f'--json {file} --shape 64 96'.split(),
        ],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        text=True,
        capture_output=True,
        check=True,
    )
    count = json.loads(file.read_text())[leaf]
    assert f'{count["macs"] / 1e9:9.2f} GMAC' in done.stdout
    assert list(count['parts']) == ['backbone', 'neck', 'rpn_head', 'roi_head.bbox_head']
