#!/usr/bin/env python
"""Make the golden features and the key list of a variant from its authors' code.

make_golden.py ADAPTER.py NAME HEIGHTxWIDTH [...], such as adapter.py cswin_large_384 64x64

The adapter is a Python file with `published(arch) -> torch.nn.Module`: the authors' module, whose
state dict is that of their ImageNet file, classifier included, and which returns the four levels of
a (1, 3, H, W) image as this project defines them: a tuple of (1, C, H, W). It is not committed. The
weights are drawn from the names and shapes of its keys, in float64 and eval mode.
"""

import argparse
import json
import runpy
from pathlib import Path

import numpy as np
import torch
from weights import image, summary, weight

HERE = Path(__file__).parents[1]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('adapter', type=Path)
    parser.add_argument('name', help='backbone and arch, such as cswin_large_384')
    parser.add_argument('sizes', nargs='+', metavar='HxW', help='image sizes in pixels')
    parser.add_argument('--out', type=Path, default=HERE, help='with the folders golden and keys')
    parser.add_argument('--keys', action='store_true', help='also write the key list')
    args = parser.parse_args(argv)
    arch = args.name.split('_', 1)[1]
    model = runpy.run_path(str(args.adapter))['published'](arch).double().eval()
    shapes = {k: list(v.shape) for k, v in model.state_dict().items()}
    drawn = {k: torch.from_numpy(weight(k, tuple(s))) for k, s in shapes.items()}
    model.load_state_dict(drawn)
    for size in args.sizes:
        height, width = map(int, size.split('x'))
        with torch.inference_mode():
            levels = model(torch.from_numpy(image(height, width)))
        path = args.out / 'golden' / f'{args.name}_{size}.npz'
        np.savez_compressed(path, **summary([level.numpy() for level in levels]))
        print(path, *(tuple(level.shape) for level in levels))
    if args.keys:
        lines = (f'  {json.dumps(k)}: {json.dumps(s)}' for k, s in shapes.items())
        (args.out / 'keys' / f'{args.name}.json').write_text('{\n' + ',\n'.join(lines) + '\n}\n')


if __name__ == '__main__':
    main()
