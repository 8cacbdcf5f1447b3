"""Checks of a single COCO mask: polygons or a run-length code."""

from collections.abc import Iterator

from pycocotools import mask as coco_mask

from backbones.data.files.numbers import are_numbers, rounded

SLACK = 2  # pixels that a shape may extend beyond the border: annotation tools round
Found = tuple[str, str]  # kind of fault and detail


def has_mask(annotation: dict) -> bool:
    """Return whether an annotation has a mask; some exporters write `[[]]` for none."""
    mask = annotation.get('segmentation')
    return any(map(_is_filled, mask)) if isinstance(mask, list) else bool(mask)


def _is_filled(part: object) -> bool:
    return part not in ([], None, '')


def check_mask(mask: object, width: int, height: int) -> tuple[list[Found], list[float] | None]:
    """Check a mask of an image of the given size in pixels.

    Returns:
        Faults, and the mask's bounding box [x, y, width, height] if it can be computed.
    """
    if isinstance(mask, dict):
        return _check_code(mask, width, height)
    return _check_polygons(mask, width, height)


def _check_code(mask: dict, width: int, height: int) -> tuple[list[Found], list[float] | None]:
    counts, size = mask.get('counts'), mask.get('size')
    said = ''
    if not isinstance(counts, str | list) or not isinstance(size, list) or not counts:
        said = 'it needs counts and size'
    elif size != [height, width]:
        return [('mask-size', f'size {size}, should be [{height}, {width}]')], None
    elif isinstance(counts, str) and counts[:2] in ("b'", 'b"'):
        said = f'counts is {counts[:12]}..., the repr of Python bytes; write counts.decode()'
    elif isinstance(counts, list) and not are_numbers(counts):
        said = f'counts {str(counts)[:40]}'
    elif isinstance(counts, list) and sum(counts) != width * height:
        said = f'counts add up to {sum(counts)}'
    else:
        try:
            code = coco_mask.frPyObjects(mask, height, width) if isinstance(counts, list) else mask
            bounds = [float(v) for v in coco_mask.toBbox(code)]
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            return [('mask-broken', str(error))], None
        if not bounds[2] * bounds[3]:
            said = 'empty'
        elif bounds[0] + bounds[2] > width or bounds[1] + bounds[3] > height:
            said = 'the code does not match its size'
        else:
            return [], bounds
    return [('mask-broken', said)], None


def _check_polygons(
    mask: object, width: int, height: int
) -> tuple[list[Found], list[float] | None]:
    if not isinstance(mask, list) or not all(map(_is_polygon, mask)):
        return [('mask-broken', str(mask)[:50])], None
    xs = [x for polygon in mask for x in polygon[::2]]
    ys = [y for polygon in mask for y in polygon[1::2]]
    bounds = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    if max(map(abs, xs + ys)) <= 1:
        return [('box-fractions', 'segmentation')], None
    found = []
    if min(xs + ys) < -SLACK or max(xs) > width + SLACK or max(ys) > height + SLACK:
        found.append(('mask-beyond', f'mask within {rounded(bounds)}'))
    if not bounds[2] or not bounds[3]:
        return [*found, ('mask-broken', 'polygon without area')], None
    return [*found, *_holes(mask)], bounds


def _is_polygon(polygon: object) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return are_numbers(polygon)


def _holes(polygons: list[list[float]]) -> Iterator[Found]:
    """Find a polygon inside another: some annotation tools mean a hole, but readers fill it."""
    for i, inner in enumerate(polygons):
        for j, outer in enumerate(polygons):
            if i != j and all(_is_inside(x, y, outer) for x, y in zip(inner[::2], inner[1::2])):
                yield 'mask-hole', f'polygon {i + 1} lies in polygon {j + 1}'
                return


def _is_inside(x: float, y: float, polygon: list[float]) -> bool:
    """Return whether a ray to the right of a point crosses the border an odd number of times."""
    xs, ys = polygon[::2], polygon[1::2]
    edges = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1])
    return bool(
        sum(
            (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1)
            for x1, y1, x2, y2 in edges
        )
        % 2
    )
