"""Loading published checkpoints and our own into this project's modules, strictly and safely."""

from backbones.checkpoints.files import read
from backbones.checkpoints.layouts import PublishedKeys, fit
from backbones.checkpoints.load import Loaded, has_backbone, load_backbone, load_model
from backbones.checkpoints.match import Match, match
from backbones.errors import CheckpointError

__all__ = [
    'CheckpointError',
    'Loaded',
    'Match',
    'PublishedKeys',
    'fit',
    'has_backbone',
    'load_backbone',
    'load_model',
    'match',
    'read',
]
