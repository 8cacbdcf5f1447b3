"""Published and own checkpoints -> the modules of this project, strictly and safely."""

from backbones.checkpoints.files import CheckpointError, read
from backbones.checkpoints.layouts import PublishedKeys, fit
from backbones.checkpoints.load import Loaded, Match, is_own, load_backbone, load_model, match

__all__ = [
    'CheckpointError',
    'Loaded',
    'Match',
    'PublishedKeys',
    'fit',
    'is_own',
    'load_backbone',
    'load_model',
    'match',
    'read',
]
