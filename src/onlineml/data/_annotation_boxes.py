"""What people say about the boxes of one image: checked before it is written, and compared when two of them differ."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.boxes import clean_boxes
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BoxesSaid", "boxes_meant", "checked_boxes", "kept_values", "require_usable"]

BoxesSaid = tuple[Any, "Sequence[str]"]  # boxes_xyxy, (n, 4) numbers; labels, n texts

_FAULTS = {
    "box_not_finite": "has a coordinate that is no number",
    "box_empty": "has no width or no height; x2 must be above x1, and y2 above y1",
    "box_outside": "lies outside the image",
}
_ANY_SIZE = (np.inf, np.inf)


def checked_boxes(said: BoxesSaid | None, *, name: str) -> dict[str, Any]:
    """The facts of a record: ``boxes_xyxy`` and ``labels`` as plain lists, both None where nobody annotated.

    Args:
        said: the boxes and the label of each.
        name: the image, for messages.

    Raises:
        DataError: they are not n boxes of four numbers with n labels.
    """
    if said is None:
        return {"boxes_xyxy": None, "labels": None}
    try:
        given, names = said
        boxes = np.asarray(given, dtype=np.float64)
        labels = [names] if isinstance(names, str) else list(names)
    except (TypeError, ValueError) as err:
        raise DataError(f"the boxes of {name} must be (n, 4) numbers with n labels: {err}") from err
    if not boxes.size:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(labels) != len(boxes):
        raise DataError(
            f"the boxes of {name} must be (n, 4) numbers x1, y1, x2, y2 with n labels; found {boxes.shape} and "
            f"{len(labels)} labels"
        )
    for label in labels:
        if not isinstance(label, str) or not label.strip():
            raise DataError(f"each box of {name} needs a label that is not blank; found {label!r}")
    return {"boxes_xyxy": boxes.tolist(), "labels": labels}


def require_usable(facts: Mapping[str, Any], *, name: str, size_hw: tuple[int, int] | None) -> None:
    """Refuse boxes that could not be used; one that only reaches over the edge is cut when the data are frozen.

    Args:
        facts: from `checked_boxes`.
        name: the image, for messages.
        size_hw: of the upright image; None where nobody has opened it yet.

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
        raise DataError(f"these boxes of {name}{size} cannot be used:\n" + "\n".join(wrong))


def kept_values(facts: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What further columns told of boxes (a crowd, an area, an id) is true still of those that stay where they are.

    Args:
        facts: from `checked_boxes`.
        before: ``boxes_xyxy`` and the further lists with a value a box, as they were; None where there is none.

    Returns:
        A list by column, with None for each box that is new; without columns that have nothing to tell.
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
    """A value that a record can hold, or None: an area that is no number tells nothing."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return None
    return value


def boxes_meant(facts: Mapping[str, Any]) -> list[tuple[Any, ...]] | None:
    """What boxes and labels say, in whatever order they were written.

    Raises:
        ValueError: a box has not four coordinates, or not one label.
    """
    if facts["boxes_xyxy"] is None:
        return None
    pairs = zip(facts["labels"], facts["boxes_xyxy"], strict=True)
    return sorted((label, x1, y1, x2, y2) for label, (x1, y1, x2, y2) in pairs)
