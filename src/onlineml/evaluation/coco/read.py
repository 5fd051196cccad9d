"""COCO documents to arrays: column by column where they are as they must be, else a list of every fault."""

from __future__ import annotations

from array import array
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation.coco.arrays import CocoArrays
from onlineml.evaluation.coco.faults import coco_faults
from onlineml.evaluation.coco.json import load_detections, load_plain, load_truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["read_coco"]

_ODD = (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError)  # what a strange row can raise


def read_coco(
    ground_truth: Any, detections: Any, *, storage_options: Mapping[str, Any] | None
) -> tuple[CocoArrays, tuple[str, ...]]:
    """Checked arrays and the class names, in the order of the category ids.

    Raises:
        DataError: every kind of fault in both documents.
        NotFoundError: nothing at a path or URL.
    """
    try:
        return _arrays(load_truth(ground_truth, storage_options), load_detections(detections, storage_options))
    except _ODD as error:  # what does not look right at once is looked at row by row
        faults = coco_faults(*(load_plain(source, storage_options) for source in (ground_truth, detections)))
        lines = "\n".join(f"- {fault}" for fault in faults or [f"{type(error).__name__}: {error}"])
        msg = f"ground truth and detections cannot be scored until this is mended:\n{lines}"
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
    """The values of a column that a row may lack; None there."""
    if rows and isinstance(rows[0], msgspec.Struct):
        return _column(rows, name)
    return [row.get(name) for row in rows]


def _numbers(values: Iterable[Any]) -> Floats:
    """As float64, all finite. The array module is quick, and takes no text for a number."""
    numbers = np.frombuffer(array("d", list(values)), np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("finite")
    return numbers


def _not_negative(values: Floats) -> Floats:
    if (values < 0).any():
        raise ValueError("negative")
    return values


def _boxes(rows: Sequence[Any]) -> Floats:
    boxes = _column(rows, "bbox")
    if set(map(len, boxes)) - {4}:
        raise ValueError("bbox")
    xywh = _numbers(chain.from_iterable(boxes)).reshape(-1, 4)
    _not_negative(xywh[:, 2:])
    return xywh


def _places_by_id(rows: Sequence[Any]) -> dict[Any, int]:
    """The place of each id, in sorted order: that in which pycocotools takes images and categories."""
    ids = _column(rows, "id")
    places = {key: place for place, key in enumerate(sorted(ids))}
    if len(places) < len(ids) or None in places:
        raise ValueError("id")
    return places


def _places(rows: Sequence[Any], name: str, places: dict[Any, int]) -> Ints:
    """The place of what each row refers to; a KeyError where it is not there."""
    return np.fromiter(map(places.__getitem__, _column(rows, name)), np.int64, len(rows))
