"""One annotation of Pascal VOC: an XML element with an ``object`` per box, reading and writing.

Pixels are counted from 1 and the last one is inclusive (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/,
section 3.3), so an image of width W extends from ``xmin`` 1 to ``xmax`` W, which is 0 to W here. Detectron2 reads it
the same way; torchvision and FiftyOne return the numbers unchanged. Numbers are converted as decimals, not as binary
fractions, so that 48.3 becomes 47.3 and is written as 48.3 again.

Without corners, the box around a polygon is read, whose pixels are counted in the same way, or around the rotated box
of roLabelImg, whose centre and sides are distances from the image's edge. Their elements are kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import pyarrow as pa

from onlineml.data.formats.parts import plain_decimal
from onlineml.data.formats.xml import parsed_xml
from onlineml.data.manifest.boxes import OPTIONAL_BOX_COLUMNS
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

__all__ = [
    "VocBox",
    "VocImage",
    "annotation_bytes",
    "leaf_xml",
    "read_annotation",
    "typed_column",
]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_EXACT = "boxes_xyxy"  # onlineml's own element, for a box that VOC's corners cannot represent
_ABOUT_FILE = frozenset({"folder", "filename", "path", "size", "object"})
_ABOUT_BOX = frozenset({"name", "bndbox", _EXACT})
_OUTLINES = ("polygon", "segmentation", "robndbox", "bndbox")
_TAG = re.compile(r"[A-Za-z_][\w.\-]*", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+")
_TRUTH = {"true": True, "false": False}
_KINDS: tuple[tuple[Callable[[str], Any], Callable[[Any], str]], ...] = (
    (int, str),
    (float, repr),
    (_TRUTH.__getitem__, lambda value: str(value).lower()),
)
_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2; less \r


@dataclass(frozen=True)
class VocBox:
    """One object: its class, its corners (nan if absent), further leaves by tag, and the XML of other elements.

    `outline` is what the box was computed from, if not from its corners: ``"polygons"`` or ``"rotated boxes"``;
    `exact` tells that onlineml's own element gives the corners.
    """

    label: str | None
    box_xyxy: Sequence[float]
    leaves: Mapping[str, str]
    rest: str | None
    outline: str = ""
    exact: bool = False


@dataclass(frozen=True)
class VocImage:
    """One annotation: the declared size, its objects, further leaves by tag, and the XML of other elements.

    `names` are those of the image in ``<filename>`` and at the end of ``<path>``.
    """

    size_hw: tuple[int, int] | None
    boxes: Sequence[VocBox]
    leaves: Mapping[str, str]
    rest: str | None
    names: tuple[str, ...] = ()


# ---- reading ----


def read_annotation(data: bytes, *, reserved: AbstractSet[str]) -> VocImage | None:
    """Read an XML file; return None if it is not an annotation.

    Args:
        data: the file.
        reserved: tags that cannot be leaves because they are reserved as column names, except those that are used here.

    Raises:
        ValueError: the file is not XML, or has a DTD or entities, which are refused without being read.
    """
    root = parsed_xml(data.lstrip())  # some tools begin with a blank line
    if root.tag != "annotation":
        return None
    try:
        leaves, rest = _further(root, reserved - {"group"}, known=_ABOUT_FILE)
        boxes = [_read_box(element, reserved - OPTIONAL_BOX_COLUMNS.keys()) for element in root.findall("object")]
        return VocImage(_size_hw(root), boxes, leaves, rest, _names(root))
    except RecursionError:
        raise ValueError("elements are nested too deeply") from None


def _names(root: Element) -> tuple[str, ...]:
    texts = (_text(root, tag) for tag in ("filename", "path"))
    return tuple(dict.fromkeys(text.replace("\\", "/").rpartition("/")[2] for text in texts if text))


def _read_box(element: Element, reserved: AbstractSet[str]) -> VocBox:
    outline, box = _around(element)
    leaves, rest = _further(element, reserved, known=_ABOUT_BOX)
    exact = [_decimal(word) for word in (_text(element, _EXACT) or "").split()]
    own = len(exact) == 4 and all(abs(float(e) - b) < 1.001 or math.isnan(b) for e, b in zip(exact, box, strict=True))
    corners = [float(value) for value in exact] if own else box
    return VocBox(_text(element, "name"), corners, leaves, rest, outline, own)


def _around(element: Element) -> tuple[str, list[float]]:
    """Return what the box is computed from, see `VocBox`, and the box."""
    bndbox = element.find("bndbox")
    corners = [None if bndbox is None else _text(bndbox, name) for name in _CORNERS]
    if any(corners):
        return "", _corners(corners)
    rotated = [_decimal(_text(element, f"robndbox/{name}")) for name in ("cx", "cy", "w", "h", "angle")]
    if all(value.is_finite() for value in rotated):
        x, y, width, height, angle = map(float, rotated)
        cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
        dx, dy = (width * cosine + height * sine) / 2, (width * sine + height * cosine) / 2
        return "rotated boxes", [x - dx, y - dy, x + dx, y + dy]
    points = [leaf for tag in _OUTLINES for top in element.findall(tag) for leaf in top.iter() if not len(leaf)]
    xs, ys = ([_decimal(leaf.text) for leaf in points if leaf.tag[:1].lower() == axis] for axis in "xy")
    if xs and ys and all(value.is_finite() for value in (*xs, *ys)):
        return "polygons", _corners([str(value) for value in (min(xs), min(ys), max(xs), max(ys))])
    return "", _corners(corners)


def _further(
    element: Element, no_leaves: AbstractSet[str], *, known: AbstractSet[str]
) -> tuple[dict[str, str], str | None]:
    """Return the text of each leaf whose tag is unique, and the XML of the other elements."""
    times = Counter(child.tag for child in element)
    leaves, rest = {}, []
    for child in element:
        if child.tag in known:
            continue
        is_leaf = not len(child) and not child.attrib and times[child.tag] == 1 and _TAG.fullmatch(child.tag)
        text = (child.text or "").strip()
        if not is_leaf or child.tag in no_leaves:
            rest.append(_unindented(child))
        elif text:
            leaves[child.tag] = text
    return leaves, "".join(rest) or None


def _unindented(element: Element) -> str:
    """Return the XML of an element without whitespace for indentation."""
    for node in element.iter():
        node.text = node.text if node.text and node.text.strip() else None
        node.tail = node.tail if node.tail and node.tail.strip() else None
    element.tail = None
    return tostring(element, encoding="unicode")


def _text(element: Element, path: str) -> str | None:
    return (element.findtext(path) or "").strip() or None


def _size_hw(root: Element) -> tuple[int, int] | None:
    size = root.find("size")
    height, width = (_decimal(None if size is None else _text(size, side)) for side in ("height", "width"))
    whole = height.is_finite() and width.is_finite() and 1 <= height < 2**31 and 1 <= width < 2**31
    return (int(height), int(width)) if whole else None


def _decimal(text: str | None) -> Decimal:
    try:
        return Decimal(text or "nan")
    except ArithmeticError:
        return Decimal("nan")


def _corner(text: str | None) -> Decimal:
    if text is not None and _COMMA.fullmatch(text):
        raise ValueError(f"{text!r:.40} has a decimal comma; write a point")
    return _decimal(text)


def _corners(texts: Sequence[str | None]) -> list[float]:
    """Return x1, y1, x2, y2. A side that ends where it begins has zero extent: a click without a drag."""
    x_min, y_min, x_max, y_max = map(_corner, texts)
    (x1, x2), (y1, y2) = _side(x_min, x_max), _side(y_min, y_max)
    return [x1, y1, x2, y2]


def _side(low: Decimal, high: Decimal) -> tuple[float, float]:
    try:
        return float(low - 1), float(high if high > low else high - 1)
    except ArithmeticError:  # nan cannot be compared
        return float("nan") if low.is_nan() else float(low) - 1, float("nan") if high.is_nan() else float(high)


def typed_column(texts: Sequence[str | None]) -> pa.Array:
    """Convert texts to integers, numbers or booleans, if all of them are written in that form."""
    told = [text for text in texts if text is not None]
    for parse, write in _KINDS:
        try:
            if all(write(parse(text)) == text for text in told):  # '007' stays text
                return pa.array([None if text is None else parse(text) for text in texts])
        except (ValueError, KeyError, OverflowError, pa.ArrowInvalid):
            continue
    return pa.array(texts, pa.string())


# ---- writing ----


def leaf_xml(tag: str, text: str) -> str:
    """Return an element that contains a text."""
    element = Element(tag)
    element.text = text
    return tostring(element, encoding="unicode")


def annotation_bytes(image: VocImage, *, filename: str) -> bytes:
    """Encode an annotation as the content of a file.

    Raises:
        DataError: a text is not allowed in XML.
    """
    root = Element("annotation")
    _leaf(root, "folder", "JPEGImages")
    _leaf(root, "filename", filename.strip())  # as it is read
    if image.size_hw is not None:
        size = SubElement(root, "size")
        for name, value in (("width", image.size_hw[1]), ("height", image.size_hw[0]), ("depth", 3)):
            _leaf(size, name, str(value))
    _add_further(root, image.leaves, image.rest)
    for box in image.boxes:
        _add_box(root, box)
    indent(root)
    return bytes(tostring(root, encoding="utf-8")) + b"\n"


def _add_box(root: Element, box: VocBox) -> None:
    element = SubElement(root, "object")
    if box.label is not None:
        _leaf(element, "name", box.label)
    _add_further(element, box.leaves, box.rest)
    corners = [float(value) for value in box.box_xyxy]
    if all(math.isnan(value) for value in corners):
        return
    x1, y1, x2, y2 = corners
    (x_min, x_max), (y_min, y_max) = _written_side(x1, x2), _written_side(y1, y2)
    texts = [x_min, y_min, x_max, y_max]
    bndbox = SubElement(element, "bndbox")
    for name, text in zip(_CORNERS, texts, strict=True):
        _leaf(bndbox, name, text)
    same = all(a == b or (a != a and b != b) for a, b in zip(_corners(texts), corners, strict=True))  # noqa: PLR0124
    if not same or -1 in (x1, y1):  # a corner of 0 would say that pixels are counted from 0
        _leaf(element, _EXACT, " ".join(map(repr, corners)))


def _written_side(low: float, high: float) -> tuple[str, str]:
    if not (math.isfinite(low) and math.isfinite(high)):
        return repr(low + 1), repr(high)
    return plain_decimal(Decimal(repr(low)) + 1), plain_decimal(Decimal(repr(high)) + (0 if high > low else 1))


def _add_further(element: Element, leaves: Mapping[str, str], rest: str | None) -> None:
    for tag, text in leaves.items():
        if not _TAG.fullmatch(tag):
            raise DataError(f"the column {tag!r} is not a valid name of an XML element; rename or remove it")
        _leaf(element, tag, text)
    if rest:
        element.extend(parsed_xml(f"<rest>{rest}</rest>".encode()))


def _leaf(parent: Element, tag: str, text: str) -> None:
    if _NO_XML.search(text) or text != text.strip():
        raise DataError(
            f"{text!r} is not allowed in XML as <{tag}>: it has control characters, or blanks at either end"
        )
    SubElement(parent, tag).text = text
