"""A process that holds one candidate of a benchmark and times it on request.

It reads tasks and answers with results, each a line of JSON. A separate process shows the start-up
time and memory of a candidate alone, without what the others have imported.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from backbones.errors import UserError, first_line, listed

BATCHES = (1, 4, 8)  # timed batch sizes
Act = Callable[[int, int], object]  # takes the number of an image, and how many copies at once
# what to time, and its facts: `batches`, None if it takes any number; for a rival, also `size`
Made = tuple[Act, dict]


def main() -> None:
    asked = json.loads(sys.argv[1])
    with os.fdopen(os.dup(1), 'w') as answers:
        os.dup2(2, 1)  # what libraries print goes to stderr

        def answer(**facts: object) -> None:
            answers.write(json.dumps(facts) + '\n')
            answers.flush()

        try:
            act, facts = _KINDS[asked['kind']](asked)
            answer(**facts)
            for line in sys.stdin:
                task = json.loads(line)
                start = time.perf_counter()
                act(task['image'], task['batch'])
                seconds = time.perf_counter() - start
                answer(ms=1000 * seconds, peak_mib=peak_mib())
        except UserError as error:
            answer(error=str(error))


def peak_mib() -> float | None:
    """Return this process's peak memory; None if the system does not report it.

    `getrusage` would include that of its parent process.
    """
    info = Path('/proc/self/status')
    lines = info.read_text().splitlines() if info.is_file() else []
    kib = [int(line.split()[1]) for line in lines if line.startswith('VmHWM:')]
    return kib[0] / 1024 if kib else None


def _predictor(asked: dict) -> Made:
    """Time a model from an image in memory to the results in the image's pixels."""
    from backbones.inference import Predictor, read_image

    predictor = Predictor(asked['model'], asked['checkpoint'], **asked['options'])
    images = [read_image(Path(path))[0] for path in asked['images']]

    def act(image: int, batch: int) -> None:
        predictor.batch = batch
        predictor.find_all([images[image]] * batch)

    taken = getattr(predictor.model, 'images', None)
    return act, dict(batches=[taken] if taken else None)


def _onnx(asked: dict) -> Made:
    """Time another project's ONNX file: only the forward pass, on noise."""
    from backbones.inference.sessions import package

    runtime = package('onnxruntime')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = int(os.environ['OMP_NUM_THREADS'])
    try:
        session = runtime.InferenceSession(asked['model'], options, ['CPUExecutionProvider'])
    except Exception as error:  # it has exceptions of its own
        raise UserError(f'{asked["model"]} cannot be opened: {first_line(error)}') from error
    given = session.get_inputs()
    kinds = {'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(uint8)': np.uint8}
    if len(given) != 1 or len(given[0].shape) != 4 or given[0].type not in kinds:
        told = ', '.join(f'{i.name} {i.shape} {i.type}' for i in given)
        raise UserError(f'{asked["model"]} has the inputs {told}; allowed: one image, (N, 3, H, W)')
    own, (height, width) = given[0].shape, asked['size']
    if isinstance(own[0], int) and own[0] not in BATCHES:
        raise UserError(
            f'{asked["model"]} takes batches of {own[0]} images; allowed: {listed(BATCHES)}'
        )
    shape = [n if isinstance(n, int) else free for n, free in zip(own, (1, 3, height, width))]
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(kinds[given[0].type])

    def act(image: int, batch: int) -> None:
        try:
            session.run(None, {given[0].name: pixels})
        except Exception as error:
            raise UserError(
                f'{asked["model"]} cannot be run on images of {shape}: {first_line(error)}'
            ) from error

    return act, dict(batches=[shape[0]], size=shape[2:])


def _backbone(asked: dict) -> Made:
    """Time only a backbone, on noise: a config's, or a timm model by name.

    Both emit maps at strides 4 to 32; layers for this are added to timm models without them.
    """
    import torch

    if asked['model'].startswith('timm:'):
        from backbones.factory import create

        model = create(asked['model'])
    else:
        from backbones.openmmlab.build import build_model
        from backbones.openmmlab.config import read_config

        model = build_model(read_config(asked['model'])).backbone
    model, (height, width) = model.eval(), asked['size']
    pixels = {b: torch.randn(b, 3, height, width) for b in BATCHES}

    def act(image: int, batch: int) -> None:
        with torch.inference_mode():
            model(pixels[batch])

    return act, dict(batches=None, size=[height, width])


_KINDS = {'predictor': _predictor, 'onnx': _onnx, 'backbone': _backbone}
