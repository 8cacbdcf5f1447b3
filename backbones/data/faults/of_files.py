"""Kinds of faults of images, label maps and annotation files."""

from backbones.data.faults.kind import Kind, warning

IMAGES = {
    'missing-image': Kind(
        'named images do not exist',
        'add the files, correct their paths, or remove their entries from the annotations',
    ),
    'empty-file': Kind('files have 0 bytes', 'copy or download them again'),
    'not-an-image': Kind('files are not images', 'download them again, or remove them'),
    'damaged-image': Kind(
        'images are truncated or damaged', 'download them again, or remove them with their labels'
    ),
    'too-many-pixels': Kind(
        'images have more than 2 ** 30 pixels, which OpenCV cannot load',
        'cut them into smaller ones, or remove them',
    ),
    'unsupported-format': Kind(
        'images have a format that OpenCV, which loads them, cannot read',
        'convert them to PNG or JPEG',
    ),
    'deep-image': Kind(
        'images have more than 8 bits per channel; loading keeps only the upper 8 bits',
        'save all images with this many bits, so that tools/new_config.py writes a config that '
        'reads them as they are; or scale the relevant range of values to 8 bits, and save them '
        'as PNG',
    ),
    'channels-differ': Kind(
        'images differ from the others, or from what is loaded, in their number of channels or '
        'type of values',
        'save all of them with the same channels and bits, or move these away; '
        'tools/new_config.py --channels N reads ordinary images with all N channels',
    ),
    'scales-differ': warning(
        'the values of some images are on a different scale than the others, such as 0 to 1 '
        'instead of 0 to 255',
        'give all images the same scale',
    ),
    'grey-split': warning(
        'all images of one split are grey, and all of another are in colour',
        'make sure that these are the images, and not label maps or thumbnails',
    ),
    'size-swapped': Kind(
        "width and height of annotation and image are swapped, or the image's EXIF orientation "
        'rotates it on loading',
        'correct width and height; if boxes were drawn on the unrotated image, save the images '
        'without the EXIF tag',
    ),
    'size-differs': Kind(
        'the size of images differs from that in the annotations',
        'annotate and train on the same files: scale the annotations, or export them again',
    ),
    'turned-image': warning(
        'images are rotated by their EXIF orientation on loading',
        'look at --pictures; if the labels do not fit, save the images without the EXIF tag',
    ),
    'transparent-image': warning(
        'images have an alpha channel, which loading ignores: transparent areas become visible',
        'save them without alpha, on the intended background',
    ),
    'unread-format': Kind(
        'images have a format that is ignored',
        'convert them to PNG or JPEG, under the same name',
    ),
    'several-frames': warning(
        'files hold several frames or pages; only the first is loaded',
        'save each frame as a separate file',
    ),
    'small-image': warning(
        'images have a side below 32 pixels, the smallest that the backbones accept unpadded',
        'make sure that they are not thumbnails',
    ),
    'unused-image': warning(
        'image files are not named in any annotation file, so they will not be used',
        'annotate them, list them as images without objects, or move them away',
    ),
    'image-elsewhere': warning(
        'images are in another folder than the annotations say, or their names are spelled '
        'differently (in case, or in how accents are composed)',
        'nothing, if these are the right images; the config gets the right paths',
    ),
    'image-in-two-splits': Kind(
        'images are in two splits, so that the metric is measured on training data',
        'keep each image in only one split',
    ),
    'image-twice': warning('images are in a split twice', 'remove one of each pair'),
}

