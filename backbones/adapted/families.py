"""A table of how families of other libraries' models are trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The settings of `--recipe published` for a family of models.

    Args:
        lr, weight_decay: settings of AdamW.
        batch: the batch size for which the learning rate is meant.
        decay: by the number of layers of a published model, the factor of the learning rate from
            one layer to the one before; {} for the same rate in all layers.
        drop_path: probability of dropping the last block's branches.
        source: where the settings were published.
    """

    lr: float
    weight_decay: float
    batch: int
    decay: dict[int, float]
    drop_path: float
    source: str

    def decay_of(self, layers: int) -> float | None:
        """Return the factor for a model with so many layers; None for one rate.

        It is the factor published for the closest number, adjusted so that the first layer gets the
        published learning rate.
        """
        if not self.decay:
            return None
        closest = min(self.decay, key=lambda known: abs(known - layers))
        return round(self.decay[closest] ** (closest / layers), 4)


VITDET = 'ViTDet (arXiv:2203.16527), A.1'
MMDET, MMSEG = "MMDetection's configs/", "MMSegmentation's configs/"
VIT = dict(
    detection=Recipe(1e-4, 0.1, 64, {12: 0.7, 24: 0.8, 32: 0.9}, 0.1, VITDET),
    segmentation=Recipe(3e-5, 0.05, 16, {12: 0.9, 24: 0.95}, 0.1, f'{MMSEG}beit'),
)  # fmt: skip
CONVNEXT = dict(
    detection=Recipe(1e-4, 0.05, 16, {6: 0.95}, 0.4, f'{MMDET}convnext'),
    segmentation=Recipe(1e-4, 0.05, 16, {6: 0.9}, 0.4, f'{MMSEG}convnext'),
)
SWIN = dict(
    detection=Recipe(1e-4, 0.05, 16, {}, 0.2, f'{MMDET}swin'),
    segmentation=Recipe(6e-5, 0.01, 16, {}, 0.3, f'{MMSEG}swin'),
)
# recipes: timm's modules, and transformers' kinds
TABLE = (
    (VIT, 'vision_transformer deit beit eva vision_transformer_relpos vision_transformer_sam '
          'naflexvit dinov2 dinov2_with_registers dinov3_vit vitdet'),
    (CONVNEXT, 'convnext convnextv2 dinov3_convnext'),
    (SWIN, 'swin_transformer swin_transformer_v2 swin_transformer_v2_cr swin swinv2 '
           'maskformer-swin'),
)  # fmt: skip
RECIPES = {family: recipes for recipes, families in TABLE for family in families.split()}


def recipe_of(family: str, task: str) -> Recipe | None:
    """Return how a family is trained for 'detection' or 'segmentation'; None if unknown."""
    return RECIPES.get(family, {}).get(task)
