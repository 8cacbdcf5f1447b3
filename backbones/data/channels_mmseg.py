"""MMSegmentation's data preprocessor for images of any number of channels."""

from mmengine.registry import MODELS
from mmseg.models import SegDataPreProcessor

from backbones.data.load_channels import AnyChannels


@MODELS.register_module()
class ChannelSegDataPreProcessor(AnyChannels, SegDataPreProcessor):
    """See `AnyChannels` and MMSegmentation's `SegDataPreProcessor`."""
