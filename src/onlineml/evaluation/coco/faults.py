"""Problems in COCO documents, by kind, each with the affected rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

from onlineml.evaluation.coco.json import rows_of

__all__ = ["LARGEST", "coco_faults"]

LARGEST = 1e100  # of a coordinate or size in pixels, so that areas are finite

Fault: TypeAlias = tuple[str, str]  # description of the problem, and the value of the row that has it

_N_SHOWN = 3  # rows named per kind of problem


class _Tally:
    """Counter of the problems in the rows of one list, which keeps the first examples of each kind."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: dict[str, tuple[int, list[str]]] = {}

    def add(self, row: int, fault: Fault) -> None:
        text, value = fault
        n, shown = self.found.get(text, (0, []))
        if n < _N_SHOWN:
            shown.append(f"{self.where}[{row}]" + (f" ({value})" if value else ""))
        self.found[text] = (n + 1, shown)

    def lines(self) -> list[str]:
        return [
            f"{self.where}: {n} {text}: {', '.join(shown)}" + (f" and {n - len(shown)} more" if n > len(shown) else "")
            for text, (n, shown) in self.found.items()
        ]


def coco_faults(ground_truth: Any, detections: Any) -> list[str]:
    """Return one line per kind of problem, with row numbers; empty if there are none."""
    names = ("images", "categories", "annotations")
    if not isinstance(ground_truth, Mapping):
        kind = type(ground_truth).__name__
        return [f"the ground truth is a {kind}; expected a COCO document with {', '.join(names)}, or its path or URL"]
    lines = [f"the ground truth has no list {name!r}" for name in names if not _is_list(ground_truth.get(name))]
    if isinstance(detections, Mapping) and "annotations" not in detections:
        lines.append("the detections are a dict without 'annotations'; expected a list of results")
    elif not _is_list(rows_of(detections)):
        lines.append(
            f"the detections are a {type(detections).__name__}; expected a list of results, or its path or URL"
        )
    if lines:
        return lines
    images, image_lines = _ids(ground_truth["images"], "images")
    categories, category_lines = _ids(ground_truth["categories"], "categories")
    truth, found = _Tally("annotations"), _Tally("detections")
    for tally, rows, own in (
        (truth, ground_truth["annotations"], _truth_only),
        (found, rows_of(detections), _found_only),
    ):
        for i, row in enumerate(rows):
            if not isinstance(row, Mapping):
                tally.add(i, ("are no dicts", _shown(row)))
                continue
            for fault in (*_reference_faults(row, images, categories), *_box_faults(row), *own(row)):
                tally.add(i, fault)
    return [*image_lines, *category_lines, *truth.lines(), *found.lines()]


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


def _ids(rows: Sequence[Any], where: str) -> tuple[set[Any], list[str]]:
    tally = _Tally(where)
    seen: set[Any] = set()
    kinds: set[type] = set()
    for i, row in enumerate(rows):
        key = row.get("id") if isinstance(row, Mapping) else None
        if not isinstance(key, (Real, str)):
            tally.add(i, ("without an id that is a number or a text", _shown(key)))
            continue
        if key in seen:
            tally.add(i, ("with the id of another one; ids must be distinct", f"id {_shown(key)}"))
        seen.add(key)
        kinds.add(str if isinstance(key, str) else Real)
    mixed = [f"{where}: some ids are numbers and some are texts; give one kind"] if len(kinds) > 1 else []
    return seen, [*tally.lines(), *mixed]


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _reference_faults(row: Mapping[str, Any], images: set[Any], categories: set[Any]) -> Iterator[Fault]:
    for name, known, what in (("image_id", images, "image"), ("category_id", categories, "category")):
        key = row.get(name)
        if key is None:
            yield f"without {name}", ""
        elif not isinstance(key, (Real, str)) or key not in known:
            yield f"with {name} of no {what} in the ground truth", f"{name} {_shown(key)}"


def _box_faults(row: Mapping[str, Any]) -> Iterator[Fault]:
    box = row.get("bbox")
    if box is None:
        yield "without bbox; boxes are scored here, no masks", ""
        return
    shown = f"bbox {_shown(box)}"
    try:
        values = list(box)
    except TypeError:
        values = []
    if len(values) != 4 or not all(isinstance(value, Real) for value in values):
        yield "with a bbox that is not four numbers, [x, y, width, height]", shown
    elif not all(map(_is_finite, values)):
        yield "with a bbox that is not finite", shown
    elif max(map(abs, values)) > LARGEST:
        yield f"with a bbox beyond {LARGEST:.0e} pixels", shown
    elif min(values[2:]) < 0:
        yield "with a negative width or height; a bbox is [x, y, width, height], not two corners", shown


def _truth_only(row: Mapping[str, Any]) -> Iterator[Fault]:
    area, crowd = row.get("area"), row.get("iscrowd")
    if area is not None and not (isinstance(area, Real) and _is_finite(area) and float(area) >= 0):
        yield "with an area that is not a number from 0 up; leave it out to take the box's", f"area {_shown(area)}"
    if crowd is not None and crowd not in (0, 1):
        yield "with iscrowd other than 0 or 1", f"iscrowd {_shown(crowd)}"


def _found_only(row: Mapping[str, Any]) -> Iterator[Fault]:
    score = row.get("score")
    if score is None:
        yield "without score", ""
    elif not isinstance(score, Real):
        yield "with a score that is not a number", f"score {_shown(score)}"
    elif not _is_finite(score):
        yield "with a score that is not finite; a network that gives nan has failed on that image", f"score {score}"
