"""One COCO JSON file, parsed and checked: all problems are reported at once, and no key is lost; and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onlineml.data.formats.boxes import refused_names, require_no_problems
from onlineml.data.formats.coco.json_entries import Entries, parse_object
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

__all__ = [
    "ANNOTATION_KEYS",
    "COCO_COLUMNS",
    "IMAGE_KEYS",
    "MARKS",
    "Category",
    "CocoFile",
    "absences",
    "corners",
    "objects",
    "read_flags",
    "read_numbers",
    "read_xywh",
    "written_xywh",
]

MARKS = "onlineml"  # key of onlineml's own additions to COCO
COCO_COLUMNS = frozenset({"coco_image_id", "coco_image", "coco_annotation_id", "coco_annotation"})
IMAGE_KEYS = frozenset({"id", "file_name", "width", "height", MARKS})
ANNOTATION_KEYS = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd", MARKS})
_MOST_DECIMALS = 16
_TOP_KEYS = frozenset({"images", "annotations", "categories", MARKS})


@dataclass(frozen=True)
class Category:
    """A class: its id, a name that is unique in the file, and its further keys."""

    id: int
    name: str
    further: Mapping[str, Any]


@dataclass(frozen=True)
class CocoFile:
    """A checked file.

    Attributes:
        where: its URL.
        images: N images, each id once.
        annotations: M annotations, grouped by image, otherwise in the order of the file.
        lengths: (N,) number of annotations of each image.
        annotated: false if the file has no list of annotations at all.
        categories: the classes, each id once.
        top: the other keys, such as ``info`` and ``licenses``.
        absent: columns that were missing in the manifest from which the file was written.
    """

    where: str
    images: Entries
    annotations: Entries
    lengths: npt.NDArray[np.int64]
    annotated: bool
    categories: Sequence[Category]
    top: Mapping[str, Any]
    absent: frozenset[str]

    @classmethod
    def read(cls, where: str, *, storage_options: Mapping[str, Any] | None) -> CocoFile:
        """Read and check a file.

        Raises:
            DataError: the file is not a COCO file, or ids or file names in it are invalid.
        """
        data = io.read_bytes(where, storage_options=storage_options)
        try:
            keys = parse_object(data)
            images = Entries(keys["images"])
            categories = Entries(keys.get("categories", msgspec.Raw(b"[]")))
            annotations = Entries(keys.get("annotations", msgspec.Raw(b"[]")))
            top = {key: msgspec.json.decode(value) for key, value in keys.items() if key not in _TOP_KEYS}
            marks = msgspec.json.decode(keys.get(MARKS, msgspec.Raw(b"{}")))
        except (KeyError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            found = f"it has {examples(keys)}" if isinstance(error, KeyError) else str(error)
            raise DataError(
                f"{where} is not a COCO file: expected an object with the lists 'images', 'annotations' and "
                f"'categories'; {found}"
            ) from error
        problems: list[str] = []
        classes = _categories(categories, problems)
        places = _image_places(images, problems)
        problems += refused_names(images.values("file_name"), where)
        of_image = _image_of(annotations, places, problems)
        require_no_problems(where, problems)
        annotations.take(np.argsort(of_image, kind="stable").tolist())
        lengths = np.bincount(of_image, minlength=len(places))
        absent = absences(marks) if isinstance(marks, dict) else frozenset()
        return cls(where, images, annotations, lengths, "annotations" in keys, classes, top, absent)


def _categories(entries: Entries, problems: list[str]) -> list[Category]:
    """Return each class once; classes of the same name, as in some exports of Roboflow, get their ids appended."""
    found: dict[int, Category] = {}
    ids, names, further = entries.values("id"), entries.values("name"), entries.rest(understood={"id", "name"})
    for number, name, rest in zip(ids, names, further, strict=True):
        if type(number) is not int:
            problems.append(f"a category has the id {number!r}; expected an integer")
            continue
        text = str(name) if name else f"category {number}"
        category = Category(number, text, {key: msgspec.json.decode(value) for key, value in rest.items()})
        if found.setdefault(number, category).name != text:
            problems.append(f"the category id {number} has two names: {found[number].name!r} and {text!r}")
    shared = [category.name for category in found.values()]
    return [
        Category(c.id, f"{c.name} ({c.id})", {"name": c.name, **c.further}) if shared.count(c.name) > 1 else c
        for c in found.values()
    ]


def _image_places(entries: Entries, problems: list[str]) -> dict[Any, int]:
    """Return the position of each image's id. Exact duplicates of an entry are dropped."""
    first: dict[Any, int] = {}
    kept, wrong, clashing = [], [], []
    for row, key in enumerate(entries.values("id")):
        if type(key) not in {int, str}:
            wrong.append(key)
        elif first.setdefault(key, row) == row:
            kept.append(row)
        elif not entries.same(first[key], row):
            clashing.append(key)
    if wrong or len({type(key) for key in first}) > 1:
        problems.append(f"image ids must all be integers, or all texts; found {examples([*wrong, *first])}")
    if clashing:
        problems.append(f"{len(clashing):,} image ids are used for several images: {examples(clashing)}")
    entries.take(kept)
    return {key: place for place, key in enumerate(first)}


