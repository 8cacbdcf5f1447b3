"""What tools/benchmark.py does."""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from mmengine.config import Config
from PIL import Image

from backbones import atomic_write
from backbones.data.files.listing import list_images
from backbones.deploy import benchmark
from backbones.deploy.benchmark import Candidate
from backbones.deploy.metadata import digest
from backbones.deploy.metric import Validation, first_of
from backbones.deploy.source import image_folder, photographs
from backbones.errors import UserError
from backbones.inference import Predictor, read_image
from backbones.inference.exported_model import is_exported
from backbones.inference.image_files import find_images
from backbones.inference.sessions import RUNTIMES, open_file, runtime_of
from backbones.openmmlab.config import read_config

IMAGES = 5  # number of validation images


def run(args: argparse.Namespace) -> None:
    """Measure, print the table, and write the files.

    Args: see tools/benchmark.py.

    Raises:
        UserError: an argument is wrong, or a file comes from another checkpoint.
    """
    _check(args)
    cfg = read_config(args.config)
    with _images(args.images, cfg) as images:
        first = Predictor(cfg, args.checkpoint, device='cpu')
        shape = first.model.prepare(read_image(Path(images[0]))[0])['inputs'].shape
        rows = benchmark.measure(
            [*_candidates(args)], images, size=[*shape[1:]], rounds=args.rounds
        )
    name = _add_metrics(rows, cfg, args) if args.data else None
    about = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        size_of_first=[*shape[1:]],
        rounds=args.rounds,
        metric=name,
        **benchmark.environment(),
    )
    print(benchmark.text(rows))
    print(', '.join(f'{key} {value}' for key, value in about.items() if value is not None))
    if args.out:
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(dict(about=about, rows=rows), indent=1)
        atomic_write.write(folder / 'benchmark.json', content.encode())
        benchmark.plot(rows, folder / 'benchmark.png')
        print(f'results: {folder}/ with benchmark.json, benchmark.png')


def _check(args: argparse.Namespace) -> None:
    faults = [f'{f} is not an exported file ({", ".join(RUNTIMES)})'
              for f in args.files if not is_exported(f)]  # fmt: skip
    faults += [f'--threads {n}; allowed: at least 1' for n in args.threads or () if n < 1]
    if args.rounds < 1:
        faults.append(f'--rounds {args.rounds}; allowed: at least 1')
    for rival in args.against:
        if not rival.startswith('timm:') and not rival.endswith('.onnx'):
            faults.append(f'--against {rival}; allowed: timm:NAME or an .onnx file')
    faults += [f'{path} does not exist'
               for path in (args.checkpoint, *args.files, *args.against)
               if not path.startswith('timm:') and not Path(path).is_file()]  # fmt: skip
    if faults:
        raise UserError('; '.join(faults))
    own = digest(args.checkpoint)
    for file in args.files:
        told = open_file(file).about.get('checkpoint_sha256', own)
        if told not in (own, 'null'):
            raise UserError(
                f'{file} was not exported from {args.checkpoint}: its checkpoint_sha256 is '
                f'{told[:12]}..., not {own[:12]}...; export it again'
            )


@contextmanager
def _images(given: list[str] | None, cfg: Config) -> Iterator[list[str]]:
    """Yield the images to time on: those given, the first validation images, or photographs."""
    if given:
        yield [str(path) for path in find_images(given).inside]
        return
    dataset = (cfg.get('val_dataloader') or {}).get('dataset') or {}
    folder = image_folder(dataset)
    if folder and (found := list_images(folder)):
        yield [*map(str, islice(found, IMAGES))]
        return
    with tempfile.TemporaryDirectory() as made:
        names = []
        for i, pixels in enumerate(photographs()):
            names.append(str(Path(made, f'{i}.png')))
            Image.fromarray(pixels).save(names[-1])
        yield names


def _candidates(args: argparse.Namespace) -> Iterator[Candidate]:
    own = int(os.environ.get('OMP_NUM_THREADS') or os.cpu_count() or 1)
    for threads in args.threads or [own]:
        yield Candidate('checkpoint', 'predictor', args.config, args.checkpoint, threads,
                        dict(device='cpu'))  # fmt: skip
        if args.amp:
            yield Candidate('checkpoint, bfloat16', 'predictor', args.config, args.checkpoint,
                            threads, dict(device='cpu', amp=True))  # fmt: skip
        if args.compile:
            yield Candidate('checkpoint, compiled', 'predictor', args.config, args.checkpoint,
                            threads, dict(device='cpu', compile=True))  # fmt: skip
        for file in args.files:
            yield Candidate(Path(file).name, 'predictor', file, None, threads)
            if args.amp and runtime_of(file) == 'openvino':
                yield Candidate(f'{Path(file).name}, bfloat16', 'predictor', file, None, threads,
                                dict(amp=True))  # fmt: skip
        if any(rival.startswith('timm:') for rival in args.against):
            name = Path(args.config).stem
            yield Candidate(name, 'backbone', args.config, None, threads)
        for rival in args.against:
            kind = 'backbone' if rival.startswith('timm:') else 'onnx'
            yield Candidate(rival, kind, rival, None, threads)


def _add_metrics(rows: list[dict], cfg: Config, args: argparse.Namespace) -> str:
    """Add each model's metric to its rows, and return the metric's name."""
    validation, found = Validation(cfg), dict[str, float]()
    for candidate, row in zip(_candidates(args), rows):
        if candidate.kind != 'predictor':
            continue
        if candidate.name not in found:  # the metric does not depend on the threads
            model = cfg if candidate.checkpoint else candidate.model
            predictor = Predictor(model, candidate.checkpoint, score=0, **candidate.options)
            name, found[candidate.name] = first_of(validation.evaluate(predictor))
        row['metric'] = found[candidate.name]
    return name
