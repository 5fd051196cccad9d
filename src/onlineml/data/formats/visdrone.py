"""VisDrone's detection: ``images/a.jpg`` and ``annotations/a.txt`` with eight whole numbers for each object.

``left,top,width,height,score,category,truncation,occlusion`` (github.com/VisDrone/VisDrone2018-DET-toolkit). A score of
0, and the category 0, mark regions that do not count: ignored regions of no class, `crowd` here. The other categories
have names only in the toolkit, in the order below.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from onlineml.data.formats.annotated import Shape
from onlineml.data.formats.format import Format
from onlineml.data.formats.pairs import stem
from onlineml.data.formats.row_files import parse_rows
from onlineml.data.formats.text_boxes import read_beside_images
from onlineml.data.formats.yolo.read import may_be_labels

if TYPE_CHECKING:
    from onlineml.data.formats.format import Place, Source
    from onlineml.data.formats.parts import Parts

__all__ = ["VISDRONE", "parse_visdrone", "read_visdrone"]

_CATEGORIES = (
    *("pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor"),
    "others",
)
_ROW = re.compile(r"\s*(-?\d{1,9}),(-?\d{1,9}),(\d{1,9}),(\d{1,9}),([01]),(\d|1[01]),([01]),([0-2]),?\s*")
_SPLIT = re.compile(r"(?:^|[-_])(train|val|test)(?:[-_](?:dev|challenge))?$")  # as in VisDrone2019-DET-test-dev
_LOOKED_AT = 8  # files whose beginnings are read to recognise the format


def _shape(row: str) -> Shape | None:
    """Return the box of a row; None if it is of another format."""
    found = _ROW.fullmatch(row)
    if found is None:
        return None
    left, top, width, height, score, category, truncation, occlusion = map(int, found.groups())
    corners = (float(left), float(top), float(left + width), float(top + height))
    if not score or not category:
        return Shape(None, corners, {"crowd": True})
    told = {name: value for name, value in (("truncated", truncation), ("occluded", occlusion)) if value}
    return Shape(_CATEGORIES[category - 1], corners, told)


def parse_visdrone(data: bytes, where: str) -> list[Shape]:
    """Return the boxes of a file.

    Args:
        data: its content.
        where: the file, for messages.

    Raises:
        DataError: a row has other columns; its line is named.
    """
    return parse_rows(data, where, _shape, expected="'left,top,width,height,score,category,truncation,occlusion'")


def read_visdrone(source: Source, *, holds: str) -> Parts:
    """Read folders of images and of VisDrone's rows.

    Raises:
        DataError: a row cannot be read, or a file fits several images; all are named.
    """
    return read_beside_images(
        source, parse_visdrone, name="visdrone", holds=holds, order=_CATEGORIES, split_of=_split_of
    )


def _split_of(path: str) -> str | None:
    found = (_SPLIT.search(part) for part in path.lower().split("/")[:-1])
    return next((match[1] for match in found if match), None)


def _detect(place: Place) -> Source | None:
    """Recognise text files that are called like images, if all whole rows at their beginnings are of this form."""
    texts = list(islice(filter(may_be_labels, place.listing.ending_in(".txt")), _LOOKED_AT))
    names = {stem(path) for path in place.images} if texts else set()
    heads = [place.head(path).decode("utf-8-sig", "ignore") for path in texts if stem(path) in names]
    rows = [row for head in heads for row in head.splitlines()[:16] if row.strip()]
    return place.listed_source() if rows and all(map(_shape, rows)) else None


VISDRONE = Format(
    "visdrone",
    holds=("boxes_xyxy", "labels"),
    expected="a text file of eight whole numbers a row for each image, as VisDrone has them",
    detect=_detect,
    read=read_visdrone,
)