def _image_of(annotations: Entries, places: Mapping[Any, int], problems: list[str]) -> npt.NDArray[np.int64]:
    """Return (M,) the position of each annotation's image."""
    keys = annotations.values("image_id")
    found = [places.get(key, -1) if type(key) in {int, str} else -1 for key in keys]
    lost = [key for key, place in zip(keys, found, strict=True) if place < 0]
    if lost:
        problems.append(
            f"{len(lost):,} annotations are of images that are not listed: image_id {examples(lost)}; add the images, "
            "or remove the annotations"
        )
    return np.array(found, dtype=np.int64)


# ---- boxes ----


def corners(xywh: npt.NDArray[np.float64], marks: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.float64]:
    """Convert boxes to (M, 4) corners.

    Args:
        xywh: (M, 4) as in the file.
        marks: M; contains ``boxes_xyxy`` if the sum of x and width is not exactly what was passed to `written_xywh`. It
            is used only while it agrees with the box of the file, which another program may have moved.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # invalid boxes are reported by the check
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    rows = [row for row, mark in enumerate(marks) if "boxes_xyxy" in mark]
    if rows:
        exact = read_xywh([marks[row]["boxes_xyxy"] for row in rows], [])
        same = (np.isclose(exact, boxes[rows], rtol=1e-12, atol=1e-9) | np.isnan(boxes[rows])).all(1)
        boxes[np.array(rows)[same]] = exact[same]
    return boxes


def written_xywh(boxes_xyxy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convert boxes to (M, 4) x, y, width, height, with the fewest decimals that add up to exactly the same corners.

    A file with 0.3 is written as 0.3 again, although the difference of its corners is 0.30000000000000004.
    """
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = high - low
    flat_low, flat_high, found = low.ravel(), high.ravel(), sizes.ravel()
    open_ = np.flatnonzero(np.isfinite(found))
    for decimals in range(_MOST_DECIMALS + 1):
        short = np.round(found[open_], decimals)
        hit = flat_low[open_] + short == flat_high[open_]
        found[open_[hit]] = short[hit]
        open_ = open_[~hit]
    return np.concatenate([low, found.reshape(-1, 2)], axis=1)


# ---- values ----


def objects(values: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Return JSON objects; an empty one for any other value."""
    return [value if isinstance(value, dict) else {} for value in values]


def absences(mark: Mapping[str, Any]) -> frozenset[str]:
    """Return the columns that the manifest did not have: the writer filled in their values."""
    names = mark.get("absent")
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()


def read_xywh(values: Sequence[Any], problems: list[str]) -> npt.NDArray[np.float64]:
    """Return (M, 4) boxes; nan for a box, or a number of it, that is null or absent."""
    kinds = {int, float, type(None)}
    boxes = [[None] * 4 if value is None or value == [] else value for value in values]
    wrong = [box for box in boxes if not (isinstance(box, list) and len(box) == 4 and {type(v) for v in box} <= kinds)]
    if wrong:
        problems.append(f"{len(wrong):,} values of bbox are not [x, y, width, height]: {examples(wrong)}")
        return np.full((len(boxes), 4), np.nan)
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def read_numbers(values: Sequence[Any], what: str, problems: list[str]) -> npt.NDArray[np.float64]:
    """Return (M,) numbers; nan for null."""
    wrong = [value for value in values if type(value) not in {int, float, type(None)}]
    if wrong:
        problems.append(f"{len(wrong):,} values of {what} are not numbers: {examples(wrong)}")
        return np.full(len(values), np.nan)
    return np.array(values, dtype=np.float64)


def read_flags(values: Sequence[Any], what: str, problems: list[str]) -> list[bool | None]:
    """Return M booleans, given as 0 and 1 or false and true; None for null."""
    wrong = [value for value in values if value not in (0, 1, None)]
    if wrong:
        problems.append(f"{len(wrong):,} values of {what} are neither 0 nor 1: {examples(wrong)}")
    return [None if value is None else bool(value) for value in values]
