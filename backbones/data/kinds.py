"""What can be wrong with a dataset: every kind of fault, its weight and its remedy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Args:
        says: what is wrong with each of the things that are counted.
        remedy: what to do about it.
        level: 'error' for what silently loses or falsifies an image, an annotation or a metric, or
            ends a training; 'warning' for what is only likely to be a mistake.
    """

    says: str
    remedy: str
    level: str = 'error'


def _warning(says: str, remedy: str) -> Kind:
    return Kind(says, remedy, level='warning')


KINDS = {
    # images
    'missing-image': Kind(
        'images that are named are not there',
        'add the files, write their paths as they are in the folder, or take their entries out of '
        'the annotations',
    ),
    'empty-file': Kind('files have 0 bytes', 'copy or download them again'),
    'not-an-image': Kind('files are not images', 'download them again, or remove them'),
    'damaged-image': Kind(
        'images are cut short or damaged', 'download them again, or remove them with their labels'
    ),
    'unsupported-format': Kind(
        'images have a format that OpenCV, which loads them, does not read',
        'convert them to PNG or JPEG',
    ),
    'deep-image': Kind(
        'images have more than 8 bits per channel; loading keeps the upper 8 bits only',
        'scale the values that matter to 8 bits and save as PNG',
    ),
    'size-swapped': Kind(
        "width and height are exchanged between annotation and image, or the image's EXIF "
        'orientation turns it when it is loaded',
        'correct width and height; if boxes were drawn on the unturned image, save the images '
        'without the EXIF tag',
    ),
    'size-differs': Kind(
        'images have another size than the annotation says',
        'annotate and train on the same files: scale the annotations or export them again',
    ),
    'turned-image': _warning(
        'images are turned by their EXIF orientation when they are loaded',
        'look at --pictures; if the labels do not fit, save the images without the EXIF tag',
    ),
    'transparent-image': _warning(
        'images have an alpha channel, which loading ignores: what was transparent shows up',
        'save them without alpha, on the background that is meant',
    ),
    'several-frames': _warning(
        'files hold several frames or pages; only the first is loaded',
        'save each frame as a file of its own',
    ),
    'small-image': _warning(
        'images have a side below 32 pixels, the least that the backbones take before padding',
        'check that these are not thumbnails',
    ),
    'unused-image': _warning(
        'image files are named by no annotation file, so nothing will see them',
        'annotate them, list them as images without objects, or move them away',
    ),
    'image-in-two-splits': Kind(
        'images are in two splits, so that the metric is measured on what was trained on',
        'keep each image in one split only',
    ),
    'image-twice': _warning('images are in a split twice', 'remove one of each pair'),
    # annotation files
    'broken-file': Kind(
        'annotation files cannot be read', 'export them again; they may have been cut short'
    ),
    'wrong-structure': Kind(
        'annotation files lack a part that the format demands', 'export them as COCO instances'
    ),
    'missing-field': Kind('entries lack a field', 'add it, or export the annotations again'),
    'wrong-type': Kind(
        'ids or iscrowd are not whole numbers, sizes are no numbers, or names are no text',
        'number images, annotations and categories from 1; iscrowd is 0 or 1',
    ),
    'duplicate-id': Kind(
        'ids are used more than once, so that one entry replaces another', 'number them from 1'
    ),
    'annotation-id-zero': Kind(
        'annotations have the id 0, which the COCO metric takes for "not found"',
        'number the annotations from 1',
    ),
    'duplicate-file-name': Kind(
        'image files are listed more than once', 'join the entries of the same file'
    ),
    'duplicate-class': Kind('class names are used twice', 'give each class a name of its own'),
    'unnamed-class': Kind(
        'classes have no name, or one that is no text',
        'name them; from classes.txt, take blank lines out',
    ),
    'unknown-image': Kind(
        'annotations belong to an image id that is not listed', 'list the image, or remove them'
    ),
    'unknown-class': Kind(
        'annotations have a class that is not listed', 'list the class, or correct the annotation'
    ),
    'label-without-image': Kind(
        'label files have no image of the same name', 'add the image, or remove the label file'
    ),
    'ambiguous-image': Kind(
        'label files fit several images, so that one could stand for another',
        'put the images into JPEGImages beside Annotations, with the same sub-folders, or each '
        'XML file beside its image',
    ),
    'labels-in-two-places': Kind(
        'label files lie in labels/ and beside the images, and YOLO reads one of them only',
        'move them into labels/, with the folders that the images have in images/',
    ),
    'wrong-yaml': Kind('settings of data.yaml are not as YOLO has them', 'correct them as said'),
    'absolute-path': _warning(
        'images are named by an absolute path or from outside of the image folder',
        'name them relative to the image folder, so that the dataset can be moved',
    ),
    # boxes and masks
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
    'area-too-large': _warning(
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
    'mask-size': Kind(
        'run-length codes have another size than their image', 'encode the mask at the image size'
    ),
    'mask-beyond': Kind(
        'polygons reach beyond the border of their image by more than 2 pixels',
        'check that they belong to this image at this size, then clip them',
    ),
    'crowd': _warning(
        'annotations are marked iscrowd: they are not trained on and not counted by the metric',
        'set iscrowd to 0 unless they stand for groups',
    ),
    'difficult': _warning(
        'objects are marked difficult: they are not trained on and not counted by the metric, as '
        'in Pascal VOC',
        'set difficult to 0 to use them',
    ),
    'mostly-crowd': Kind(
        'annotations, most of all, are marked iscrowd, or all are difficult: they are not trained '
        'on and not counted',
        'set iscrowd to 0; some programs set it for every run-length code',
    ),
    'marked-ignore': _warning(
        'annotations are marked "ignore" and are dropped', 'set ignore to 0 to use them'
    ),
    'duplicate-annotation': _warning(
        'annotations repeat another one with the same class and box', 'remove the repetition'
    ),
    'keypoints-dropped': _warning(
        'annotations have keypoints, of which the box alone is used', 'nothing, if that is meant'
    ),
    'keypoints-or-polygons': Kind(
        'lines look like boxes with keypoints, but data.yaml has no kpt_shape; they are read as '
        'boxes',
        'say kpt_shape: [points, values of each] in data.yaml; if they are polygons, repeat a '
        'point in one of them',
    ),
    # label maps
    'missing-label': Kind(
        'images have no label map of the same name', 'add the label map, or remove the image'
    ),
    'label-size': Kind(
        'label maps have another size than their image as it is loaded',
        'draw the label map on the image at its size, turned as its EXIF orientation says',
    ),
    'label-colour': Kind(
        'label maps have colours instead of one class number per pixel',
        'save them as PNG with one channel: 0 for the first class, 1 for the second, ...',
    ),
    'label-compressed': Kind(
        'label maps are JPEG or lossy WebP files, whose values are not exact',
        'save them as PNG, from the source',
    ),
    'label-values': Kind(
        'label maps have values beyond the classes, or fractions',
        'number the classes from 0 without gaps, 255 for "ignore"; or name all the classes',
    ),
    'label-0-255': Kind(
        'label maps hold no value but 0 and 255, and 255 means "ignore": nothing is learnt',
        'write 1 instead of 255',
    ),
    'label-ignored': _warning(
        'label maps hold nothing but 255, "ignore"', 'remove them with their images'
    ),
    'mixed-suffixes': Kind(
        'files have another suffix than the config says, and are not seen',
        'write the config anew with tools/new_config.py, or name their suffix in it',
    ),
    # classes and splits
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
        'FasterCocoByNameMetric, and import backbones.openmmlab.coco_by_name in custom_imports; or '
        'name the classes in the order of the files, which have to agree',
    ),
    'control-character': Kind(
        'names have line breaks, other control characters, or bytes that are no UTF-8',
        'rename them with letters, digits and signs that can be seen',
    ),
    'similar-classes': _warning(
        'class names differ in case, blanks or a letter only', 'join them if they are the same'
    ),
    'blank-in-name': _warning(
        'class names begin or end with a blank, which is easily missed in a config',
        'take it away, in all splits',
    ),
    'class-unseen': _warning(
        'classes have no instance in the training split', 'add some, or leave the class out'
    ),
    'class-not-judged': _warning(
        'classes have no instance in the validation split, so nothing says how good they are',
        'move some images with them to the validation split',
    ),
    'no-annotations': Kind(
        'splits have no annotation at all', 'annotate them; without, the metric is -1 or NaN'
    ),
    'empty-split': Kind('splits have no image', 'add images'),
    'no-training': Kind(
        'datasets have no training split', 'name a folder or annotation file train'
    ),
    'no-validation': Kind(
        'datasets have no validation split', 'move a part of the images to a split named val'
    ),
    'without-objects': _warning(
        'images have no annotation; they serve as background',
        'check that nothing is to be found on them',
    ),
    # config
    'missing-data': Kind(
        'folders or files that the config names are not there',
        'correct data_root and paths; --data-root DIR points elsewhere. The folder layouts are in '
        'README.md, section "Datasets"',
    ),
    'filtered-image': _warning(
        "images are left out by the config's filter_cfg",
        'set filter_cfg=dict(filter_empty_gt=False, min_size=0) to train on them',
    ),
    'class-left-out': _warning(
        'classes of the data are not among those that are named, and their annotations are dropped',
        'name them, in this spelling, unless they are meant to be left out',
    ),
    'schedule': _warning(
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
