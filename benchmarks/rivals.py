"""Train another library's model on the data of a config, and print its metric.

The splits are those of the config. The metric is COCO's, or the mean IoU of the test images, or of
the validation images if there is no test split. CPU seconds are those of the whole process until
the training has ended, on one thread. Nothing is pretrained. The rivals' packages are not among
the requirements: `pip install ultralytics segmentation_models_pytorch`.
"""

import argparse
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import Runner
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import nn
from torch.nn import functional

from backbones.openmmlab.build import enter_library

SPLITS = ('train', 'val', 'test')
THRESHOLD = 0.001  # least score of a detection that is counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', type=Path)
    parser.add_argument('rival', choices=RIVALS)
    parser.add_argument('--out', type=Path, required=True, metavar='DIR')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('options', nargs='*', metavar='KEY=VALUE', help="the rival's settings")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    options = {key: yaml.safe_load(value) for key, value in (o.split('=') for o in args.options)}
    cfg = Config.fromfile(args.config)
    enter_library(cfg)
    args.out.mkdir(parents=True)
    found = RIVALS[args.rival](cfg, args.out.resolve(), args.seed, options)
    print(args.rival, args.options, f'seed {args.seed}', found)


def cpu_seconds() -> int:
    """Return the seconds of this process and its children so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return round(sum(usage.ru_utime + usage.ru_stime for usage in used))


def annotations(cfg: Config, split: str) -> tuple[COCO, Path]:
    """Return a split's annotations and the folder of its images."""
    part = cfg[f'{split}_dataloader'].dataset
    root = Path(part.data_root)
    return COCO(str(root / part.ann_file)), root / part.data_prefix.img


