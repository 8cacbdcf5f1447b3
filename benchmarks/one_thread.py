"""The command line of benchmarks of whole backbones on one thread."""

import argparse

import torch

NAMES = ('moganet_t', 'cswin_t')


def asked(text: str | None) -> argparse.Namespace:
    """Parse `names` of backbones, the `side` of an image in pixels and `amp`, and prepare PyTorch.

    Args:
        text: description of the benchmark for `--help`.
    """
    parser = argparse.ArgumentParser(description=text)
    parser.add_argument('names', nargs='*', default=NAMES, metavar='NAME')
    parser.add_argument('--side', type=int, default=256, help='side of the image in pixels')
    parser.add_argument('--amp', action='store_true', help='compute in bfloat16')
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return args
