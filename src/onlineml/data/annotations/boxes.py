"""Annotations of the boxes of one image: validated before they are written, and compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.annotations.entries import one_chunk
from onlineml.data.manifest.box_arrays import clean_boxes
from onlineml.data.manifest.boxes import box_list
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onlineml.data.annotations.entries import Entries, Rows

__all__ = [
    "BoxesClaim",
    "boxes_columns",
    "boxes_meant",
    "checked_boxes",
    "further_values",
    "kept_values",
    "require_boxes",
    "require_usable",
]

BoxesClaim = tuple[Any, "Sequence[str]"]  # boxes_xyxy, (n, 4) numbers; labels, n texts

_FAULTS = {
    "box_not_finite": "has a coordinate that is not a number",
    "box_empty": "has no width or no height; x2 must be above x1, and y2 above y1",
    "box_outside": "lies outside the image",
}
_ANY_SIZE = (np.inf, np.inf)
_BOXES_SCHEMA = pa.schema([("boxes_xyxy", pa.list_(pa.list_(pa.float64()))), ("labels", pa.list_(pa.string()))])


def checked_boxes(claim: BoxesClaim | None, *, name: str) -> dict[str, Any]:
    """The facts of a record: ``boxes_xyxy`` and ``labels`` as plain lists, both None if not annotated.

    Args:
        claim: the boxes and the label of each.
        name: the image, for messages.

    Raises:
        DataError: they are not n boxes of four numbers with n labels.
    """
    if claim is None:
        return {"boxes_xyxy": None, "labels": None}
    try:
        given, names = claim
        boxes = np.asarray(given, dtype=np.float64)
        labels = [names] if isinstance(names, str) else list(names)
    except (TypeError, ValueError) as err:
        raise DataError(f"the boxes of {name} must be (n, 4) numbers with n labels: {err}") from err
    if not boxes.size:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes):
        raise DataError(
            f"the boxes of {name} must be (n, 4) numbers x1, y1, x2, y2 with n labels; found {boxes.shape} and "
            f"{count(len(labels), 'label')}"
        )
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise DataError(f"each box of {name} needs a label that is not blank; found {label!r}")
    return {"boxes_xyxy": boxes.tolist(), "labels": labels}


def require_usable(facts: Mapping[str, Any], *, name: str, size_hw: tuple[int, int] | None) -> None:
    """Refuse unusable boxes; one that exceeds the image's edge is clipped when the data are frozen.

    Args:
        facts: from `checked_boxes`.
        name: the image, for messages.
        size_hw: of the upright image; None if unknown.

    Raises:
        DataError: boxes are empty, not finite, or outside the image.
    """
    boxes = np.array(facts["boxes_xyxy"] or np.empty((0, 4)), dtype=np.float64)
    _, codes = clean_boxes(boxes, size_hw or _ANY_SIZE)  # type: ignore[arg-type]  # no edge to be beyond
    size = f" of {size_hw[1]} x {size_hw[0]} pixels" if size_hw else ""
    wrong = [
        f"  box {number} ({label}) {box} {_FAULTS[code]}"
        for number, (code, label, box) in enumerate(zip(codes, facts["labels"] or (), boxes.tolist(), strict=True))
        if code in _FAULTS
    ]
    if wrong:
        raise DataError(f"these boxes of {name}{size} are unusable:\n" + "\n".join(wrong))


def kept_values(facts: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values of extra columns (a crowd, an area, an id) of boxes that did not move.

    Args:
        facts: from `checked_boxes`.
        before: the former ``boxes_xyxy`` and extra lists with one value per box, or None.

    Returns:
        A list by column, with None for each new box; columns without any value are left out.
    """
    places = {tuple(box): place for place, box in enumerate(before.get("boxes_xyxy") or ())}
    found = [places.get(tuple(box)) for box in facts["boxes_xyxy"] or ()]
    further: dict[str, list[Any]] = {}
    for name, values in before.items():
        if name not in {"boxes_xyxy", "labels"} and values is not None:
            kept = [None if place is None else _as_json(values[place]) for place in found]
            if any(value is not None for value in kept):
                further[name] = kept
    return further


def _as_json(value: Any) -> Any:
    """Return a value if it is JSON, else None."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return value


def boxes_meant(boxes_xyxy: list[list[float]] | None, labels: Sequence[str]) -> list[tuple[Any, ...]] | None:
    """Return the boxes with their labels in a canonical order, for comparison; None if not annotated."""
    if boxes_xyxy is None:
        return None
    return sorted((label, *box) for label, box in zip(labels, boxes_xyxy, strict=True))


def require_boxes(entries: Entries, rows: Rows) -> None:
    """Check that entries have boxes, or null.

    Raises:
        StorageError: an entry has not; the message names it.
    """
    present = entries.mentions("boxes_xyxy", rows)
    if not present.all():
        entries.damaged(rows[np.flatnonzero(~present)[0]], "lacks 'boxes_xyxy'")


def boxes_columns(entries: Entries, rows: Rows, *, needed: bool = True) -> dict[str, Any]:
    """The columns ``boxes_xyxy`` and ``labels`` of entries, both null if not annotated.

    Args:
        entries: of the log.
        rows: of the entries.
        needed: whether each must have boxes, or null.

    Raises:
        StorageError: an entry has not, or lacks four coordinates or a label for a box; the message names it.
    """
    if needed:
        require_boxes(entries, rows)
    parsed = entries.parsed(rows, _BOXES_SCHEMA)
    boxes, labels = (one_chunk(parsed[name]) for name in _BOXES_SCHEMA.names)
    n = pc.list_value_length(boxes).fill_null(-1).to_numpy(zero_copy_only=False)
    numbers, names = pc.list_flatten(pc.list_flatten(boxes)), pc.list_flatten(labels)
    four = pc.fill_null(pc.equal(pc.list_value_length(pc.list_flatten(boxes)), 4), False)
    wrong = n != pc.list_value_length(labels).fill_null(-1).to_numpy(zero_copy_only=False)
    if wrong.any() or numbers.null_count or names.null_count or pc.all(four).as_py() is False:
        _name_damaged(entries, rows, parsed.to_pylist())
    missing = n < 0
    return {
        "boxes_xyxy": box_list(np.asarray(numbers.to_numpy(zero_copy_only=False)), n.clip(0), missing),
        "labels": labels,
    }


def further_values(entries: Entries, rows: Rows) -> list[dict[str, Any]]:
    """By entry, its values of extra columns with one value per box."""
    found: list[dict[str, Any]] = [{}] * len(rows)
    some = np.flatnonzero(entries.mentions("further", rows))
    for number, record in zip(some.tolist(), entries.records(rows[some]), strict=True):
        found[number] = record.get("further") or {}
    return found


def _name_damaged(entries: Entries, rows: Rows, records: Sequence[Mapping[str, Any]]) -> None:
    for row, one in zip(rows, records, strict=True):
        boxes, labels = one["boxes_xyxy"], one["labels"]
        whole = boxes is None or all(box is not None and len(box) == 4 and None not in box for box in boxes)
        if (
            not whole
            or (boxes is None) != (labels is None)
            or (boxes and (len(labels) != len(boxes) or None in labels))
        ):
            entries.damaged(row, "must have four coordinates and a label for each box")
