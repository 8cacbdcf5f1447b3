"""Kinds of faults of images, label maps and annotation files."""

from backbones.data.fault_kind import Kind, warning

IMAGES = {
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
    'too-many-pixels': Kind(
        'images have more than 2 ** 30 pixels, which OpenCV does not load',
        'cut them into smaller ones, or remove them',
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
    'turned-image': warning(
        'images are turned by their EXIF orientation when they are loaded',
        'look at --pictures; if the labels do not fit, save the images without the EXIF tag',
    ),
    'transparent-image': warning(
        'images have an alpha channel, which loading ignores: what was transparent shows up',
        'save them without alpha, on the background that is meant',
    ),
    'unread-format': Kind(
        'images have a format that is passed over',
        'convert them to PNG or JPEG, under the same name',
    ),
    'several-frames': warning(
        'files hold several frames or pages; only the first is loaded',
        'save each frame as a file of its own',
    ),
    'small-image': warning(
        'images have a side below 32 pixels, the least that the backbones take before padding',
        'check that these are not thumbnails',
    ),
    'unused-image': warning(
        'image files are named by no annotation file, so nothing will see them',
        'annotate them, list them as images without objects, or move them away',
    ),
    'image-in-two-splits': Kind(
        'images are in two splits, so that the metric is measured on what was trained on',
        'keep each image in one split only',
    ),
    'image-twice': warning('images are in a split twice', 'remove one of each pair'),
}

FILES = {
    'broken-file': Kind(
        'annotation files cannot be read', 'export them again; they may have been cut short'
    ),
    'wrong-structure': Kind(
        'annotation files lack a part that the format demands', 'export them as COCO instances'
    ),
    'missing-field': Kind('entries lack a field', 'add it, or export the annotations again'),
    'null-field': warning(
        'fields are null; iscrowd is taken for 0, and area for width times height of the box',
        'write the values, for programs that take null for an error',
    ),
    'url-file-name': Kind(
        'images are named by an address, and nothing here downloads them',
        'download the images, and write the names of their files',
    ),
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
    'absolute-path': warning(
        'images are named by an absolute path or from outside of the image folder',
        'name them relative to the image folder, so that the dataset can be moved',
    ),
}

LABEL_MAPS = {
    'missing-label': Kind(
        'images have no label map, or no label file, of the same name',
        'add it, or remove the image; the name has to be the same but for the suffix',
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
    'label-ignored': warning(
        'label maps hold nothing but 255, "ignore"', 'remove them with their images'
    ),
    'mixed-suffixes': Kind(
        'files have another suffix than the config says, and are not seen',
        'write the config anew with tools/new_config.py, or name their suffix in it',
    ),
}
