"""Conversion of COCO documents to arrays: by column if they are valid, else a list of every problem."""

from __future__ import annotations

from array import array
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.coco.arrays import CocoArrays
from onlineml.evaluation.coco.faults import LARGEST, coco_faults
from onlineml.evaluation.coco.json import RESULTS, TRUTH, load_document, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["read_coco"]

# exceptions that an invalid row can raise
_ODD = (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError)


def read_coco(ground_truth: Any, detections: Any) -> tuple[CocoArrays, tuple[str, ...]]:
    """Return checked arrays and the class names, in the order of the category ids.

    Raises:
        DataError: every kind of problem in both documents.
        NotFoundError: there is no file at a path or URL.
    """
    try:
        return _arrays(load_document(ground_truth, TRUTH), rows_of(load_document(detections, RESULTS)))
    except _ODD as error:  # invalid columns are checked row by row
        faults = coco_faults(load_document(ground_truth), load_document(detections))
        lines = "\n".join(f"- {fault}" for fault in faults or [f"{type(error).__name__}: {error}"])
        msg = f"ground truth and detections cannot be scored until these problems are fixed:\n{lines}"
        raise DataError(msg) from error


def _arrays(truth: Any, found: Any) -> tuple[CocoArrays, tuple[str, ...]]:
    objects, images, categories, found = map(
        _listed, (truth["annotations"], truth["images"], truth["categories"], found)
    )
    image_place, class_place = _places_by_id(images), _places_by_id(categories)
    xywh = _boxes(objects)
    sizes = (xywh[:, 2] * xywh[:, 3]).tolist()
    area = [size if given is None else given for given, size in zip(_given(objects, "area"), sizes, strict=True)]
    crowd = _numbers([flag or 0 for flag in _given(objects, "iscrowd")])
    if not np.isin(crowd, (0, 1)).all():
        raise ValueError("iscrowd")
    arrays = CocoArrays(
        n_images=len(image_place),
        n_classes=len(class_place),
        truth_image=_places(objects, "image_id", image_place),
        truth_class=_places(objects, "category_id", class_place),
        truth_xywh=xywh,
        truth_area=_not_negative(_numbers(area)),
        truth_crowd=crowd == 1,
        found_image=_places(found, "image_id", image_place),
        found_class=_places(found, "category_id", class_place),
        found_xywh=_boxes(found),
        found_scores=_numbers(_column(found, "score")),
    )
    names = dict(zip(_column(categories, "id"), _given(categories, "name"), strict=True))
    return arrays, tuple(str(key if names[key] is None else names[key]) for key in class_place)


def _listed(rows: Any) -> Sequence[Any]:
    if not isinstance(rows, (list, tuple)):
        raise TypeError("lists")
    return rows


def _column(rows: Sequence[Any], name: str) -> list[Any]:
    get = attrgetter(name) if rows and isinstance(rows[0], msgspec.Struct) else itemgetter(name)
    return list(map(get, rows))


def _given(rows: Sequence[Any], name: str) -> list[Any]:
    """Return the values of a column that may be missing in some rows; None there."""
    if rows and isinstance(rows[0], msgspec.Struct):
        return _column(rows, name)
    return [row.get(name) for row in rows]


def _numbers(values: Iterable[Any]) -> Floats:
    """Convert to float64, all finite. The array module is fast, and does not accept text as a number."""
    return _finite(np.frombuffer(array("d", list(values)), np.float64))


def _finite(numbers: Floats) -> Floats:
    if not np.isfinite(numbers).all():
        raise ValueError("finite")
    return numbers


def _not_negative(values: Floats) -> Floats:
    if (values < 0).any():
        raise ValueError("negative")
    return values


def _boxes(rows: Sequence[Any]) -> Floats:
    boxes = _column(rows, "bbox")
    if boxes and isinstance(boxes[0], msgspec.Struct):  # four numbers each; a million tuples at once would cost more
        flat = chain.from_iterable(map(msgspec.structs.astuple, boxes))
        xywh = _finite(np.fromiter(flat, np.float64, 4 * len(boxes)))
    elif set(map(len, boxes)) - {4}:
        raise ValueError("bbox")
    else:
        xywh = _numbers(chain.from_iterable(boxes))
    xywh = xywh.reshape(-1, 4)
    _not_negative(xywh[:, 2:])
    if np.abs(xywh).max(initial=0) > LARGEST:
        raise ValueError("bbox")
    return xywh


def _places_by_id(rows: Sequence[Any]) -> dict[Any, int]:
    """Return the position of each id in sorted order: the order of images and categories in pycocotools."""
    ids = _column(rows, "id")
    places = {key: place for place, key in enumerate(sorted(ids))}
    if len(places) < len(ids) or None in places:
        raise ValueError("id")
    return places


def _places(rows: Sequence[Any], name: str, places: dict[Any, int]) -> Ints:
    """Return the position of each row's reference; a KeyError if it does not exist."""
    return np.fromiter(map(places.__getitem__, _column(rows, name)), np.int64, len(rows))
