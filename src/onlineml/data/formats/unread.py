"""Data sets of boxes that no reader takes, and that would be read as something else: sequences or events as classes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from onlineml.data.manifest.examples import examples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.data.formats.format import Place

__all__ = ["unread_boxes"]

_LOOKED_AT = 8  # files of each kind whose beginnings are read
_SEQUENCE = re.compile(rb"(<\?[^>]*\?>)?\s*<sequence[\s>]")
_FACES = re.compile(rb"[^\r\n]+\.jpe?g[ \t]*+[\r\n]++\d++[ \t]*+[\r\n]++(\d++ ){9}\d", re.IGNORECASE)
_CORNERS = re.compile(rb"(imagesource:[^\n]*\n|gsd:[^\n]*\n)*(-?\d++(\.\d++)? ){8}\S++ [012]\s")


def unread_boxes(place: Place) -> str:
    """Return a sentence on boxes that lie at a place and cannot be read, with the remedy; ``""`` if there are none."""
    found: dict[str, list[str]] = {}
    for name, path in _recognised(place):
        found.setdefault(name, []).append(path)
    if not found:
        return ""
    name, paths = next(iter(found.items()))
    return (
        f"{place.at} has boxes as {name} writes them ({examples(paths)}), which have no reader here: write a table "
        "with a row for each box (path,label,x1,y1,x2,y2) and pass it to Manifest.from_boxes; the page on formats has "
        "the lines for it, under 'Data sets without a reader'"
    )


def _recognised(place: Place) -> Iterator[tuple[str, str]]:
    """Yield the name of a data set, and a file that is of its form."""
    listing = place.listing
    yield from (("CrowdHuman", path) for path in listing.ending_in(".odgt"))
    texts = listing.ending_in(".txt")
    yield from (("MOT Challenge", path) for path in texts if f"/{path}".endswith("/gt/gt.txt"))
    for path in texts[:_LOOKED_AT]:
        head = place.head(path)
        if _FACES.match(head):
            yield "WIDER FACE", path
        elif _CORNERS.match(head.replace(b"\r", b"")):
            yield "DOTA", path
    for path in listing.ending_in(".xml")[:_LOOKED_AT]:
        if _SEQUENCE.match(place.head(path).lstrip(b"\xef\xbb\xbf \r\n")):
            yield "UA-DETRAC", path
    for path in listing.ending_in(".json")[:_LOOKED_AT]:
        if place.json(path).kind == "array" and {"name", "labels"} <= {*place.json(path).keys}:
            yield "BDD100K", path
