"""Kinds of faults of images, label maps and annotation files."""

from backbones.data.fault_kind import Kind, warning

IMAGES = {
    'missing-image': Kind(
        'images that are named do not exist',
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
        'save all images with as many bits, and tools/new_config.py writes a config that reads '
        'them as they are; or scale the relevant range of values to 8 bits, and save as PNG',
    ),
    'channels-differ': Kind(
        'images have other channels, or another type of values, than the others or than is loaded',
        'save all of them with the same channels and bits, or move them away; tools/new_config.py '
        '--channels N reads ordinary images with all N channels',
    ),
    'scales-differ': warning(
        'images have values of another scale than the others, such as 0 to 1 and 0 to 255',
        'scale all images alike',
    ),
    'grey-split': warning(
        'all images of a split are grey, and all of another are not',
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
        'images are at another place in the dataset than the annotations say, or the two are '
        'spelled otherwise, by their case or the way in which accents are composed',
        'nothing, if these are the images that are meant; the config gets the right paths',
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
        'annotation files of one split contradict each other: the same class is annotated on an '
        'image in two of them, or its sizes differ',
        'move one of the two files elsewhere, or the image out of one of them',
    ),
    'several-folders': Kind(
        'a split has several folders of images or label maps, and only the first is read',
        'move their files into one, or the other folder elsewhere',
    ),
    'names-conflict': Kind(
        'files of class names give the same name another number or colour',
        'correct one of them, or remove it',
    ),
    'missing-field': Kind('entries lack a field', 'add it, or export the annotations again'),
    'null-field': warning(
        'fields are null; iscrowd then counts as 0, and area as width times height of the box',
        'write the values, for programs that treat null as an error',
    ),
    'url-file-name': Kind(
        'images are named by a URL, and nothing here downloads them',
        'download the images, and write their file names',
    ),
    'wrong-type': Kind(
        'ids or iscrowd are not integers, sizes are not numbers, or names are not text',
        'number images, annotations and categories from 1; iscrowd is 0 or 1',
    ),
    'duplicate-id': Kind(
        'ids are used more than once, so that one entry replaces another', 'number them from 1'
    ),
    'annotation-id-zero': Kind(
        'annotations have the id 0 or below, which the COCO metrics treat as "not found"',
        'number the annotations from 1',
    ),
    'duplicate-file-name': Kind(
        'image files are listed more than once', 'merge the entries of the same file'
    ),
    'duplicate-class': Kind('class names are used twice', 'give each class its own name'),
    'unnamed-class': Kind(
        'classes have no name, or one that is not text',
        'name them; remove blank lines from classes.txt',
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
        'put the images into JPEGImages beside Annotations, with the same subfolders, or each '
        'label file beside its image, and correct the name in it',
    ),
    'embedded-image': Kind(
        'labelme files hold another image than the file that they name, and labelme shows the one '
        'that they hold',
        'open them in labelme; if the shapes fit the file, remove "imageData" from them or --allow '
        'embedded-image',
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
        'add it, or remove the image; only the suffix of the name may differ',
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
        'label maps show the same value in other colours than the maps before them',
        'if the colours tell the classes, list them in labelmap.txt, with a line such as '
        'road:128,64,128; if the values do, give --allow palettes-differ',
    ),
    'label-unmapped': Kind(
        'label maps have colours that the list of colours lacks',
        'add a line for each to that file, such as border:224,224,192 in labelmap.txt, and leave '
        'it out with --ignore border if it is no class',
    ),
    'unnamed-labels': warning(
        'label maps have no names, and their classes are called by their values',
        'name them in classes.txt, one per line, or with --classes',
    ),
    'label-instances': Kind(
        'label maps look like numbers of instances, 1, 2, 3 ... in each, not like classes',
        'write an annotation for each number, as COCO; if the values are classes, name these in '
        'classes.txt or with --classes',
    ),
    'void-ignored': warning(
        'values or colours are neither learnt nor counted, since they are void or not among the '
        'classes',
        'nothing, if this is right; otherwise name all classes with --classes',
    ),
    'label-compressed': Kind(
        'label maps are JPEG or lossy WebP files, whose values are not exact',
        'save them as PNG, from the source',
    ),
    'label-values': Kind(
        'label maps have values beyond the classes, or fractions',
        'give --ignore VALUE for values that are no class; or name all classes; or, if the values '
        'have gaps, write labelmap.txt with a line such as road:7,7,7 for each class',
    ),
    'label-0-255': Kind(
        'label maps hold only the values 0 and 255, and 255 means "ignore": nothing is learnt',
        'name two classes, which 0 and 255 then are: --classes background NAME',
    ),
    'label-ignored': warning('label maps hold only 255, "ignore"', 'remove them with their images'),
    'mixed-suffixes': Kind(
        'files have another suffix than the config says, and are ignored',
        'write the config again with tools/new_config.py, or name their suffix in it',
    ),
}