FILES = {
    'broken-file': Kind(
        'annotation files cannot be read', 'export them again; they may be truncated'
    ),
    'wrong-structure': Kind(
        'annotation files lack a part that the format requires', 'export them as COCO instances'
    ),
    'files-conflict': Kind(
        'annotation files of one split contradict each other: two of them annotate the same '
        'class on an image, or give it different sizes',
        'move one of the two files elsewhere, or remove the image from one of them',
    ),
    'several-folders': Kind(
        'a split has several folders of images or label maps, and only the first is read',
        'move all files into one folder, or move the other folder elsewhere',
    ),
    'names-conflict': Kind(
        'two files of class names give the same name different numbers or colours',
        'correct one of them, or remove it',
    ),
    'missing-field': Kind('entries lack a field', 'add it, or export the annotations again'),
    'null-field': warning(
        'fields are null or missing; iscrowd then counts as 0, and area as width times height of '
        'the box',
        'write the values, because other programs treat null as an error',
    ),
    'url-file-name': Kind(
        'images are named by a URL, but the tools do not download them',
        'download the images, and write their file names',
    ),
    'text-numbers': warning(
        'numbers are written as text; the config gets them as numbers',
        'nothing',
    ),
    'wrong-type': Kind(
        'ids or iscrowd are not integers, sizes are not numbers, or names are not text',
        'number images, annotations and categories from 1; iscrowd is 0 or 1',
    ),
    'duplicate-id': Kind(
        'ids are used more than once, so that one entry replaces another', 'number them from 1'
    ),
    'annotation-id-zero': Kind(
        'annotations have an id of 0 or below, which the COCO metrics treat as "not found"',
        'number the annotations from 1',
    ),
    'duplicate-file-name': Kind(
        'image files are listed more than once', 'merge the entries of the same file'
    ),
    'duplicate-class': Kind('class names are used twice', 'give each class its own name'),
    'unnamed-class': Kind(
        'classes have no name, or one that is not text',
        'name them; in files of the VGG annotator, --classes NAME names those of the only class; '
        'remove blank lines from classes.txt',
    ),
    'unknown-image': Kind(
        'annotations have an image id that is not listed', 'list the image, or remove them'
    ),
    'unknown-class': Kind(
        'annotations have a class that is not listed', 'list the class, or correct the annotation'
    ),
    'label-without-image': Kind(
        'label files have no image of the same name', 'add the image, or remove the label file'
    ),
    'ambiguous-image': Kind(
        'label files match several images, so that one may be mistaken for another',
        'move the other images elsewhere; or put the images into JPEGImages beside Annotations, '
        'with the same subfolders, or each label file beside its image, with its name in it',
    ),
    'embedded-image': Kind(
        'labelme files contain an image that differs from the file that they name, and labelme '
        'shows the contained one',
        'open them in labelme; if the shapes fit the named file, remove "imageData" or pass '
        '--allow embedded-image',
    ),
    'labels-in-two-places': Kind(
        'label files are both in labels/ and beside the images, and YOLO reads only one of them',
        'move them into labels/, with the same subfolders as the images in images/',
    ),
    'wrong-yaml': Kind('settings of data.yaml are not as YOLO expects', 'correct them as shown'),
    'absolute-path': warning(
        'images are named by an absolute path, or lie outside the image folder',
        'name them relative to the image folder, so that the dataset can be moved',
    ),
}

LABEL_MAPS = {
    'missing-label': Kind(
        'images have no label map or label file of the same name',
        'add it, or leave out these images with --allow missing-label; only the suffix of the name '
        'may differ',
    ),
    'label-size': Kind(
        'the size of label maps differs from that of their images as loaded',
        'draw the label map at the size of the image, rotated as its EXIF orientation says',
    ),
    'label-colour': Kind(
        'label maps have colours, and no file says which class each colour is',
        'write labelmap.txt into the folder, with a line such as road:128,64,128 for each class',
    ),
    'palettes-differ': Kind(
        'label maps show a value in a different colour than earlier label maps',
        'if the colours determine the classes, list them in labelmap.txt, with a line such as '
        'road:128,64,128; if the values do, pass --allow palettes-differ',
    ),
    'label-unmapped': Kind(
        'label maps have colours that are not in the list of colours',
        'add a line for each to that file, such as border:224,224,192 in labelmap.txt, and pass '
        '--ignore border if it is not a class',
    ),
    'unnamed-labels': warning(
        'no names are given for label maps, so their classes are named by their values',
        'name them in classes.txt, one per line, or with --classes; if the values have gaps, in '
        'labelmap.txt, with a line such as road:7,7,7 for each class',
    ),
    'unnamed-colours': warning(
        'no names are given for the colours of label maps, so the classes are named by their '
        'colours',
        'name them in labelmap.txt, with a line such as road:128,64,128 for each class',
    ),
    'label-instances': Kind(
        'the values of label maps seem to be numbers of instances (1, 2, 3, ... in each), not '
        'classes',
        'pass --layout instance-maps to read each number as an object; if the values are classes, '
        'name them in classes.txt or with --classes',
    ),
    'void-ignored': warning(
        'values or colours are neither learnt nor counted, because they are void or not among '
        'the classes',
        'nothing, if this is right; otherwise name all classes with --classes',
    ),
    'label-compressed': Kind(
        'label maps are JPEG or lossy WebP files, whose values are not exact',
        'save them as PNG, from the source',
    ),
    'label-values': Kind(
        'label maps have values beyond the classes, or fractions',
        'pass --ignore VALUE for values that are not a class, or name all classes; if the values '
        'have gaps, write labelmap.txt with a line such as road:7,7,7 for each class',
    ),
    'label-0-255': Kind(
        'label maps hold only the values 0 and 255, and 255 means "ignore": nothing is learnt',
        'name two classes, which then have the values 0 and 255: --classes background NAME',
    ),
    'label-ignored': warning('label maps hold only 255, "ignore"', 'remove them with their images'),
    'mixed-suffixes': Kind(
        'files have a different suffix than in the config, and are ignored',
        'write the config again with tools/new_config.py, or add their suffix to it',
    ),
}
