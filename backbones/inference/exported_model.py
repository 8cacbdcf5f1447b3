"""A file of tools/export.py as a model, without OpenMMLab, and PyTorch only for .pt2 files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeGuard

import cv2
import numpy as np
import supervision as sv

from backbones.drawing.captions import Picture
from backbones.drawing.paint import Found
from backbones.drawing.panoptic import segments
from backbones.errors import UserError, listed
from backbones.inference.about import read_about
from backbones.inference.memory import MASKS, SCORE
from backbones.inference.model import digest_of
from backbones.inference.pasting import pasted
from backbones.inference.sessions import Outputs, Session, open_file, runtime_of
from backbones.inference.shaping import Shaping, padded, resized
from backbones.inference.tiles import starts

KINDS = {
    'semantic': ('logits', 'labels'),
    'boxes': ('boxes', 'scores', 'labels'),
    'instances': ('boxes', 'scores', 'labels', 'masks'),
    'panoptic': ('panoptic',),
}
LEAST = 2  # torch.export would take a side of one multiple for a constant


def is_exported(path: object) -> TypeGuard[str | Path | Session]:
    """Return whether it is an open exported file, or a path with the suffix of one."""
    if isinstance(path, str | Path):
        return runtime_of(path) is not None
    return isinstance(path, Session)


class ExportedModel:
    """See `Model`.

    An image is transformed as in the config's test pipeline. For a file with a fixed size, it is
    then shrunk to fit, keeping its aspect ratio, and padded at the right and bottom.

    Args:
        file: its path, or the open file.
        tile, batch, amp: see `Predictor`.

    Raises:
        UserError: the file is not a detector or segmentor, or does not accept such images; or see
            `open_file`.
    """

    on_cpu = True

    def __init__(
        self, file: str | Path | Session, *, tile: int | None, batch: int, amp: bool
    ) -> None:
        self.opened = partial(ExportedModel, tile=tile, batch=batch, amp=amp), (file,)
        path = 'the model' if isinstance(file, Session) else str(file)
        self.session: Session = file if isinstance(file, Session) else open_file(path, bf16=amp)
        about = {**_of_outputs(self.session.outputs), **read_about(path, self.session.about)}
        self.outputs = KINDS.get(about['task'], ())
        if not self.outputs:
            raise UserError(
                f'{path} is a model of the task {about["task"]} with the outputs '
                f'{listed(self.session.outputs)}; predictions need one of: {", ".join(KINDS)}'
            )
        self.path = path
        self.images, channels, height, width = self.session.shape
        # divisor of the sides in pixels and its least multiple; other files pad by themselves
        self.multiple, self.least = 1, 1
        if runtime_of(path) == 'torch' and not height:
            self.multiple, self.least = about.get('pad_to_multiples_of', 1), LEAST
        colours = about.get('input', 'RGB').startswith('RGB')
        self.channels = None if colours else channels
        self.values = about.get('values')
        self.size = (height, width) if height and width else None  # None means every size
        self.segments, self.panoptic = (about['task'] == kind for kind in ('semantic', 'panoptic'))
        self.window = about.get('sliding_window') if not tile else None
        faults = []
        if missing := [name for name in self.outputs if name not in self.session.outputs]:
            faults.append(
                f'lacks the outputs {listed(missing)} of the task {about["task"]}; it has '
                f'{listed(self.session.outputs)}'
            )
        if (colours and channels not in (None, 3)) or not (colours or channels):
            faults.append(
                f'takes images of {channels or "any number of"} channels, but its metadata say '
                f'{about.get("input", "nothing about them")}'
            )
        if 'mean' in about and channels not in (None, len(about['mean'])):
            faults.append(f'has {len(about["mean"])} means for {channels} channels')
        if self.window and self.size and any(a > b for a, b in zip(self.window['size'], self.size)):
            faults.append(f'takes {height} x {width} pixels, less than its windows')
        if self.images == 1 and batch > 1:
            faults.append(f'takes 1 image per call, not {batch}')
        if self.segments and tile and self.size not in (None, (tile, tile)):
            faults.append(f'takes images of {height} x {width}, not tiles of {tile} pixels')
        if not about.get('classes'):
            faults.append('names no classes: export it with a config or checkpoint that does')
        elif (count := _count_of(self.session, about)) not in (None, len(about['classes'])):
            faults.append(f'distinguishes {count} classes, but names {len(about["classes"])}')
        if faults:
            raise UserError(f'{path} {"; it ".join(faults)}')
        fits = None if self.window else self.size
        if self.segments and tile:
            about['transforms'], fits = [], None
        self.shaping = Shaping(path, about.get('transforms'), fits)
        self.mean = about.get('mean')
        self.mask_threshold = about.get('mask_threshold') or 0.5
        self.mask_frame = about.get('mask_frame') or 'box'
        self.foreground = about.get('foreground_threshold')
        told = {name: about.get(name) for name in ('classes', 'palette', 'bands')}
        self.meta: Mapping = {name: value for name, value in told.items() if value}
        count = len(self.meta['classes'])
        self.bytes_per_pixel: float = (
            SCORE * count if self.segments else MASKS * (self.outputs[-1] in ('masks', 'panoptic'))
        )

    def __reduce__(self) -> tuple:
        return self.opened  # runtimes cannot be pickled or copied, so a copy opens the file again

    def digest(self) -> str:
        weights = Path(self.path).with_suffix('.bin')  # OpenVINO's weights
        is_apart = runtime_of(self.path) == 'openvino' and weights.is_file()
        return digest_of([Path(self.path), *([weights] if is_apart else [])])

    def prepare(self, image: Picture) -> dict:
        inside = self.shaping.size(*image.shape[:2])
        pixels = resized(image, inside).astype(np.float32)
        if not self.window:
            pixels = self._padded(pixels)
        inputs = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return dict(inputs=inputs, inside=inside, shape=image.shape[:2])

    def predict(self, prepared: Sequence[dict], score: float) -> list[tuple[Found, float]]:
        if not self.segments:
            found = self._run([one['inputs'] for one in prepared], self.outputs)
            read = self._segments if self.panoptic else self._instances
            return [read(out, one, score) for out, one in zip(found, prepared)]
        simple = not self.window and all(one['inside'] == one['shape'] for one in prepared)
        if simple:
            found = self._run([one['inputs'] for one in prepared], ['labels'])
            return [(out['labels'][: one['shape'][0], : one['shape'][1]], 0.0)
                    for out, one in zip(found, prepared)]  # fmt: skip
        return [
            (self._labels(logits, one['shape']), 0.0)
            for logits, one in zip(self._logits(prepared), prepared)
        ]

    def scores(self, prepared: Sequence[dict]) -> list[np.ndarray]:
        found = self._run([one['inputs'] for one in prepared], ['logits'])
        return [out['logits'] for out in found]

    def decide(self, scores: np.ndarray) -> np.ndarray:
        if len(scores) > 1:
            return scores.argmax(0)
        return 1 / (1 + np.exp(-scores[0])) > self.foreground  # one score for two classes

    def _padded(self, pixels: np.ndarray) -> np.ndarray:
        counts = (max(self.least, -(-side // self.multiple)) for side in pixels.shape[:2])
        height, width = (count * self.multiple for count in counts)
        return padded(pixels, self.size or (height, width), self.mean)

    def _run(self, inputs: Sequence[np.ndarray], names: Sequence[str]) -> Iterator[Outputs]:
        """Yield each image's outputs, without the batch axis."""
        together = self.images or len(inputs)
        counted = 'boxes' in names and together > 1
        for first in range(0, len(inputs), together):
            some = [*inputs[first : first + together]]
            filled = some + some[-1:] * (together - len(some))  # the file may need a full batch
            out = self.session.run(np.stack(filled), [*names, *(['counts'] if counted else [])])
            self._check_classes(out)
            self._check_lengths(out)
            ends = np.cumsum(out.pop('counts')) if counted else None
            for i in range(len(some)):
                if ends is not None:
                    own = slice(ends[i - 1] if i else 0, ends[i])
                    yield {name: values[own] for name, values in out.items()}
                elif 'boxes' in names:
                    yield out
                else:
                    yield {name: values[i] for name, values in out.items()}

    def _check_classes(self, out: Outputs) -> None:
        """Refuse results for other classes than those in the metadata."""
        count, number = len(self.meta['classes']), 0
        if 'logits' in out:
            number = out['logits'].shape[1]
            if number == 1 and self.foreground is not None:  # one score for two classes
                return
        elif 'labels' in out:
            number = out['labels'].max(initial=-1) + 1
        if number > count or ('logits' in out and number != count):
            raise UserError(f'{self.path} has outputs for {number} classes, but names {count}')
        if 'labels' in out and out['labels'].min(initial=0) < 0:
            raise UserError(f'{self.path} returned negative labels, which no class has')

    def _check_lengths(self, out: Outputs) -> None:
        """Refuse instances whose outputs do not fit together or are not finite numbers."""
        if 'boxes' not in out:
            return
        parts = {name: values for name, values in out.items() if name != 'counts'}
        lengths = {len(values) for values in parts.values()}
        sides = {'boxes': 2, 'scores': 1, 'labels': 1, 'masks': 3}
        odd = any(values.ndim != sides[name] for name, values in parts.items())
        if len(lengths) > 1 or odd or out['boxes'].shape[1] != 4:
            shapes = ', '.join(f'{name} {values.shape}' for name, values in parts.items())
            raise UserError(f'{self.path} returned outputs whose shapes do not match: {shapes}')
        for name in ('boxes', 'scores'):
            if not np.isfinite(out[name]).all():
                raise UserError(f'{self.path} returned {name} that are not finite numbers')

    def _instances(self, out: Outputs, one: dict, score: float) -> tuple[sv.Detections, float]:
        kept = out['scores'] >= score
        (height, width), shape = one['inside'], one['shape']
        boxes = out['boxes'][kept] / np.divide(one['inside'], shape)[[1, 0, 1, 0]]
        masks = None
        if 'masks' in out:
            masks = np.zeros((len(boxes), *shape), bool)
            for whole, mask, box in zip(masks, out['masks'][kept], boxes):
                if self.mask_frame == 'image':
                    whole[:] = resized(mask[:height, :width], shape) >= self.mask_threshold
                    continue
                rows, columns, values = pasted(mask, box, shape)
                whole[rows, columns] = values >= self.mask_threshold
        found = sv.Detections(
            xyxy=boxes.reshape(-1, 4),
            class_id=out['labels'][kept].astype(int),
            confidence=out['scores'][kept].astype(float),
            mask=masks,
        )
        return found, float(out['scores'].max(initial=0))

    def _segments(self, out: Outputs, one: dict, score: float) -> tuple[sv.Detections, float]:
        (height, width), shape = one['inside'], one['shape']
        panoptic: np.ndarray = out['panoptic'][:height, :width].astype(np.int32)  # for OpenCV
        if (height, width) != shape:
            panoptic = cv2.resize(panoptic, shape[::-1], interpolation=cv2.INTER_NEAREST)
        return segments(panoptic, len(self.meta['classes'])), 1.0

    def _logits(self, prepared: Sequence[dict]) -> Iterator[np.ndarray]:
        """Yield each image's logits, (C, h, w), at the size that the model saw."""
        if self.window:
            yield from (self._slide(one['inputs']) for one in prepared)
            return
        for logits, one in zip(self.scores(prepared), prepared):
            yield logits[:, : one['inside'][0], : one['inside'][1]]

    def _slide(self, image: np.ndarray) -> np.ndarray:
        """Average the logits of overlapping windows, as MMSegmentation does."""
        assert self.window
        (height, width), steps = self.window['size'], self.window['stride']
        sides = zip(image.shape[1:], (height, width), steps)
        count = np.zeros(image.shape[1:], np.float32)
        total = np.zeros((0, *count.shape), np.float32)
        for y, x in product(*(starts(*side) for side in sides)):
            part = image[:, y : y + height, x : x + width].transpose(1, 2, 0)
            inputs = self._padded(part).transpose(2, 0, 1)
            ((logits,),) = (out.values() for out in self._run([inputs], ['logits']))
            if not len(total):
                total = np.zeros((len(logits), *count.shape), np.float32)
            rows, columns = slice(y, y + part.shape[0]), slice(x, x + part.shape[1])
            total[:, rows, columns] += logits[:, : part.shape[0], : part.shape[1]]
            count[rows, columns] += 1
        return total / count

    def _labels(self, logits: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the labels of resized logits, without holding all logits in memory at once."""
        if len(logits) == 1:
            return self.decide(resized(logits[0], shape)[None])
        best = resized(logits[0], shape)
        labels = np.zeros(shape, np.int64)
        for number, scores in enumerate(logits[1:], 1):
            scores = resized(scores, shape)
            labels[scores > best] = number
            best = np.maximum(best, scores)
        return labels


def _count_of(session: Session, about: Mapping) -> int | None:
    """Return the number of classes that a file distinguishes, if it says so."""
    shape = session.outputs.get('logits', ())
    count = shape[1] if len(shape) == 4 else None
    if count == 1 and about.get('foreground_threshold') is not None:
        return 2
    return count or about.get('class_count')


def _of_outputs(outputs: Iterable[str]) -> dict[str, str]:
    """Return the task of a file whose metadata do not state it."""
    kinds = [task for task, names in KINDS.items() if {*names} <= {*outputs}]
    return dict(task=kinds[-1] if kinds else 'unknown')
