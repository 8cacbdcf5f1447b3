#!/usr/bin/env python
"""Count the parameters of every timm model, and find out whether it has its own feature maps.

Writes backbones/adapted/timm_sizes.json for `dense-backbones list`: millions of parameters without
the classifier, and 'own', 'made' or 'none' (for models without maps). Models in the file are not
built again; models that exist only for timm's tests are left out.
"""

import json

import timm
import torch

from backbones.adapted.timm_models import build_trunk
from backbones.cli.list_backbones import SIZES
from backbones.errors import UserError


def measure(name: str) -> tuple[float, str]:
    with torch.device('meta'):
        try:
            trunk = build_trunk(name, 3, None)
        except UserError:
            trunk = timm.create_model(name, num_classes=0)
            levels = 'none'
        else:
            strides = {info['reduction'] for info in trunk.feature_info}
            levels = 'own' if len(strides) > 1 else 'made'
    return round(sum(p.numel() for p in trunk.parameters()) / 1e6, 2), levels


def main() -> None:
    known = json.loads(SIZES.read_text()) if SIZES.exists() else {}
    names = [name for name in timm.list_models() if not name.startswith('test_')]
    for name in names:
        if name not in known:
            known[name] = measure(name)
            rows = (f' {json.dumps(n)}: {json.dumps(known[n])}' for n in names if n in known)
            SIZES.write_text('{\n' + ',\n'.join(rows) + '\n}\n')


if __name__ == '__main__':
    main()
