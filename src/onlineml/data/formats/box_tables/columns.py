"""Recognise the columns of a table of boxes, whatever people call them.

Names are compared without case, blanks and punctuation. Four corners, or a corner (a centre) and a size, or one column
of four numbers; tables of TensorFlow and Roboflow (``filename,width,height,class,xmin,ymin,xmax,ymax``), VoTT
(``image,xmin,ymin,xmax,ymax,label``), DeepForest, LISA, make-sense, OpenImages; and those without a header of
keras-retinanet (``path,x1,y1,x2,y2,class``), SKU-110K (with the image's width and height after it) and make-sense
(``class,x,y,width,height,name,image width,image height``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.formats.columns import find_columns, image_roles
from onlineml.data.formats.csv import TableFile, key
from onlineml.data.images.policies import is_image_name
from onlineml.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BoxColumns", "Layout", "layout_of", "recognised"]

_Corners = tuple[tuple[str, ...], tuple[str, ...]]  # columns, and what their four numbers may mean
_NUMBER = re.compile(r"\d+(?:\.\d*)?")
KINDS = ("xyxy", "xywh", "cxcywh")
_MORE_PATHS = (("frame", "externalid"),)
_MORE_LABELS = (("name", "object", "objectclass", "annotationtag"),)
_SIZES = ("imagewidth imageheight", "imgwidth imgheight", "imgw imgh", "imw imh", "width height", "w h")
_CORNERS: Mapping[str, tuple[str, ...]] = {
    "xyxy": (
        *("x1 y1 x2 y2", "xmin ymin xmax ymax", "xtl ytl xbr ybr", "left top right bottom", "x0 y0 x1 y1"),
        *("minx miny maxx maxy", "xstart ystart xend yend", "startx starty endx endy", "ulx uly lrx lry"),
        *("tlx tly brx bry", "xleft ytop xright ybottom", "topleftx toplefty bottomrightx bottomrighty"),
        "upperleftcornerx upperleftcornery lowerrightcornerx lowerrightcornery",
    ),
    "xywh": (
        *("x y w h", "x y width height", "left top width height", "xmin ymin width height", "xmin ymin w h"),
        *("x1 y1 width height", "x1 y1 w h", "topleftx toplefty width height", "minx miny width height"),
    ),
    "cxcywh": (
        *("xcenter ycenter width height", "xcenter ycenter w h", "centerx centery width height", "cx cy w h"),
        *("centerx centery w h", "cx cy width height", "xc yc w h", "midx midy width height"),
    ),
}
_PREFIXES = ("", "bbox", "box", "boundingbox", "bndbox", "bb")
_LISTS = {
    **dict.fromkeys(("bbox", "box", "boundingbox", "bboxes", "boxes", "boxesstring"), ""),
    "bboxxyxy": "xyxy",
    "bboxxywh": "xywh",
}
_RETINANET = ("path", "x1", "y1", "x2", "y2", "label", "width", "height")
_MAKE_SENSE = ("label", "x", "y", "w", "h", "path", "width", "height")


@dataclass(frozen=True)
class BoxColumns:
    """Names of a table's columns, see `Manifest.from_boxes`; None: found by their usual names."""

    path: str | None = None
    label: str | None = None
    box: tuple[str, str, str, str] | str | None = None
    split: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        """Refuse what `box` cannot be."""
        if isinstance(self.box, str) and self.box not in KINDS:
            raise ConfigError(f"box={self.box!r}: expected the names of four columns, or one of {', '.join(KINDS)}")


class Layout(NamedTuple):
    """A table of boxes and its columns.

    Attributes:
        file: the table.
        columns: of paths, labels, splits and groups, by their roles; without labels, all boxes are of one class.
        corners: four columns, or one with four numbers in each cell.
        kinds: what the four numbers may mean, of `KINDS`; one, if the names tell.
        sizes: the columns of the image's width and height, if there are any.
    """

    file: TableFile
    columns: Mapping[str, str]
    corners: tuple[str, ...]
    kinds: tuple[str, ...]
    sizes: tuple[str, ...]


def recognised(file: TableFile) -> bool:
    """Return whether a table's columns are those of a table of boxes."""
    if _headerless(file) is not None:
        return True
    corners = _corners(file.names)
    return corners is not None and (len(corners[0]) == 4 or _holds_lists(file, corners[0][0]))


def _holds_lists(file: TableFile, name: str) -> bool:
    """Return whether a column holds lists, or texts of four numbers or more; it may have no rows."""
    column = file.sampled(name).drop_null()
    if pa.types.is_list(column.type):
        return True
    return all(len(_NUMBER.findall(str(value))) >= 4 for value in column.to_pylist()[:20])


