"""Which convolutions `dense_conv` and `depthwise_conv` can compute."""

from torch import nn

from backbones.ops._watchers import is_plain


def is_dense(conv: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """Return whether `dense_conv` can compute a convolution."""
    simple = (conv.dilation[0], conv.groups, conv.output_padding[0]) == (1, 1, 0)
    return simple and _is_square(conv)


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Return whether `depthwise_conv` can compute a convolution."""
    if not _is_square(conv) or conv.groups != len(conv.weight) or conv.weight.shape[1] != 1:
        return False
    (kernel_size, _), (stride, _), (dilation, _) = conv.kernel_size, conv.stride, conv.dilation
    centred = kernel_size % 2 and conv.padding[0] == dilation * (kernel_size // 2)
    return bool(centred) and 1 in (stride, dilation)


def _is_square(conv: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """Return whether it treats height and width alike, and is what PyTorch's class computes."""
    settings = (conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.output_padding)
    alike = all(len({*sides}) == 1 for sides in settings) and conv.padding_mode == 'zeros'
    kind = nn.ConvTranspose2d if isinstance(conv, nn.ConvTranspose2d) else nn.Conv2d
    return alike and is_plain(conv, kind)
