"""Annotation files in XML."""

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import parse

from backbones.data.faults.faults import Faults


def root_of(file: Path, faults: Faults) -> Element | None:
    """Return an XML file's root; None, with a fault for its folder, if it cannot be read."""
    try:
        return parse(file).getroot()
    except (ParseError, ValueError, LookupError, OSError) as error:  # LookupError: encoding
        faults.add('broken-file', file.parent, f'{file.name}: {error}')
        return None


def texts_in(tree: Element, *places: str) -> tuple[str, ...]:
    """Return the texts of elements; '' for missing ones."""
    return tuple((tree.findtext(place) or '').strip() for place in places)
