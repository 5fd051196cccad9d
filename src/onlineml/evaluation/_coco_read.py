"""COCO documents to arrays: column by column where they are as they must be, else a list of every fault."""

from __future__ import annotations

from array import array
from contextlib import suppress
from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from onlineml.errors import DataError
from onlineml.evaluation._coco_arrays import CocoArrays
from onlineml.evaluation._coco_faults import coco_faults
from onlineml.evaluation._coco_json import load_detections, load_plain, load_truth, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.evaluation._types import Floats, Ints

__all__ = ["read_coco"]

_TABLE = 4_000_000  # entries, at most: 32 MB
_ODD = (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError)  # what a strange row can raise


def read_coco(
    ground_truth: Any, detections: Any, *, storage_options: Mapping[str, Any] | None
) -> tuple[CocoArrays, tuple[str, ...]]:
    """Checked arrays and the class names, in the order of the category ids.

    Raises:
        DataError: every kind of fault in both documents.
        NotFoundError: nothing at a path or URL.
    """
    truth, found = load_truth(ground_truth, storage_options), load_detections(detections, storage_options)
    try:
        return _arrays(truth, found)
    except _ODD as error:  # what does not look right at once is looked at row by row
        del truth, found
        faults = coco_faults(*(load_plain(source, storage_options) for source in (ground_truth, detections)))
        lines = "\n".join(f"- {fault}" for fault in faults or [f"{type(error).__name__}: {error}"])
        msg = f"ground truth and detections cannot be scored until this is mended:\n{lines}"
        raise DataError(msg) from error


def _arrays(truth: Any, found: Any) -> tuple[CocoArrays, tuple[str, ...]]:
    objects, rows, *parts = truth["annotations"], rows_of(found), truth["images"], truth["categories"]
    if not all(isinstance(part, (list, tuple)) for part in (objects, rows, *parts)):
        raise TypeError("lists")
    images, categories = map(_index, parts)
    xywh, found_xywh = _boxes(objects), _boxes(rows)
    area = [size if given is None else given for given, size in zip(_given(objects, "area"), _sizes(xywh), strict=True)]
    crowd = _numbers([flag or 0 for flag in _given(objects, "iscrowd")])
    arrays = CocoArrays(
        n_images=len(images),
        n_classes=len(categories),
        truth_image=_places(objects, "image_id", images),
        truth_class=_places(objects, "category_id", categories),
        truth_xywh=xywh,
        truth_area=_not_negative(_numbers(area)),
        truth_crowd=crowd == 1,
        found_image=_places(rows, "image_id", images),
        found_class=_places(rows, "category_id", categories),
        found_xywh=found_xywh,
        found_scores=_numbers(_column(rows, "score")),
    )
    if not np.isin(crowd, (0, 1)).all():
        raise ValueError("iscrowd")
    names = dict(zip(_column(truth["categories"], "id"), _given(truth["categories"], "name"), strict=True))
    return arrays, tuple(str(key if names[key] is None else names[key]) for key in categories)


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


def _sizes(xywh: Floats) -> list[float]:
    sizes: list[float] = (xywh[:, 2] * xywh[:, 3]).tolist()
    return sizes


def _index(rows: Sequence[Any]) -> dict[Any, int]:
    """The place of each id, in sorted order: that in which pycocotools takes images and categories."""
    ids = _column(rows, "id")
    index = {key: place for place, key in enumerate(sorted(ids))}
    if len(index) < len(ids) or None in index:
        raise ValueError("id")
    return index


def _places(rows: Sequence[Any], name: str, index: Mapping[Any, int]) -> Ints:
    """The place in the index of what each row refers to; a KeyError where it refers to nothing."""
    ids = _column(rows, name)
    table = _table(index)
    if table is not None:
        with suppress(TypeError, OverflowError, IndexError):  # other kinds of number, and ids that are not there
            numbers = np.frombuffer(array("q", ids), np.int64)
            places = table[numbers]
            if len(places) == 0 or (numbers.min() >= 0 and places.min() >= 0):
                return places
    return np.frombuffer(array("q", list(map(index.__getitem__, ids))), np.int64)


def _table(index: Mapping[Any, int]) -> Ints | None:
    """Place by id, -1 for none, where ids are whole numbers not too far from 0: three times as fast as a dict."""
    ids = list(index)
    if not all(type(key) is int for key in ids) or not 0 <= min(ids, default=-1) <= max(ids, default=0) < _TABLE:
        return None
    table = np.full(max(ids) + 1, -1, np.int64)
    table[ids] = np.arange(len(ids))
    return table