def yolo(cfg: Config, out: Path, seed: int, options: dict) -> dict:
    """Ultralytics' YOLO11n; options are those of its `train`."""
    from ultralytics import YOLO

    names = sorted(cfg.metainfo.classes)
    for split in SPLITS:
        for image, lines in _yolo_labels(*annotations(cfg, split), names):
            picture = out / 'images' / split / image.name
            label = out / 'labels' / split / f'{image.stem}.txt'
            for path in (picture, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            picture.symlink_to(image)
            label.write_text('\n'.join(lines))
    data = dict(path=str(out), names=names, **{split: f'images/{split}' for split in SPLITS})
    (out / 'data.yaml').write_text(yaml.safe_dump(data))
    fixed: dict[str, Any] = dict(device='cpu', plots=False, seed=seed, project=str(out), name='run')
    YOLO('yolo11n.yaml').train(data=str(out / 'data.yaml'), **fixed, **options)
    used = cpu_seconds()
    truth, _ = annotations(cfg, 'test')
    model, size = YOLO(out / 'run/weights/best.pt'), options.get('imgsz', 640)
    finds = []
    for image in truth.dataset['images']:
        path = out / 'images/test' / Path(image['file_name']).name
        (result,) = model.predict(path, conf=THRESHOLD, imgsz=size, device='cpu', verbose=False)
        for box, score, kind in zip(*(getattr(result.boxes, k) for k in ('xyxy', 'conf', 'cls'))):
            finds.append(_find(image, truth, names[int(kind)], box.tolist(), float(score)))
    return dict(cpu_s=used, **_average_precision(truth, finds))


def _yolo_labels(truth: COCO, folder: Path, names: list[str]) -> Iterator[tuple[Path, list[str]]]:
    kinds = {entry['id']: names.index(entry['name']) for entry in truth.dataset['categories']}
    for image in truth.dataset['images']:
        lines = []
        for one in truth.imgToAnns[image['id']]:
            x, y, w, h = one['bbox']
            x1, x2 = (min(max(v / image['width'], 0), 1) for v in (x, x + w))
            y1, y2 = (min(max(v / image['height'], 0), 1) for v in (y, y + h))
            shares = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
            lines.append(' '.join(map(str, (kinds[one['category_id']], *shares))))
        yield (folder / image['file_name']).resolve(), lines


def _find(image: dict, truth: COCO, name: str, corners: list[float], score: float) -> dict:
    (category,) = truth.getCatIds(catNms=[name])
    x1, y1, x2, y2 = corners
    box = [x1, y1, x2 - x1, y2 - y1]
    return dict(image_id=image['id'], category_id=category, bbox=box, score=score)


def _average_precision(truth: COCO, finds: list[dict]) -> dict[str, float]:
    measure = COCOeval(truth, truth.loadRes(finds), 'bbox')
    measure.evaluate()
    measure.accumulate()
    measure.summarize()
    return dict(AP=round(measure.stats[0], 3), AP50=round(measure.stats[1], 3))


def ssdlite(cfg: Config, out: Path, seed: int, options: dict) -> dict:
    """Torchvision's SSDLite with the recipe of its references; options: epochs, batch."""
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large
    from torchvision.transforms import v2

    names = sorted(cfg.metainfo.classes)
    truth, folder = annotations(cfg, 'train')
    kinds = {entry['id']: 1 + names.index(entry['name']) for entry in truth.dataset['categories']}
    steps = [v2.ToImage(), v2.RandomIoUCrop(), v2.RandomHorizontalFlip(),
             v2.SanitizeBoundingBoxes(), v2.ToDtype(torch.float32, scale=True)]  # fmt: skip
    part = cfg.train_dataloader.dataset
    file = Path(part.data_root) / part.ann_file
    data = wrap_dataset_for_transforms_v2(
        CocoDetection(folder, file, transforms=v2.Compose(steps)), ('boxes', 'labels')
    )
    batch, epochs = options.get('batch', 8), options['epochs']
    loader = torch.utils.data.DataLoader(data, batch, True, collate_fn=lambda rows: [*zip(*rows)])
    model = ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=1 + len(names)
    )
    optimizer = torch.optim.SGD(model.parameters(), 0.15 * batch / 192, 0.9, weight_decay=4e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    for _ in range(epochs):
        for images, targets in loader:
            labels = [torch.tensor([kinds[int(k)] for k in t['labels']]).long() for t in targets]
            boxes = [dict(boxes=t['boxes'], labels=own) for t, own in zip(targets, labels)]
            loss = sum(model(images, boxes).values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    used = cpu_seconds()
    return dict(cpu_s=used, **_test_torchvision(model.eval(), *annotations(cfg, 'test'), names))


def _test_torchvision(model: nn.Module, truth: COCO, folder: Path, names: list[str]) -> dict:
    from torchvision.io import decode_image

    finds = []
    for image in truth.dataset['images']:
        with torch.no_grad():
            (found,) = model([decode_image(str(folder / image['file_name']), 'RGB') / 255])
        for box, score, kind in zip(found['boxes'], found['scores'], found['labels']):
            finds.append(_find(image, truth, names[int(kind) - 1], box.tolist(), float(score)))
    return _average_precision(truth, finds)


def smp(cfg: Config, out: Path, seed: int, options: dict) -> dict:
    """FPN with MobileNetV2 of segmentation_models.pytorch.

    Images, augmentation and class weights are the config's; AdamW's learning rate follows a cosine
    from `lr`. Options: iterations, lr.
    """
    import segmentation_models_pytorch

    number = len(cfg.metainfo.classes)
    model = segmentation_models_pytorch.FPN('mobilenet_v2', encoder_weights=None, classes=number)
    prepare = MODELS.build(cfg.model.data_preprocessor)
    weights = cfg.model.decode_head.loss_decode.get('class_weight')
    weight = torch.tensor(weights) if weights else None
    optimizer = torch.optim.AdamW(model.parameters(), options.get('lr', 1e-3), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options['iterations'])
    for _, given in zip(
        range(options['iterations']), Runner.build_dataloader(cfg.train_dataloader, seed)
    ):
        batch = prepare(given, training=True)
        truth = torch.stack([sample.gt_sem_seg.data[0] for sample in batch['data_samples']])
        logits = model(batch['inputs'])
        loss = functional.cross_entropy(logits, truth.long(), weight, ignore_index=255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    used, counts = cpu_seconds(), torch.zeros(number, number)
    for given in Runner.build_dataloader(cfg.test_dataloader):
        batch = prepare(given)
        with torch.no_grad():
            logits = model.eval()(batch['inputs'])
        for one, sample in zip(logits, batch['data_samples']):
            truth = sample.gt_sem_seg.data[0]
            size = sample.img_shape[:2]
            whole = functional.interpolate(
                one[None, :, : size[0], : size[1]], truth.shape, mode='bilinear'
            )
            found, counted = whole[0].argmax(0), truth < number
            pairs = number * truth[counted].long() + found[counted]
            counts += torch.bincount(pairs, minlength=number**2).reshape(number, number)
    hits = counts.diag()
    ious = 100 * hits / (counts.sum(0) + counts.sum(1) - hits)
    each = dict(zip(cfg.metainfo.classes, (round(float(iou), 1) for iou in ious)))
    return dict(cpu_s=used, mIoU=round(float(ious.mean()), 1), **each)


RIVALS = dict(yolo=yolo, ssdlite=ssdlite, smp=smp)

if __name__ == '__main__':
    main()
