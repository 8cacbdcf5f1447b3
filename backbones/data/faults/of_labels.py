"""Kinds of faults of boxes, masks, classes, splits and configs."""

from backbones.data.faults.kind import Kind, warning

INSTANCES = {
    'broken-box': Kind(
        'boxes are not four finite numbers',
        'write [x, y, width, height] in pixels, in YOLO as fractions of the image: 0.5, not 0,5',
    ),
    'box-corners': Kind(
        'boxes look like [x1, y1, x2, y2]; COCO and YOLO use [x, y, width, height]',
        'convert them: width = x2 - x1, height = y2 - y1; in YOLO, x and y are the centre',
    ),
    'box-fractions': Kind(
        'boxes are fractions of the image, not pixels',
        'multiply x and width by the image width, y and height by the image height',
    ),
    'box-pixels': Kind(
        'lines are in pixels; YOLO uses fractions of the image',
        'divide x and width by the image width, y and height by the image height',
    ),
    'rotated-box': Kind(
        'boxes are rotated, or all outlines have four corners like rotated boxes; no model here '
        'learns the angle',
        'pass --enclosing-boxes to use the upright boxes around them, or --allow rotated-box to '
        'use their corners as outlines',
    ),
    'broken-shape': Kind(
        'shapes cannot be read, and are left out',
        'correct or remove them in the annotation program',
    ),
    'shape-left-out': warning(
        'shapes are left out because they are points, lines or cuboids, or are named __ignore__',
        'nothing, if this is intentional; otherwise draw boxes or polygons',
    ),
    'boxes-joined': warning(
        'rectangles of one label and group are read as one object, as labelme does',
        'nothing, if they are its parts; otherwise give each object a group of its own',
    ),
    'box-empty': Kind(
        'boxes have a width or height below 1 pixel, possibly negative, and are dropped',
        'correct or remove them',
    ),
    'box-outside': Kind('boxes lie outside their image', 'correct or remove them'),
    'box-beyond': Kind(
        'boxes extend beyond the border of their image by more than 2 pixels',
        'make sure that they belong to this image at this size, then clip them',
    ),
    'box-beside-mask': Kind(
        'boxes do not bound their own mask', 'compute the box from the segmentation'
    ),
    'area-empty': Kind(
        'annotations have an area of 0 or less and are dropped',
        'set area to the area of the mask, or to width times height of the box',
    ),
    'area-too-large': warning(
        'annotations have an area larger than their box: metrics by size count them as too large',
        'set area to the area of the mask, or to width times height of the box',
    ),
    'area-too-small': warning(
        'annotations without a mask have an area far below that of their box: metrics by size '
        'count them as too small',
        'set area to width times height of the box',
    ),
    'mask-missing': Kind(
        'annotations have a box but no segmentation, while others have one',
        'nothing for a base that learns boxes, such as gfl_* or faster_rcnn_*: it reads no masks; '
        'for one that learns masks, add the missing ones',
    ),
    'mask-broken': Kind(
        'segmentations are neither polygons of 3 or more points nor run-length codes, and are '
        'ignored',
        'correct or remove them',
    ),
    'mask-hole': Kind(
        'segmentations have a polygon inside another: a hole in some annotation tools, but all '
        'readers of COCO fill it',
        'encode such masks as run-length codes, which can have holes',
    ),
    'masks-differ': warning(
        'some splits have masks and others have none',
        'add masks, or train a box detector',
    ),
    'mask-size': Kind(
        'the size of run-length codes differs from the image', 'encode masks at the image size'
    ),
    'mask-beyond': Kind(
        'polygons extend beyond the border of their image by more than 2 pixels',
        'make sure that they belong to this image at this size, then clip them',
    ),
    'crowd': warning(
        'annotations are marked iscrowd: they are neither trained on nor counted by the metric',
        'set iscrowd to 0 unless they are groups of objects',
    ),
    'only-crowds': warning(
        'all annotations are marked iscrowd, as some programs mark every brushed mask: they are '
        'used as single objects',
        'set iscrowd to 0; if they really are groups of objects, annotate the objects',
    ),
    'difficult': warning(
        'objects are marked difficult: they are neither trained on nor counted by the metric, as '
        'in Pascal VOC',
        'set difficult to 0 to use them',
    ),
    'mostly-crowd': Kind(
        'most annotations are marked iscrowd, or all are marked difficult: they are neither '
        'trained on nor counted',
        'set iscrowd to 0; some programs set it for every run-length code',
    ),
    'marked-ignore': warning(
        'annotations are marked "ignore" and are dropped', 'set ignore to 0 to use them'
    ),
    'duplicate-annotation': warning(
        'annotations repeat another one with the same class and box', 'remove the duplicates'
    ),
    'confidence-dropped': warning(
        'boxes end with a confidence, as models write it; it is not used',
        'make sure that somebody has corrected these predictions',
    ),
    'keypoints-dropped': warning(
        'annotations have keypoints, but only their box is used', 'nothing, if this is intentional'
    ),
    'keypoints-or-polygons': Kind(
        'lines look like boxes with keypoints, but data.yaml has no kpt_shape; they are read as '
        'boxes',
        'add kpt_shape: [points, values per point] to data.yaml; if they are polygons, repeat a '
        'point in one of them',
    ),
}

