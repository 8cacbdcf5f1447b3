"""What can be wrong with a dataset: every kind of fault, its weight and its remedy."""

from backbones.data.kinds_of_files import FILES, IMAGES, LABEL_MAPS
from backbones.data.kinds_of_labels import CLASSES, CONFIGS, INSTANCES

KINDS = {**IMAGES, **FILES, **INSTANCES, **LABEL_MAPS, **CLASSES, **CONFIGS}
