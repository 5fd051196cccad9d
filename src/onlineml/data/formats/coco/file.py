"""One COCO JSON file, parsed and checked: all problems are reported at once, and no key is lost; and its numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.formats.coco.json_entries import Entries, parse_object
from onlineml.data.formats.coco.values import find_ids, plain_ids, read_xywh
from onlineml.data.formats.encodings import utf8
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from onlineml.storage.location import Location

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

    id: int | str
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
        n_unlisted: number of further annotations, of images that are not listed.
        problems: invalid ids; the file cannot be imported.
    """

    where: str
    images: Entries
    annotations: Entries
    lengths: npt.NDArray[np.int64]
    annotated: bool
    categories: Sequence[Category]
    top: Mapping[str, Any]
    absent: frozenset[str]
    n_unlisted: int
    problems: Sequence[str]

    @classmethod
    def read(cls, at: Location) -> CocoFile:
        """Read and check a file.

        Raises:
            DataError: the file is not a COCO file with boxes.
        """
        where = at.url
        data = utf8(io.read_bytes(at), where)
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
        _require_objects(annotations, where)
        problems: list[str] = []
        classes = _without_groups(_categories(categories, problems), annotations)
        places = _image_places(images, problems)
        of_image = _image_of(annotations, places, problems)
        listed = np.flatnonzero(of_image >= 0)
        n_unlisted = len(of_image) - len(listed)
        annotations.take(listed[np.argsort(of_image[listed], kind="stable")].tolist())
        lengths = np.bincount(of_image[listed], minlength=len(places))
        absent = absences(marks) if isinstance(marks, dict) else frozenset()
        return cls(
            where, images, annotations, lengths, "annotations" in keys, classes, top, absent, n_unlisted, problems
        )

    def names(self) -> list[Any]:
        """Return the N names of the images' files; LVIS has only URLs, whose last folder and name count."""
        names = self.images.values("file_name")
        if None not in names:
            return names
        urls = self.images.values("coco_url")
        return [
            "/".join(url.rsplit("/", 2)[-2:]) if name is None and isinstance(url, str) else name
            for name, url in zip(names, urls, strict=True)
        ]


def _require_objects(annotations: Entries, where: str) -> None:
    """Refuse COCO's files of other kinds by their names.

    Raises:
        DataError: the annotations are captions or panoptic segmentations.
    """
    keys = annotations.keys()
    for key, kind in (("caption", "captions"), ("segments_info", "panoptic segmentations")):
        if key in keys and "category_id" not in keys:
            raise DataError(
                f"{where} has {kind}, not boxes: its annotations have {examples(sorted(keys))}; expected 'category_id' "
                "with 'bbox' or 'segmentation', as in instances_*.json"
            )


def _categories(entries: Entries, problems: list[str]) -> list[Category]:
    """Return each class once."""
    found: dict[Any, Category] = {}
    names, further = entries.values("name"), entries.rest(understood={"id", "name"})
    ids = plain_ids(entries.values("id"))
    for number, name, rest in zip(ids, names, further, strict=True):
        if type(number) not in {int, str}:
            problems.append(f"a category has the id {number!r}; expected an integer or a text")
            continue
        text = str(name) if name not in (None, "") else f"category {number}"
        category = Category(number, text, {key: msgspec.json.decode(value) for key, value in rest.items()})
        if found.setdefault(number, category).name != text:
            problems.append(f"the category id {number} has two names: {found[number].name!r} and {text!r}")
    return [*found.values()]


def _without_groups(categories: Sequence[Category], annotations: Entries) -> list[Category]:
    """Return the classes under unique names, without those of no box that name a project, as in exports of Roboflow."""
    groups = {category.further.get("supercategory") for category in categories}
    doubtful = {c.id for c in categories if c.name in groups and c.further.get("supercategory") == "none"}
    unused = doubtful and doubtful - {*plain_ids(annotations.values("category_id"))}
    kept = [category for category in categories if category.id not in unused]
    shared = Counter(category.name for category in kept)
    return [
        Category(c.id, f"{c.name} ({c.id})", {"name": c.name, **c.further}) if shared[c.name] > 1 else c for c in kept
    ]


def _image_places(entries: Entries, problems: list[str]) -> dict[Any, int]:
    """Return the position of each image's id. Exact duplicates of an entry are dropped."""
    first: dict[Any, int] = {}
    kept, wrong, clashing = [], [], []
    for row, key in enumerate(plain_ids(entries.values("id"))):
        if type(key) not in {int, str}:
            wrong.append(key)
        elif first.setdefault(key, row) == row:
            kept.append(row)
        elif not entries.same(first[key], row):
            clashing.append(key)
    if wrong:
        problems.append(f"{count(len(wrong), 'image id is')} neither integers nor texts: {examples(wrong)}")
    if clashing:
        problems.append(f"{count(len(clashing), 'image id is')} used for several images: {examples(clashing)}")
    entries.take(kept)
    return {key: place for place, key in enumerate(first)}


def _image_of(annotations: Entries, places: Mapping[Any, int], problems: list[str]) -> npt.NDArray[np.int64]:
    """Return (M,) the position of each annotation's image; -1 where it is not listed."""
    keys = annotations.values("image_id")
    found = find_ids(keys, places)
    lost = [key for key, place in zip(keys, found, strict=True) if place < 0]
    if lost and len(lost) == len(keys):
        problems.append(
            f"all there are, {count(len(lost), 'annotation is', 'annotations are')} of images that are not listed: "
            f"image_id {examples(lost)}; the images have the ids {examples(places) or 'of none'}"
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
