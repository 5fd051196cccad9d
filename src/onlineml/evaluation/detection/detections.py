"""Detections of a set of images, in the form in which they are scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Found"]

_N_LISTED = 5  # rows named in a message


@dataclass(frozen=True, eq=False)
class Found:
    """Detections of N images, in any order, including those with low scores, which average precision needs.

    Arrays are converted to the types below and checked on creation.

    Attributes:
        image_index: (M,) int64, the image of each detection, in [0, N).
        boxes_xyxy: (M, 4) float64, absolute pixels of the upright original image; a box may be empty (x2 == x1), but
            must not end before it begins.
        label_ids: (M,) int64, index into the class names.
        scores: (M,) float64, finite; higher is more confident.
        n_images: N, including images without detections.

    Raises:
        DataError: shapes do not match, or rows have any of the faults above; every kind of fault, with rows.
    """

    image_index: npt.NDArray[np.int64]
    boxes_xyxy: npt.NDArray[np.float64]
    label_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    n_images: int

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes_xyxy, np.float64)
        set_field = object.__setattr__  # the way to convert fields of a frozen dataclass
        set_field(self, "boxes_xyxy", boxes.reshape(-1, 4) if boxes.size == 0 else boxes)
        set_field(self, "image_index", _whole("image_index", self.image_index))
        set_field(self, "label_ids", _whole("label_ids", self.label_ids))
        set_field(self, "scores", np.asarray(self.scores, np.float64))
        shapes = {name: getattr(self, name).shape for name in ("image_index", "boxes_xyxy", "label_ids", "scores")}
        n = len(self.scores) if self.scores.ndim else 0
        if shapes != {"image_index": (n,), "boxes_xyxy": (n, 4), "label_ids": (n,), "scores": (n,)}:
            msg = f"detections have the shapes {shapes}; expected (M,), (M, 4), (M,) and (M,) with one M"
            raise DataError(msg)
        _refuse(self)

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Found:
        """Return some of the detections, given by indices or a mask, for the same images."""
        parts = (self.image_index[rows], self.boxes_xyxy[rows], self.label_ids[rows], self.scores[rows])
        return Found(*parts, self.n_images)

    @classmethod
    def nothing(cls, n_images: int) -> Found:
        """Return an object without detections for `n_images` images."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), n_images)


def _whole(name: str, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        msg = f"{name} has dtype {array.dtype}; expected integers"
        raise DataError(msg)
    return array.astype(np.int64, copy=False)


def _refuse(found: Found) -> None:
    boxes = found.boxes_xyxy
    ends_early = boxes[:, 2:] < boxes[:, :2]
    outside = (found.image_index < 0) | (found.image_index >= found.n_images)
    faults = {
        f"image_index outside 0 to {found.n_images - 1}": outside,
        "a negative label_id": found.label_ids < 0,
        "a score that is not finite": ~np.isfinite(found.scores),
        "a box that is not finite": ~np.isfinite(boxes).all(1),
        "a box that ends before it begins": ends_early.any(1),
    }
    problems = [f"{text} in {_rows(np.flatnonzero(bad))}" for text, bad in faults.items() if bad.any()]
    if problems:
        msg = f"{len(found)} detections have {'; '.join(problems)}. Remove such rows, or fix the code that wrote them"
        raise DataError(msg)


def _rows(rows: npt.NDArray[np.int64]) -> str:
    more = f" and {len(rows) - _N_LISTED} more" if len(rows) > _N_LISTED else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_N_LISTED].tolist()))}{more}"
