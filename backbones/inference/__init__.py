"""Predictions of a trained detector or segmentor on images of any kind and size."""

from backbones.errors import UnreadableError
from backbones.inference.prediction import Prediction
from backbones.inference.predictor import Predictor
from backbones.inference.reading import read_image

__all__ = ['Prediction', 'Predictor', 'UnreadableError', 'read_image']
