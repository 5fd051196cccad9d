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
from onlineml.evaluation.coco.arrays import CocoArrays
from onlineml.evaluation.coco.columns import Columns
from onlineml.evaluation.coco.faults import coco_faults
from onlineml.evaluation.coco.json import UNLIKE, load_detections, load_plain, load_truth, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.evaluation.types import Floats, Ints

__all__ = ["read_coco"]

_TABLE = 4_000_000  # entries, at most: 32 MB
_ROWS = 2_000
_ODD = (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError)  # what a strange row can raise


def read_coco(
    ground_truth: Any, detections: Any, *, storage_options: Mapping[str, Any] | None
) -> tuple[CocoArrays, tuple[str, ...]]:
    """Checked arrays and the class names, in the order of the category ids.

    Raises:
        DataError: every kind of fault in both documents.
        NotFoundError: nothing at a path or URL.
    """
    truth = load_truth(ground_truth, storage_options)
    try:
        try:
            return _arrays(truth, load_detections(detections, storage_options))
        except UNLIKE:
            return _arrays(truth, [rows_of(load_plain(detections, storage_options))])
    except _ODD as error:  # what does not look right at once is looked at row by row
        del truth
        faults = coco_faults(*(load_plain(source, storage_options) for source in (ground_truth, detections)))
        lines = "\n".join(f"- {fault}" for fault in faults or [f"{type(error).__name__}: {error}"])
        msg = f"ground truth and detections cannot be scored until this is mended:\n{lines}"
        raise DataError(msg) from error


def _arrays(truth: Any, found: Iterable[Any]) -> tuple[CocoArrays, tuple[str, ...]]:
    """Of a document, and of the parts of a list of detections."""
    objects, *parts = (_listed(truth[name]) for name in ("annotations", "images", "categories"))
    images, categories = map(_Index, parts)
    xywh = _boxes(objects)
    columns = zip(*(_found(rows, images, categories) for rows in found), strict=True)
    found_image, found_class, found_xywh, found_scores = map(np.concatenate, columns)
    area = [size if given is None else given for given, size in zip(_given(objects, "area"), _sizes(xywh), strict=True)]
    crowd = _numbers([flag or 0 for flag in _given(objects, "iscrowd")])
    arrays = CocoArrays(
        n_images=len(images.place),
        n_classes=len(categories.place),
        truth_image=images.places(_column(objects, "image_id")),
        truth_class=categories.places(_column(objects, "category_id")),
        truth_xywh=xywh,
        truth_area=_not_negative(_numbers(area)),
        truth_crowd=crowd == 1,
        found_image=found_image,
        found_class=found_class,
        found_xywh=found_xywh,
        found_scores=found_scores,
    )
    if not np.isin(crowd, (0, 1)).all():
        raise ValueError("iscrowd")
    names = dict(zip(_column(truth["categories"], "id"), _given(truth["categories"], "name"), strict=True))
    return arrays, tuple(str(key if names[key] is None else names[key]) for key in categories.place)


def _found(given: Any, images: _Index, categories: _Index) -> tuple[Ints, Ints, Floats, Floats]:
    """Image, class, box and score of each detection, some thousand at a time, see `load_detections`."""
    if isinstance(given, Columns):
        xywh = _not_negative_sizes(_finite(given.boxes_xywh))
        return images.places(given.image_id), categories.places(given.category_id), xywh, _finite(given.score)
    given = _listed(given)
    parts = []
    for start in range(0, max(len(given), 1), _ROWS):
        rows = given[start : start + _ROWS]
        image, class_id = images.places(_column(rows, "image_id")), categories.places(_column(rows, "category_id"))
        parts.append((image, class_id, _boxes(rows), _numbers(_column(rows, "score"))))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))  # type: ignore[return-value]


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
    if set(map(len, boxes)) - {4}:
        raise ValueError("bbox")
    return _not_negative_sizes(_numbers(chain.from_iterable(boxes)).reshape(-1, 4))


def _not_negative_sizes(xywh: Floats) -> Floats:
    _not_negative(xywh[:, 2:])
    return xywh


def _sizes(xywh: Floats) -> list[float]:
    sizes: list[float] = (xywh[:, 2] * xywh[:, 3]).tolist()
    return sizes


class _Index:
    """The place of each id, in sorted order: that in which pycocotools takes images and categories."""

    def __init__(self, rows: Sequence[Any]) -> None:
        ids = _column(rows, "id")
        self.place = {key: place for place, key in enumerate(sorted(ids))}
        if len(self.place) < len(ids) or None in self.place:
            raise ValueError("id")
        # place by id, -1 for none, where ids are whole numbers not too far from 0: three times as fast as a dict
        self._table: Ints | None = None
        if all(type(key) is int for key in ids) and 0 <= min(ids, default=-1) <= max(ids, default=0) < _TABLE:
            self._table = np.full(max(ids) + 1, -1, np.int64)
            self._table[list(self.place)] = np.arange(len(ids))

    def places(self, ids: Sequence[Any] | Ints) -> Ints:
        """The place of each id; a KeyError where one is not there."""
        if self._table is not None:
            with suppress(TypeError, OverflowError, IndexError):  # other kinds of number, and ids that are not there
                numbers = ids if isinstance(ids, np.ndarray) else np.frombuffer(array("q", ids), np.int64)
                places = self._table[numbers]
                if len(places) == 0 or (numbers.min() >= 0 and places.min() >= 0):
                    return places
        ids = ids.tolist() if isinstance(ids, np.ndarray) else ids
        return np.frombuffer(array("q", list(map(self.place.__getitem__, ids))), np.int64)
