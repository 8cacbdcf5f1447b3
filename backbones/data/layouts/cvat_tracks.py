"""The tracks of "CVAT for video 1.1" as the images of "CVAT for images 1.1"."""

import bisect
import math
import re
from itertools import pairwise
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

from backbones.data.faults.faults import Faults
from backbones.data.files.listing import list_images

FRAME = re.compile(r'frame_(\d+)')  # what CVAT calls the images of a video


def as_images(tree: Element, file: Path, faults: Faults) -> Element:
    """Turn tracks into images with shapes: each frame that is on the disk is one.

    Frames are the images with numbered names, or else all images in the order of their names,
    if the task has as many. CVAT writes a shape for each frame in which an object is
    visible, including those between the drawn ones.

    Args:
        tree: the root of the XML file `file`.
    """
    images = Element('annotations')
    images.extend(tree.findall('meta'))
    tracks = tree.findall('track')
    names = _frames(tree, file.parent)
    if not names or len({track.get('task_id') for track in tracks}) > 1:
        what = 'several tasks: export each of them' if names else (
            'tracks over frames, but there are no images of the frames: export with images, or use '
            'ffmpeg -i VIDEO -start_number 0 images/frame_%06d.png')  # fmt: skip
        faults.add('wrong-structure', file, f'it has {what}')
        return images
    sides = {side: tree.findtext(f'.//original_size/{side}', '') for side in ('width', 'height')}
    frames = {
        number: SubElement(images, 'image', dict(sides, name=name))
        for number, name in sorted(names.items())
    }
    order = [*frames, math.inf]
    for track in tracks:
        seen = {number: shape for shape in track if (number := _number(shape, file, faults)) >= 0}
        for number, later in pairwise([*sorted(seen), -1]):
            shape = seen[number]
            if shape.get('outside') == '1':
                continue
            if number not in frames:
                faults.add('missing-image', file, f'frame_{number:06d}')
                continue
            frames[number].set('subset', track.get('subset', ''))
            shape_of = dict(shape.attrib, label=track.get('label', ''))
            SubElement(frames[number], shape.tag, shape_of)
            after = order[bisect.bisect(order, number)]
            if after < later:
                faults.add('broken-shape', file, f'track {track.get("id")} has no shape in frame '
                           f'{after}, between {number} and {later}')  # fmt: skip
    return images


def _number(shape: Element, file: Path, faults: Faults) -> int:
    """Return a shape's frame; -1, with a fault added, if it has none."""
    said = shape.get('frame', '')
    if said.isdecimal() and len(said) < 10:
        return int(said)
    faults.add('broken-shape', file, f'a {shape.tag} of a track in frame {said!r}')
    return -1


def _frames(tree: Element, folder: Path) -> dict[int, str]:
    """Return the image of each frame, by the frame's number."""
    images = list_images(folder)
    counted = {int(found[1]): image for image in images if (found := FRAME.fullmatch(image.stem))}
    if not counted and tree.findtext('.//task/size') == str(len(images)):
        counted = dict(enumerate(images))
    return {number: image.relative_to(folder).as_posix() for number, image in counted.items()}
