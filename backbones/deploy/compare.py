"""Compare an ONNX file in onnxruntime with the model in PyTorch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from backbones.deploy.preprocessing import Preprocessing
from backbones.errors import UserError, first_line
from backbones.inference.pasting import paste
from backbones.inference.sessions import OnnxRuntime, Outputs

RELATIVE = 1e-4  # features and logits, relative to the largest value: float32 summation order
PIXELS = 1e-3  # share of a label map's pixels: where two classes are nearly equal
SCORE, BOX = 1e-3, 0.1  # detections: score, and box in pixels
LOST = 0.01  # share of detections: overlaps and scores close to a threshold
MOST_LOST = 0.1  # the same for a file of lower precision
MASK = 0.02  # share of the union of two masks
FEW = 100  # minimum union in pixels, because single pixels of a tiny mask mean nothing


@dataclass(frozen=True)
class Difference:
    """One line of the comparison.

    Args:
        image: height and width of the image, in pixels.
        what: the output, and how it was measured.
        found, allowed: the largest difference found and allowed.
    """

    image: tuple[int, int]
    what: str
    found: float
    allowed: float

    @property
    def agrees(self) -> bool:
        return self.found <= self.allowed  # false for NaN


PER_DETECTION = ('boxes', 'scores', 'labels', 'masks')


def runner(file: Any) -> Callable[[list[np.ndarray]], list[Outputs]]:
    """Load an ONNX file into onnxruntime and return a function of RGB images (H, W, 3) of bytes.

    The images have the same size; the result has each image's outputs, as if it were alone. The
    function raises UserError if onnxruntime cannot run the file.
    """
    session = OnnxRuntime(file.SerializeToString(), torch.get_num_threads())
    return guarded('onnxruntime', lambda pixels: session.run(pixels, [*session.outputs]))


def guarded(
    runtime: str, run: Callable[[np.ndarray], Outputs]
) -> Callable[[list[np.ndarray]], list[Outputs]]:
    """Turn a function of the file's input into a function of images; see `runner`."""

    def call(images: list[np.ndarray]) -> list[Outputs]:
        pixels = np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2), dtype=np.float32)
        try:
            return apart(run(pixels))
        except Exception as error:  # runtimes have their own exceptions
            size = f'{len(images)} x {images[0].shape[0]} x {images[0].shape[1]}'
            raise UserError(
                f'{runtime} cannot run the file at {size} pixels; it is not saved: '
                f'{first_line(error)}'
            ) from error

    return call


def apart(outputs: Outputs) -> list[Outputs]:
    """Split a batch's outputs into those of its images."""
    outputs = dict(outputs)
    if 'counts' not in outputs:
        batch = len(next(iter(outputs.values())))
        return [{k: v[i : i + 1] for k, v in outputs.items()} for i in range(batch)]
    counts = outputs.pop('counts')
    ends = np.cumsum(counts)
    return [
        {
            name: values[end - count : end] if name in PER_DETECTION else values[i : i + 1]
            for name, values in outputs.items()
        }
        for i, (count, end) in enumerate(zip(counts, ends))
    ]


def backbone_in_pytorch(
    model: nn.Module, preprocessing: Preprocessing
) -> Callable[[np.ndarray], Outputs]:
    """Return the backbone as a function like that of `runner`."""
    mean, std = (
        torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std)
    )

    def run(image: np.ndarray) -> Outputs:
        x = (torch.from_numpy(image.copy()).permute(2, 0, 1) - mean) / std
        bottom, right = (-n % preprocessing.divisor for n in x.shape[1:])
        with torch.no_grad():
            levels = model(nn.functional.pad(x, (0, right, 0, bottom))[None])
        return {f'level{i}': level.numpy() for i, level in zip(model.out_indices, levels)}

    return run