CLASSES = {
    'no-class-names': Kind(
        'classes have no names', 'name them in classes.txt, one per line, or with --classes'
    ),
    'unnamed-objects': warning(
        'objects have no class, so all of them get the same one', 'name it with --classes NAME'
    ),
    'unnamed-numbers': warning(
        'no file names the classes of YOLO labels, so they are called by their numbers',
        'name them with --classes, class 0 first, or in classes.txt, one per line',
    ),
    'class-count': Kind(
        'numbers of classes differ', 'list each class once, and correct the number as shown'
    ),
    'classes-differ': Kind(
        'classes differ between splits', 'export all splits with the same classes'
    ),
    'class-order': Kind(
        'MMDetection numbers the classes by their order in the annotation file, which differs from '
        'that of the config: classes would get wrong names',
        "set the dataset's type to CocoByNameDataset and the metric's to CocoByNameMetric or "
        'FasterCocoByNameMetric, and import backbones.data.coco_by_name in custom_imports; or '
        'name the classes in the order of the files, which must be the same in all of them',
    ),
    'control-character': Kind(
        'names have line breaks, other control characters, or bytes that are not UTF-8',
        'rename them with visible characters',
    ),
    'similar-classes': warning(
        'class names differ only in case, spaces or a letter', 'merge them if they are the same'
    ),
    'blank-in-name': warning(
        'class names begin or end with a space, which is easily overlooked in a config',
        'remove it in all splits',
    ),
    'class-unseen': warning(
        'classes have no instance in the training split', 'add some, or remove the class'
    ),
    'class-not-judged': warning(
        'classes have no instance in the validation split, so their quality cannot be measured',
        'move some images with them to the validation split',
    ),
    'no-annotations': Kind(
        'splits have no annotations', 'annotate them; otherwise the metric is -1 or NaN'
    ),
    'test-unannotated': warning(
        'the test split has no annotations, so nothing can be measured on it, and it is left out',
        'nothing; tools/predict.py accepts its images',
    ),
    'test-missing': warning(
        'the test split that data.yaml names does not exist, and is left out',
        'nothing, if you have no test split',
    ),
    'other-split': warning(
        'training images are in a folder with the name of another split',
        'make sure that training and validation are not swapped',
    ),
    'empty-split': Kind('splits have no images', 'add images'),
    'no-training': Kind(
        'datasets have no training split', 'name a folder or annotation file "train"'
    ),
    'no-validation': warning(
        'datasets have no validation split',
        'nothing: tools/new_config.py sets aside a fifth of the training images, or the share that '
        '--val gives; or move some to a split named val',
    ),
    'without-objects': warning(
        'images have no annotation; they serve as background',
        'make sure that they show no objects of the classes',
    ),
}

CONFIGS = {
    'missing-data': Kind(
        'folders or files named in the config do not exist',
        'correct data_root and paths, or set the root with --data-root DIR. README.md shows the '
        'folder layouts in section "Datasets"',
    ),
    'filtered-image': warning(
        "images are excluded by the config's filter_cfg",
        'set filter_cfg=dict(filter_empty_gt=False, min_size=0) to train on them',
    ),
    'root-category': warning(
        'categories without objects, the parents of all others, are left out; Roboflow adds them',
        'nothing',
    ),
    'class-left-out': warning(
        'classes in the data are not among the named classes, and their annotations are dropped',
        'add them with this spelling, unless this is intentional',
    ),
    'drawn-validation': Kind(
        'validation or test images are flipped, cropped or changed at random, but their ground '
        'truth is not: metrics would be wrong, and would vary from run to run',
        'remove the transform from the pipeline of val_dataloader and test_dataloader',
    ),
    'channel-order': warning(
        'the mean has a different order of channels than the images',
        "set bgr_to_rgb=True with a mean in RGB order, which is usual for ImageNet's mean",
    ),
    'schedule': warning(
        'the learning rate schedule does not fit the length of the training run',
        'shorten the warm-up to a tenth of the run, and end the schedule with the run',
    ),
    'unsaved': warning(
        'checkpoints are written only at the end of the training run, so a kill loses everything',
        'set by_epoch=False, and interval to a number of iterations',
    ),
    'wrong-classes': Kind(
        'most of the classes never occur in the training split',
        "name your own classes; these are probably another dataset's",
    ),
    'ambiguous-name': Kind(
        'the names of images differ only in the suffix, so that they share a label file',
        'rename one of each pair',
    ),
    'wrong-config': Kind('settings contradict each other or the data', 'change them as shown'),
}
