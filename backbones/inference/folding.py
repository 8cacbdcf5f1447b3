"""Preparing the weights of a trained model once instead of for every image."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import torch
from mmcv.cnn import ConvModule
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CAST = nn.Linear, nn.Conv2d, nn.ConvTranspose2d  # autocast runs them in bfloat16


def cast(model: nn.Module) -> None:
    """Store weights in bfloat16, in place, that autocast would cast to it in every call.

    Subclasses, such as weight-standardised convolutions, compute with their weights and keep them
    in float32, and so do parameters without such a layer.

    Args:
        model: runs under autocast.
    """
    for part in model.modules():
        if type(part) in CAST:
            part.to(torch.bfloat16)


def fold(model: nn.Module) -> int:
    """Fold, in place, every BatchNorm that is known to follow its convolution.

    The order is known in an `nn.Sequential`, and in mmcv's `ConvModule`, which states it. A
    convolution that several parts share is left alone.

    Args:
        model: in eval mode.

    Returns:
        The number of folded BatchNorms.
    """
    places = Counter(id(child) for part in model.modules() for child in part.children())
    pairs = [pair for pair in _pairs(model) if places[id(pair[1])] == 1 and _fits(*pair[1:3])]
    for part, conv, norm, conv_name, norm_name in pairs:
        setattr(part, conv_name, fuse_conv_bn_eval(conv, norm))
        setattr(part, norm_name, nn.Identity())
    return len(pairs)


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Module, nn.Module, nn.Module, str, str]]:
    """Yield a part, two layers that it calls in turn, and their names in it."""
    for part in model.modules():
        if isinstance(part, ConvModule):
            if part.with_norm and part.order[:2] == ('conv', 'norm'):
                yield part, part.conv, part.norm, 'conv', part.norm_name
        elif isinstance(part, nn.Sequential):
            named = [*part.named_children()]
            for (a, first), (b, second) in pairwise(named):
                yield part, first, second, a, b


def _fits(conv: nn.Module, norm: nn.Module) -> bool:
    return type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and norm.track_running_stats
