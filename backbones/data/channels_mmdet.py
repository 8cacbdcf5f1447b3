"""MMDetection's data preprocessor for images of any number of channels."""

from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.registry import MODELS

from backbones.data.load_channels import AnyChannels


@MODELS.register_module()
class ChannelDetDataPreprocessor(AnyChannels, DetDataPreprocessor):
    """See `AnyChannels` and MMDetection's `DetDataPreprocessor`."""