def layout_of(file: TableFile, given: BoxColumns, notes: list[str]) -> Layout:
    """Find the columns of a table of boxes.

    Args:
        file: the table.
        given: the columns that are named by the caller; these must be there.
        notes: gets a sentence about a choice between several.

    Raises:
        DataError: a column is not there, or could be one of several.
    """
    if not isinstance(given.box, tuple) and (bare := _headerless(file)) is not None:
        file = file.without_header(bare)
        if given.box is None and len(bare) == 6:
            _require_class_last(file)
    roles = image_roles(given.path, given.label or None, given.split, given.group)
    roles["path"] = replace(roles["path"], synonyms=roles["path"].synonyms + _MORE_PATHS)
    columns = find_columns(file, {"path": roles.pop("path")}, notes)
    corners, kinds = _wanted_corners(file, given.box)
    taken = {columns["path"], *corners}
    more = tuple(tuple(word for word in tier if word != key(columns["path"])) for tier in _MORE_LABELS)
    roles["label"] = replace(roles["label"], synonyms=roles["label"].synonyms + more)
    columns |= find_columns(file, roles, notes)
    if given.label == "":
        del columns["label"]
    elif columns["label"] not in file.names:
        shown = ", ".join(repr(name) for name in file.names if name not in taken) or "none"
        raise DataError(
            f"{file.where} has no column 'label', nor one such as 'class'; beside the boxes it has {shown}; "
            "set label= to the column of classes, or label='' if all boxes are of one class"
        )
    rest = [name for name in file.names if name not in taken]
    sizes = next((own for words in _SIZES if (own := _match(rest, words)) is not None), ())
    return Layout(file, columns, corners, kinds, sizes)


def _wanted_corners(file: TableFile, given: tuple[str, ...] | str | None) -> _Corners:
    """Return the columns of the boxes, and what their four numbers may mean."""
    if isinstance(given, tuple):
        missing = [name for name in given if name not in file.names]
        found: _Corners | None = None if missing else (given, ("xyxy",))
    else:
        found = _corners(file.names)
        missing = [] if found else ["x1", "y1", "x2", "y2"]
    if found is None:
        absent = ", ".join(map(repr, [name for name in missing if name not in file.names]))
        others = ", ".join(map(repr, file.names)) or "none"
        raise DataError(
            f"{file.where} has no column {absent}; its columns are {others}; set the corners' columns with box="
        )
    return found[0], found[1] if given is None or isinstance(given, tuple) else (given,)


def _corners(names: Sequence[str]) -> _Corners | None:
    for prefix in _PREFIXES:
        for kind, patterns in _CORNERS.items():
            for pattern in patterns:
                columns = _match(names, pattern, prefix=prefix)
                if columns is not None and (kind == "xyxy" or _size_follows(names, columns)):
                    # in pixels x, y is the upper left corner; in shares often the centre, as YOLO has it
                    return columns, ("xywh", "cxcywh") if pattern.startswith("x y ") else (kind,)
    by_key = {key(name): name for name in names}
    for word, kind in _LISTS.items():
        if word in by_key:
            return (by_key[word],), (kind,) if kind else KINDS
    return None


def _match(names: Sequence[str], pattern: str, *, prefix: str = "") -> tuple[str, ...] | None:
    by_key = {key(name).replace("centre", "center"): name for name in reversed(names)}
    columns = tuple(by_key.get(prefix + word) for word in pattern.split())
    return None if None in columns else tuple(map(str, columns))


def _size_follows(names: Sequence[str], columns: Sequence[str]) -> bool:
    """Return whether the size stands after the corner: before it, ``width,height`` is more likely the image's."""
    return names.index(columns[1]) < min(names.index(columns[2]), names.index(columns[3]))


def _headerless(file: TableFile) -> tuple[str, ...] | None:
    """Return names for the columns of a table whose first line is a row; None if it is a header."""
    row = [cell.strip() for cell in file.first_row]
    for names in (_RETINANET, _MAKE_SENSE):
        for width in (8, 6) if names is _RETINANET else (8,):
            if len(row) == width and _is_row(dict(zip(names, row, strict=False))):
                return names[:width]
    return None


def _require_class_last(file: TableFile) -> None:
    """Refuse five numbers without a header, of which the first may be the class as well as the last.

    Raises:
        DataError: in all rows the last four may be corners.
    """
    columns = file.sample.select(["y1", "x2", "y2", "label"])
    if not all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in columns.schema.types):
        return
    x1, y1, x2, y2 = columns.columns
    if pc.all(pc.and_(pc.less(x1, x2), pc.less(y1, y2))).as_py():
        raise DataError(
            f"{file.where} has no header, and its class may be the first or the last of the five numbers; give it the "
            'header path,x1,y1,x2,y2,label in the right order, or set box="xyxy" (Manifest.from_boxes): the last is it'
        )


def _is_row(cells: Mapping[str, str]) -> bool:
    """Return whether cells are those of a box: an image's name, and four numbers or nothing."""
    numbers = [text for name, text in cells.items() if name not in {"path", "label"}]
    named = is_image_name(cells["path"]) and not is_image_name(cells["label"])
    return named and (all(map(_is_number, numbers)) if any(numbers) else not cells["label"])


def _is_number(text: str) -> bool:
    try:
        return float(text) is not None
    except ValueError:
        return False
