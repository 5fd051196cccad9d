"""Detections of a set of images, in the form in which they are scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Detections"]


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of N images, in any order, including those with low scores, which average precision needs.

    Arrays are converted to the types below and checked on creation.

    Attributes:
        image_index: (M,) int64, the image of each detection, in [0, N).
        boxes_xyxy: (M, 4) float64, absolute pixels of the upright original image; a box may be empty (x2 == x1), but
            must not end before it begins.
        label_ids: (M,) int64, index into the class names.
        scores: (M,) float64, finite; higher is more confident.
        n_images: N, including images without detections.
        image_rows: (N,) int64, the row of each image in a manifest; None where they come from none.
        sizes_hw: (N, 2) int64, height and width of the upright originals; None where they are not known.

    Raises:
        DataError: shapes do not match, or rows have any of the faults above; every kind of fault, with rows.
    """

    image_index: npt.NDArray[np.int64]
    boxes_xyxy: npt.NDArray[np.float64]
    label_ids: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]
    n_images: int
    image_rows: npt.NDArray[np.int64] | None = None
    sizes_hw: npt.NDArray[np.int64] | None = None

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

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Detections:
        """Return some of the detections, given by indices or a mask, for the same images."""
        parts = (self.image_index[rows], self.boxes_xyxy[rows], self.label_ids[rows], self.scores[rows])
        return Detections(*parts, self.n_images, self.image_rows, self.sizes_hw)

    def of_rows(self, rows: npt.NDArray[np.int64]) -> Detections:
        """Return the detections in some of the images, in the order given.

        Args:
            rows: (K,) int64, of the manifest, each one of `image_rows`.
        """
        if self.image_rows is None:
            raise DataError("these detections have no rows of a manifest: create them with image_rows=")
        if np.array_equal(self.image_rows, rows):
            return self
        order = np.argsort(self.image_rows, kind="stable")
        at = order[np.searchsorted(self.image_rows, rows, sorter=order)]
        place = np.full(self.n_images, -1, np.int64)
        place[at] = np.arange(len(rows))
        kept = self.take(place[self.image_index] >= 0)
        sizes_hw = None if self.sizes_hw is None else self.sizes_hw[at]
        index = place[kept.image_index]
        return replace(kept, image_index=index, n_images=len(rows), image_rows=rows, sizes_hw=sizes_hw)

    @classmethod
    def by_image(
        cls,
        images: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]]],
        *,
        image_rows: npt.NDArray[np.int64] | None = None,
        sizes_hw: npt.NDArray[np.int64] | None = None,
    ) -> Detections:
        """Make one set of what was found image by image.

        Args:
            images: of each image its (n, 4) boxes, (n,) label ids and (n,) scores.
            image_rows: see `Detections`, and so the next.
            sizes_hw: of the images.
        """
        empty = (np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0))
        boxes, label_ids, scores = (np.concatenate(parts) for parts in zip(empty, *images, strict=True))
        index = np.repeat(np.arange(len(images)), [len(own) for _, _, own in images])
        return cls(index, boxes, label_ids, scores, len(images), image_rows, sizes_hw)

    @classmethod
    def nothing(cls, n_images: int) -> Detections:
        """Return an object without detections for `n_images` images."""
        return cls(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0), n_images)


def _whole(name: str, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        msg = f"{name} has dtype {array.dtype}; expected integers"
        raise DataError(msg)
    return array.astype(np.int64, copy=False)


def _refuse(found: Detections) -> None:
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
        msg = (
            f"{count(len(found), 'detection has')} {'; '.join(problems)}. Remove such rows, or fix the "
            "code that wrote them"
        )
        raise DataError(msg)


def _rows(rows: npt.NDArray[np.int64]) -> str:
    return f"row{'s' if len(rows) > 1 else ''} {examples(rows, text=str)}"
