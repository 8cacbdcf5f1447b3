"""Predictions of a trained detector or segmentor on images of any kind and size."""

from backbones.predict.predictor import Prediction, Predictor
from backbones.predict.reading import UnreadableError, read_image

__all__ = ['Prediction', 'Predictor', 'UnreadableError', 'read_image']