def model_in_pytorch(
    model: Any, sample: type, divisor: int, *, colours: bool = True
) -> Callable[[np.ndarray], Outputs]:
    """Return a detector or segmentor, run by its library, as a function like that of `runner`.

    Args:
        model: a model of MMDetection or MMSegmentation.
        sample: the library's class of data samples.
        divisor: see `Preprocessing`.
        colours: the model takes RGB, and not all channels as they are.
    """
    if hasattr(model, 'decode_head'):
        model.data_preprocessor.test_cfg = dict(size_divisor=divisor)
        model.test_cfg.mode = 'whole'  # the file has no sliding window
    else:
        model.data_preprocessor.pad_size_divisor = divisor

    def run(image: np.ndarray) -> Outputs:
        size = image.shape[:2]
        about = dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0))
        if hasattr(model, 'decode_head'):  # MaskFormer would shrink padded maps to the image's size
            about['img_shape'] = tuple(-(-n // divisor) * divisor for n in size)
        image = image[..., ::-1] if colours else image  # BGR, as cv2 reads
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)
        batch = dict(inputs=[pixels], data_samples=[sample(metainfo=about)])
        try:
            with torch.no_grad():
                (found,) = model.test_step(batch)
        except Exception as error:  # third-party code may raise anything
            raise UserError(
                f'the model cannot predict on an image of {size[0]} x {size[1]} pixels in PyTorch: '
                f'{first_line(error)}'
            ) from error
        if hasattr(model, 'decode_head'):
            logits, labels = found.seg_logits.data[None], found.pred_sem_seg.data
            return dict(logits=logits.numpy(), labels=labels.numpy())
        outputs = {}
        if 'pred_instances' in found:
            names = dict(boxes='bboxes', scores='scores', labels='labels', masks='masks')
            parts = found.pred_instances
            outputs = {ours: parts[name].numpy() for ours, name in names.items() if name in parts}
        if 'pred_panoptic_seg' in found:
            outputs['panoptic'] = found.pred_panoptic_seg.sem_seg.numpy()
        return outputs

    return run


def differences(
    image: np.ndarray, ours: Outputs, theirs: Outputs, looser: float = 1
) -> Iterator[Difference]:
    """Compare the results of a file and of PyTorch for an RGB image (H, W, 3).

    Args:
        looser: factor on the bounds, for a file of lower precision.
    """
    size = (image.shape[0], image.shape[1])
    if 'boxes' in ours:
        for what, found, allowed in _of_detections(size, ours, theirs, looser):
            yield Difference(size, what, found, allowed)
    for name, expected in theirs.items():
        if name in PER_DETECTION and 'boxes' in ours:
            continue
        if name in ('labels', 'panoptic'):
            share = float(np.not_equal(ours[name], expected).mean())
            yield Difference(size, f'{name}, share of pixels', share, min(PIXELS * looser, 1))
        else:
            own = ours[name]
            if name == 'logits' and own.shape[1] == 1:
                own = 1 / (1 + np.exp(-own))  # MMSegmentation gives the probability
            error = np.abs(own - expected).max() / np.abs(expected).max()
            yield Difference(size, f'{name}, of the largest value', error, RELATIVE * looser)


def _of_detections(
    size: tuple[int, int], ours: Outputs, theirs: Outputs, looser: float
) -> Iterator[tuple[str, float, float]]:
    """Yield what was compared, the difference found, and the difference allowed."""
    pairs = _twins(ours, theirs, looser)
    a, b = (np.array([pair[i] for pair in pairs], dtype=int) for i in (0, 1))
    count = len(ours['scores']) + len(theirs['scores'])
    yield (
        f'unmatched detections, of {len(theirs["scores"])}',
        (count - 2 * len(pairs)) / max(count, 1),
        min(LOST * looser, MOST_LOST),
    )
    bounds = (('boxes', ', pixels', BOX * looser), ('scores', '', SCORE * looser))
    for name, unit, allowed in bounds:
        gaps = np.abs(ours[name][a] - theirs[name][b])
        yield f'{name}{unit}', gaps.max(initial=0), allowed
    if 'masks' in ours:
        masks = ours['masks'][a]
        whole = theirs['masks'].shape[1:] == masks.shape[1:]
        pasted = (masks if whole else paste(masks, ours['boxes'][a], size)) >= 0.5
        expected = theirs['masks'][b]
        union = (pasted | expected).sum((1, 2))
        share = (pasted ^ expected).sum((1, 2)) / np.maximum(union, FEW)
        yield 'masks, share of their union', share.max(initial=0), min(MASK * looser, 1)


def _twins(ours: Outputs, theirs: Outputs, looser: float) -> list[tuple[int, int]]:
    """Match detections of the same class whose box and score differ by at most 10 tolerances.

    The wide tolerance is needed because suppression may choose a box's neighbour.
    """
    pairs: list[tuple[int, int]] = []
    free = np.ones(len(theirs['scores']), bool)
    for i in range(len(ours['scores'])):
        gap = np.maximum(
            np.abs(theirs['boxes'] - ours['boxes'][i]).max(1, initial=0) / BOX / looser,
            np.abs(theirs['scores'] - ours['scores'][i]) / SCORE / looser,
        )
        gap[~free | (theirs['labels'] != ours['labels'][i])] = np.inf
        if len(gap) and gap.min() <= (10 if looser == 1 else 1):
            free[gap.argmin()] = False
            pairs.append((i, int(gap.argmin())))
    return pairs
