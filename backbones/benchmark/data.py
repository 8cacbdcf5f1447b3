"""The data path: images per second of a pipeline, and the evaluation of detections."""

import json
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice, repeat
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from pycocotools import mask as rle

from backbones.engine import preflight
from backbones.engine.config import import_scope, load_config

HEIGHT, WIDTH = 480, 640  # of invented images
OBJECTS = 7  # annotated in an image of COCO, on average
DETECTIONS = 50  # per image
CLASSES = 80
AGREE = 1e-6  # of average precisions


def pipeline(path: str, *, data_root: str | None, workers: int | None, images: int) -> list[dict]:
    """Time the training and the test pipeline of a config on the data that it names.

    Args:
        path: of the config.
        data_root: where the data is, None as in the config; 'invented' for made-up COCO images.
        workers: processes, None as in the config.
        images: how many to time, after the first batch.

    Raises:
        FileNotFoundError, ValueError: see `preflight.check`.
    """
    with tempfile.TemporaryDirectory() as folder:
        if data_root == 'invented':
            invent_coco(Path(folder))
            data_root = folder
        cfg = load_config(path, options=None, work_dir=None, data_root=data_root, launcher='none')
        cfg.model.backbone.pop('init_cfg', None)
        loaders = ('train_dataloader', 'test_dataloader')
        preflight.check(cfg, loaders=loaders)
        import_scope(cfg.default_scope)
        init_default_scope(cfg.default_scope)
        return [_rate(cfg, loader, workers, images) | dict(config=path) for loader in loaders]


def _rate(cfg: Config, loader: str, workers: int | None, images: int) -> dict:
    settings = cfg[loader].to_dict()
    if workers is not None:
        settings['num_workers'] = workers
        settings['persistent_workers'] = workers > 0
    built = Runner.build_dataloader(settings, seed=0)
    batches = chain.from_iterable(repeat(built))  # begins again where the data ends
    next(batches)  # starts the workers
    start, count = time.perf_counter(), 0
    while count < images:
        count += len(next(batches)['inputs'])
    seconds = time.perf_counter() - start
    del batches  # and with it the workers
    return dict(
        mode=loader.removesuffix('_dataloader'),
        workers=settings['num_workers'],
        batch=settings['batch_size'],
        images=count,
        images_per_s=round(count / seconds, 2),
    )


def invent_coco(folder: Path, *, images: int = 32) -> None:
    """Write smooth noise with polygons around it as COCO's two splits, images of 480 x 640."""
    rng = np.random.default_rng(0)
    truth = invent_truth(images)
    (folder / 'annotations').mkdir()
    for split in ('train2017', 'val2017'):
        (folder / split).mkdir()
        for image in truth['images']:
            small = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
            cv2.imwrite(
                str(folder / split / image['file_name']), cv2.resize(small, (WIDTH, HEIGHT))
            )
        (folder / 'annotations' / f'instances_{split}.json').write_text(json.dumps(truth))


def invent_truth(images: int) -> dict:
    """Annotations in COCO's form and classes."""
    from mmdet.datasets import CocoDataset

    rng = np.random.default_rng(0)
    names = CocoDataset.METAINFO['classes']
    annotations = []
    for image in range(images):
        for box in _boxes(rng, OBJECTS):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image,
                    category_id=int(rng.integers(CLASSES)) + 1,
                    bbox=_xywh(box),
                    area=float(np.prod(box[2:] - box[:2]) / 2),
                    iscrowd=0,
                    segmentation=[_diamond(box)],
                )
            )
    return dict(
        images=[
            dict(id=i, file_name=f'{i:012}.jpg', height=HEIGHT, width=WIDTH) for i in range(images)
        ],
        annotations=annotations,
        categories=[dict(id=1 + i, name=name) for i, name in enumerate(names)],
    )


def invent_detections(truth: dict, *, masks: bool) -> Iterator[dict]:
    """Per image 50 detections: each object once, moved a little, and others; MMDetection's form."""
    rng = np.random.default_rng(1)
    found = iter(truth['annotations'])
    for image in truth['images']:
        near = list(islice(found, OBJECTS))
        boxes = np.array([annotation['bbox'] for annotation in near])
        boxes[:, 2:] += boxes[:, :2]
        boxes += rng.normal(0, 0.06, boxes.shape) * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = np.concatenate([boxes, _boxes(rng, DETECTIONS - OBJECTS)])
        labels = rng.integers(CLASSES, size=DETECTIONS)
        labels[:OBJECTS] = [annotation['category_id'] - 1 for annotation in near]
        scores = rng.permutation(DETECTIONS * 1000)[:DETECTIONS] / (DETECTIONS * 1000)
        scores[:OBJECTS] = scores[:OBJECTS] / 2 + 0.5
        result = dict(img_id=image['id'], bboxes=boxes, scores=scores, labels=labels)
        if masks:
            polygons = [_diamond(box) for box in boxes]
            result['masks'] = [rle.frPyObjects([p], HEIGHT, WIDTH)[0] for p in polygons]
        yield result


def evaluation(images: int, *, masks: bool) -> list[dict]:
    """Evaluate the same invented detections by FasterCocoMetric and by pycocotools' COCOeval.

    Returns:
        A result for each: `seconds` and average precisions; `agree` says whether these differ by
        less than 1e-6.
    """
    import_scope('mmdet')
    from mmdet.datasets import CocoDataset
    from mmdet.evaluation import CocoMetric
    from mmdet.evaluation.metrics import FasterCocoMetric

    MMLogger.get_current_instance().setLevel('WARNING')
    truth = invent_truth(images)
    detections = list(invent_detections(truth, masks=masks))
    results = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'truth.json')
        file.write_text(json.dumps(truth))
        for backend, cls in (('faster_coco_eval', FasterCocoMetric), ('pycocotools', CocoMetric)):
            metric = cls(ann_file=str(file), metric=['bbox', 'segm'] if masks else ['bbox'])
            metric.dataset_meta = CocoDataset.METAINFO
            pairs = [({}, dict(found)) for found in detections]
            start = time.perf_counter()
            precisions = metric.compute_metrics(pairs)
            seconds = round(time.perf_counter() - start, 2)
            results.append(
                dict(
                    mode='evaluation',
                    backend=backend,
                    images=images,
                    detections=images * DETECTIONS,
                    seconds=seconds,
                    metrics={key: float(value) for key, value in precisions.items()},
                )
            )
    first, second = (result['metrics'] for result in results)
    # the metrics are rounded to three places
    agree = all(abs(first[key] - second[key]) < AGREE for key in second)
    return [result | dict(agree=agree) for result in results]


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    """Left, top, right, bottom of random boxes, (count, 4)."""
    sides = np.exp(rng.uniform(np.log(12), np.log(240), (count, 2)))
    start = rng.uniform(0, 1, (count, 2)) * ([WIDTH, HEIGHT] - sides)
    return np.concatenate([start, start + sides], 1)


def _xywh(box: np.ndarray) -> list[float]:
    return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]


def _diamond(box: np.ndarray) -> list[float]:
    """The polygon through the middles of a box's sides."""
    left, top, right, bottom = box.tolist()
    x, y = (left + right) / 2, (top + bottom) / 2
    return [left, y, x, top, right, y, x, bottom]
