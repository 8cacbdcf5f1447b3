"""Kinds of faults of boxes, masks, classes, splits and configs."""

from backbones.data.fault_kind import Kind, warning

INSTANCES = {
    'broken-box': Kind(
        'boxes are not four finite numbers', 'write [x, y, width, height] in pixels'
    ),
    'box-corners': Kind(
        'boxes look like [x1, y1, x2, y2]; COCO has [x, y, width, height]',
        'convert them: width = x2 - x1, height = y2 - y1',
    ),
    'box-fractions': Kind(
        'boxes are fractions of the image, not pixels',
        'multiply x and width by the width of the image, y and height by its height',
    ),
    'box-pixels': Kind(
        'lines have pixels; YOLO has fractions of the image',
        'divide x and width by the width of the image, y and height by its height',
    ),
    'box-empty': Kind(
        'boxes have a width or height below 1 pixel, or below 0, and are dropped',
        'correct or remove them',
    ),
    'box-outside': Kind('boxes lie outside of their image', 'correct or remove them'),
    'box-beyond': Kind(
        'boxes reach beyond the border of their image by more than 2 pixels',
        'check that they belong to this image at this size, then clip them',
    ),
    'box-beside-mask': Kind(
        'boxes do not bound their own mask', 'compute the box from the segmentation'
    ),
    'area-empty': Kind(
        'annotations have an area of 0 or less and are dropped',
        'set area to the area of the mask, or to width times height of the box',
    ),
    'area-too-large': warning(
        'annotations have an area larger than their box, so small, medium and large are confused',
        'set area to the area of the mask, or to width times height of the box',
    ),
    'mask-missing': Kind(
        'annotations have a box but no segmentation, while others have one',
        'add the masks, or remove "segmentation" everywhere and train a detector of boxes',
    ),
    'mask-broken': Kind(
        'segmentations are neither polygons of 3 or more points nor a run-length code; they are '
        'ignored',
        'correct or remove them',
    ),
    'mask-hole': Kind(
        'segmentations have a polygon inside another, a hole for the tool that drew it; all who '
        'read COCO fill it',
        'encode such masks as run-length codes, which have holes',
    ),
    'masks-differ': warning(
        'some splits have masks and others have none',
        'add masks, or train a detector of boxes',
    ),
    'mask-size': Kind(
        'run-length codes have another size than their image', 'encode the mask at the image size'
    ),
    'mask-beyond': Kind(
        'polygons reach beyond the border of their image by more than 2 pixels',
        'check that they belong to this image at this size, then clip them',
    ),
    'crowd': warning(
        'annotations are marked iscrowd: they are not trained on and not counted by the metric',
        'set iscrowd to 0 unless they stand for groups',
    ),
    'difficult': warning(
        'objects are marked difficult: they are not trained on and not counted by the metric, as '
        'in Pascal VOC',
        'set difficult to 0 to use them',
    ),
    'mostly-crowd': Kind(
        'annotations, most of all, are marked iscrowd, or all are difficult: they are not trained '
        'on and not counted',
        'set iscrowd to 0; some programs set it for every run-length code',
    ),
    'marked-ignore': warning(
        'annotations are marked "ignore" and are dropped', 'set ignore to 0 to use them'
    ),
    'duplicate-annotation': warning(
        'annotations repeat another one with the same class and box', 'remove the repetition'
    ),
    'keypoints-dropped': warning(
        'annotations have keypoints, of which the box alone is used', 'nothing, if that is meant'
    ),
    'keypoints-or-polygons': Kind(
        'lines look like boxes with keypoints, but data.yaml has no kpt_shape; they are read as '
        'boxes',
        'say kpt_shape: [points, values of each] in data.yaml; if they are polygons, repeat a '
        'point in one of them',
    ),
}

CLASSES = {
    'no-class-names': Kind(
        'classes have no names', 'name them in classes.txt, one a line, or with --classes'
    ),
    'class-count': Kind('numbers of classes disagree', 'list each class once'),
    'classes-differ': Kind(
        'classes are not the same in every split', 'export all splits with the same classes'
    ),
    'class-order': Kind(
        'MMDetection numbers the classes by their order in the annotation file, which is not that '
        'of the config: names would stand for other classes',
        "name the dataset's type CocoByNameDataset and the metric's CocoByNameMetric or "
        'FasterCocoByNameMetric, and import backbones.data.coco_by_name in custom_imports; or '
        'name the classes in the order of the files, which have to agree',
    ),
    'control-character': Kind(
        'names have line breaks, other control characters, or bytes that are no UTF-8',
        'rename them with letters, digits and signs that can be seen',
    ),
    'similar-classes': warning(
        'class names differ in case, blanks or a letter only', 'join them if they are the same'
    ),
    'blank-in-name': warning(
        'class names begin or end with a blank, which is easily missed in a config',
        'take it away, in all splits',
    ),
    'class-unseen': warning(
        'classes have no instance in the training split', 'add some, or leave the class out'
    ),
    'class-not-judged': warning(
        'classes have no instance in the validation split, so nothing says how good they are',
        'move some images with them to the validation split',
    ),
    'no-annotations': Kind(
        'splits have no annotation at all', 'annotate them; without, the metric is -1 or NaN'
    ),
    'test-unannotated': warning(
        'the test split has no annotation, so nothing can be measured on it',
        'nothing; tools/predict.py takes its images',
    ),
    'empty-split': Kind('splits have no image', 'add images'),
    'no-training': Kind(
        'datasets have no training split', 'name a folder or annotation file train'
    ),
    'no-validation': Kind(
        'datasets have no validation split',
        'let tools/new_config.py --val 0.2 divide the training images, or move some to a split '
        'named val',
    ),
    'without-objects': warning(
        'images have no annotation; they serve as background',
        'check that nothing is to be found on them',
    ),
}

CONFIGS = {
    'missing-data': Kind(
        'folders or files that the config names are not there',
        'correct data_root and paths; --data-root DIR points elsewhere. The folder layouts are in '
        'README.md, section "Datasets"',
    ),
    'filtered-image': warning(
        "images are left out by the config's filter_cfg",
        'set filter_cfg=dict(filter_empty_gt=False, min_size=0) to train on them',
    ),
    'class-left-out': warning(
        'classes of the data are not among those that are named, and their annotations are dropped',
        'name them, in this spelling, unless they are meant to be left out',
    ),
    'schedule': warning(
        'learning rate and length of the training do not fit together',
        'shorten the warm-up to a tenth of the training, and end the schedule with it',
    ),
    'wrong-classes': Kind(
        'classes, most of all, never occur in the training split',
        "name your own classes: these are probably another dataset's",
    ),
    'ambiguous-name': Kind(
        'images differ in their suffix only, so that a label file belongs to several',
        'rename one of each pair',
    ),
    'wrong-config': Kind(
        'settings disagree with each other or with the data', 'change them as said'
    ),
}
