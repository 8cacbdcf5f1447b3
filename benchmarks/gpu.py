#!/usr/bin/env python
"""Time operators and backbones on a GPU in under ten minutes: benchmarks/gpu.py --json gpu.json.

Operators are compared with their memory bound: the time to read each input and write each output
once, at this device's copy rate. Backbones run as in measure.py, ours and the published
formulation in turns; compiled ones are only trained, because compiling takes longest. With
`--device cpu`, the same code runs on small sizes.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

NAMES = 'dilateformer_t volo_d1 cswin_t moganet_t cloformer_xs'
PEERS = 'timm_swin_t timm_convnext_t'
TRAIN = '--dtypes bfloat16 --modes train --batch 2 --repeats 5'
RUNS = {  # arguments of measure.py
    'cuda': {
        'inference': f'{NAMES} {PEERS} --dtypes bfloat16 --repeats 10',
        'train': f'{NAMES} {PEERS} {TRAIN}',
        'compiled': f'{NAMES} --backends auto --runs eager compiled {TRAIN} --no-peak',
    },
    'cpu': {
        'inference': 'cswin_t --dtypes bfloat16 --repeats 1',
        'train': 'cloformer_xxs --dtypes bfloat16 --modes train --repeats 1 --no-peak',
    },
}
# images in pixels, operators in cells
SIZES = {'cuda': (['--size', '800', '1280'], (200, 320)), 'cpu': (['--size', '64', '64'], (8, 12))}


def rate(device: str) -> float:
    """Return the bytes per second that the device reads and writes when it copies."""
    import torch
    from torch.utils.benchmark import Timer

    x = torch.empty(2**28 if device == 'cuda' else 2**22, device=device)
    copying = Timer('y.copy_(x)', globals=dict(x=x, y=torch.empty_like(x))).blocked_autorange()
    return 2 * x.nbytes / copying.median


def operators(device: str, size: tuple[int, int], bytes_per_s: float) -> Iterator[dict]:
    """Time each operator in each of its ways, in bfloat16."""
    from operators import OPERATORS, ways

    for name in OPERATORS:
        for way in ways(name):
            if (way, device) == ('triton', 'cpu'):
                continue
            found = dict(op=name, way=way)
            try:
                found |= measured(name, way, device, size, bytes_per_s)
            except RuntimeError as error:  # such as out of memory; continue with the others
                found['error'] = str(error).splitlines()[0]
            yield found


def measured(name: str, way: str, device: str, size: tuple[int, int], bytes_per_s: float) -> dict:
    """Return the microseconds of inference and a training step, and the bounds' shares of them."""
    import torch
    from operators import examples, running
    from subjects import draw, tensors_of
    from torch.utils.benchmark import Timer
    from traffic import least

    build, shapes = examples(1, *size)[name]
    with torch.device(device), torch.no_grad():
        inputs, module = to_bfloat16(draw(shapes, grad=False)), build().bfloat16()
    tensors = [*tensors_of(inputs), *module.parameters()]
    with running(name, way):
        gradient = torch.ones_like(module(*inputs))

    def infer() -> None:
        with torch.no_grad(), running(name, way):
            module(*inputs)

    def train() -> None:
        with running(name, way):
            out = module(*inputs)
        torch.autograd.grad(out, tensors, gradient)

    read, written = least(*tensors), least(gradient)
    moved = dict(inference=read + written, step=3 * read + 2 * written)
    found = {}
    for what, run in dict(inference=infer, step=train).items():
        seconds = Timer('run()', globals=dict(run=run)).blocked_autorange(min_run_time=0.1).median
        found[f'{what}_us'] = round(seconds * 1e6, 1)
        found[f'{what}_bound'] = round(moved[what] / bytes_per_s / seconds, 3)
    return found


def to_bfloat16(x: object) -> object:
    import torch

    if isinstance(x, torch.Tensor):
        return x.bfloat16().requires_grad_()
    return [to_bfloat16(part) for part in x]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--json', type=Path, required=True, metavar='FILE', help='results file')
    args = parser.parse_args(words)
    if not args.json.absolute().parent.is_dir():
        parser.error(f'--json is {args.json}; the folder {args.json.parent} does not exist')
    import measure

    from backbones.errors import plain_errors
    from backbones.training.devices import require_cuda

    with plain_errors():
        require_cuda(args.device)
    pixels, cells = SIZES[args.device]
    copying = rate(args.device)
    report = dict(machine=measure.machine(args.device), copy_gb_per_s=round(copying / 1e9, 1))
    report['operators'] = list(operators(args.device, cells, copying))
    print(f'copying: {report["copy_gb_per_s"]} GB/s; *_bound: share of the time that the memory')
    print(
        f'traffic alone would take at this rate\n{measure.shown(report["operators"])}', flush=True
    )
    args.json.write_text(json.dumps(report, indent=1) + '\n')
    for section, run in RUNS[args.device].items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, 'results.json')
            measure.main([*run.split(), *pixels, '--device', args.device, '--json', str(file)])
            report[section] = json.loads(file.read_text())['results']
        # after each section, so that an interrupted run keeps its results
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
