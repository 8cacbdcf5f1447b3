"""The metadata of an exported file; docs/export.md lists every key."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

import backbones
from backbones.checkpoints.fetch import locate
from backbones.deploy.preprocessing import Preprocessing
from backbones.file_digest import sha256
from backbones.openmmlab.config_tree import innermost, type_name

FORMAT = 1  # version of the list on that page, increased when a key changes its meaning
INPUT = '{what}, float32, ({batch}, {channels}, height, width)'
LOADERS = ('Load', 'Pack')  # prefixes of transforms that read or pack, which are not listed


def describe(
    model: Any,
    preprocessing: Preprocessing,
    *,
    size: tuple[int, int] | None,
    batch: int | None,
    precision: str,
) -> dict[str, Any]:
    """Return the facts that follow from a file's model and shape.

    Args:
        model: from `exportable`.
        preprocessing: what the file does to an image first.
        size: height and width of the images in pixels; None for all sizes.
        batch: images per call; None for any number.
        precision: precision of the arithmetic.
    """
    rgb = slice(None) if preprocessing.as_they_are else slice(None, None, -1)
    facts = dict(
        format=FORMAT,
        version=backbones.__version__,
        task=model.task,
        outputs=list(model.outputs),
        input=INPUT.format(
            what='RGB, 0 to 255' if preprocessing.colours else 'channels as in the images',
            batch=batch or 'batch',
            channels=preprocessing.channels,
        ),
        size=size,
        batch=batch,
        pad_to_multiples_of=str(preprocessing.divisor),
        mean=list(preprocessing.mean)[rgb],
        std=list(preprocessing.std)[rgb],
        precision=precision,
    )
    thresholds = ('score_threshold', 'mask_threshold', 'mask_frame', 'foreground_threshold')
    return facts | {name: getattr(model, name, None) for name in thresholds}


def of_config(cfg: Config) -> dict[str, Any]:
    """Return the facts in a config about its test settings."""
    tests = cfg.model.get('test_cfg') or {}
    slides = tests.get('mode') == 'slide'
    windows = dict(size=tests['crop_size'], stride=tests['stride']) if slides else None
    tested = (cfg.get('test_dataloader') or {}).get('dataset')
    pipeline = innermost(tested)[0].get('pipeline') or [] if tested else []
    transforms = [t for t in pipeline if not type_name(t).startswith(LOADERS)]
    text = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return dict(
        sliding_window=windows,
        transforms=[dict(t) for t in transforms],
        config_sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def digest(checkpoint: str) -> str:
    """Return the SHA-256 of a checkpoint's file. See `backbones.checkpoints.read`."""
    return sha256(locate(checkpoint)[0])


def as_text(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata as stored: text unchanged, everything else as JSON."""
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in metadata.items()}
