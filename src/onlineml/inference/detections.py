"""Detections of a detector in images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from onlineml.evaluation.render.gallery import GalleryItem, ShownBox
from onlineml.inference.drawing import box_colour
from onlineml.inference.items import ImageRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    from matplotlib.figure import Figure


__all__ = ["DetectedObject", "DetectionRows", "ImageDetections"]

_SHEET, _INCHES = 3, 3.4  # images per row, and their width, so that labels are legible
_SHOWN_PX = 400


class DetectedObject(NamedTuple):
    """One object.

    Attributes:
        label: its class.
        score: 0..1.
        box_xyxy: left, top, right and bottom in pixels of the upright original image.
    """

    label: str
    score: float
    box_xyxy: tuple[float, float, float, float]

    def __str__(self) -> str:
        return f"{self.label} ({self.score:.3f}) at {', '.join(f'{v:.0f}' for v in self.box_xyxy)}"


@dataclass(frozen=True, eq=False)
class ImageDetections:
    """The detections in one image, the highest score first.

    Attributes:
        uri: the path or URL, or ``bytes:3``, ``array:3``, ``image:3`` for input without a name; may be empty.
        size_hw: height and width of the upright original in pixels; None for an unusable image.
        boxes_xyxy: (n, 4) float64, pixels of the upright original, within it.
        label_ids: (n,) int64, indices of the model's class names.
        labels: the n objects' classes.
        scores: (n,) float64 in 0..1, descending.
        error: why the image is unusable; None for a good one, with or without objects.
        image_id: in the manifest or table that it came from, or ``""``.
        is_full: as many objects as the model's `max_objects`, all above their thresholds: there may be more.
    """

    uri: str
    size_hw: tuple[int, int] | None
    boxes_xyxy: npt.NDArray[np.float64]
    label_ids: npt.NDArray[np.int64]
    labels: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    error: str | None
    image_id: str = ""
    is_full: bool = False

    @classmethod
    def unusable(cls, uri: str, error: str, image_id: str = "") -> ImageDetections:
        """The row of an unusable image."""
        return cls(uri, None, np.zeros((0, 4)), np.zeros(0, np.int64), (), np.zeros(0), error, image_id)

    def take(self, rows: Any) -> ImageDetections:
        """Some of the objects, in the order of ``rows``: numbers, a mask or a slice."""
        labels = tuple(np.array(self.labels, dtype=object)[rows])
        chosen = {"boxes_xyxy": self.boxes_xyxy[rows], "label_ids": self.label_ids[rows], "scores": self.scores[rows]}
        return replace(self, labels=labels, **chosen)

    def __len__(self) -> int:
        return len(self.labels)

    def __bool__(self) -> bool:  # also for an image without objects
        return True

    def __iter__(self) -> Iterator[DetectedObject]:
        for label, score, (x1, y1, x2, y2) in zip(
            self.labels, self.scores.tolist(), self.boxes_xyxy.tolist(), strict=True
        ):
            yield DetectedObject(label, score, (x1, y1, x2, y2))

    @property
    def main(self) -> DetectedObject | None:
        """The object with the highest score; None if there is none."""
        return next(iter(self), None)

    @property
    def label(self) -> str | None:
        """Class of the main object; None if there is none."""
        return self.labels[0] if self.labels else None

    @property
    def score(self) -> float:
        """Score of the main object; nan if there is none."""
        return float(self.scores[0]) if self.labels else float("nan")

    @property
    def top(self) -> tuple[tuple[str, float], ...]:
        """Class and score of each object, as in a classifier's row."""
        return tuple((found.label, found.score) for found in self)

    def records(self) -> list[dict[str, Any]]:
        """Its table rows, with a value for each of `DetectionRows.columns`: one per object, or one without object."""
        height, width = self.size_hw or (None, None)
        image = {"width": width, "height": height, "error": self.error}
        image |= {"image_id": self.image_id, "is_full": self.is_full}
        objects: list[tuple[Any, ...]] = list(self) or [(None, float("nan"), (float("nan"),) * 4)]
        corners = ("x1", "y1", "x2", "y2")
        return [
            {"uri": self.uri, "label": label, "score": score, **dict(zip(corners, box, strict=True)), **image}
            for label, score, box in objects
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return ``uri``, ``objects`` of label, score and box, ``width`` and ``height``, or ``uri`` and ``error``."""
        if self.error is not None or self.size_hw is None:
            return {"uri": self.uri, "error": self.error}
        objects = [{"label": one.label, "score": one.score, "box_xyxy": list(one.box_xyxy)} for one in self]
        height, width = self.size_hw
        return {"uri": self.uri, "objects": objects, "width": width, "height": height}

    def strengths(self) -> dict[str, float]:
        """Return the strength of each class in the image: the number of its objects."""
        return {label: float(self.labels.count(label)) for label in dict.fromkeys(self.labels)}

    def drawn_on(self, pixels: npt.NDArray[np.uint8], class_names: Sequence[str]) -> npt.NDArray[np.uint8]:
        """Return a picture with the objects drawn on it.

        Args:
            pixels: (H, W, 3) uint8 RGB, the image at any size; not changed.
            class_names: not used: colours depend on `label_ids`.
        """
        from onlineml.inference.drawing import draw_boxes, shortened  # noqa: PLC0415

        del class_names
        height, width = pixels.shape[:2]
        scale = np.array([width, height] * 2) / np.array((self.size_hw or (height, width))[::-1] * 2)
        texts = [f"{shortened(label)} {score:.2f}" for label, score in self.top]
        return draw_boxes(pixels, self.boxes_xyxy * scale, texts, self.label_ids)

    @property
    def summary(self) -> str:
        """A text with the counts by class, or why the image is unusable."""
        if self.error is not None:
            return self.error
        counts = [f"{self.labels.count(label)} {label}" for label in dict.fromkeys(self.labels)]
        limit = f" (the model's limit, max_objects={len(self)}, is reached)" if self.is_full else ""
        return (", ".join(counts) or "no objects") + limit

    def __repr__(self) -> str:
        return f"<ImageDetections: {self}>"

    def __str__(self) -> str:
        return f"{self.uri}: {self.summary}"


class DetectionRows(ImageRows[ImageDetections]):
    """The detections in images, one row for each image, made on demand.

    Iterating streams the rows without keeping them. Length, indexing and tables compute and keep all rows. The table
    has a row for each object: uri, label, score, x1, y1, x2, y2, the image's width and height, error, image_id,
    is_full. An image without objects, or an unusable one, has one row without label and box.

    Args:
        rows: starts the stream.
        model: its name, for display.
    """

    counted: ClassVar[str] = "boxes"
    columns: ClassVar[Mapping[str, str]] = {
        "uri": "string",
        "label": "string",
        "score": "float64",
        **dict.fromkeys(("x1", "y1", "x2", "y2"), "float64"),
        "width": "int64",
        "height": "int64",
        "error": "string",
        "image_id": "string",
        "is_full": "bool",
    }

    @staticmethod
    def item(row: ImageDetections) -> GalleryItem:
        """The objects, drawn."""
        if row.error is not None:
            return GalleryItem("cannot be used", row.error, "bad")
        boxes = zip(row, row.label_ids.tolist(), strict=True)
        drawn = tuple(
            ShownBox(one.box_xyxy, f"{one.label} {one.score:.2f}", box_colour(number), score=one.score)
            for one, number in boxes
        )
        return GalleryItem(row.summary, boxes=drawn)

    def figure(self, *, limit: int = 12, storage_options: Mapping[str, Any] | None = None) -> Figure:
        """A sample of the images, with the objects drawn, and counted below."""
        from onlineml.evaluation.render.image_grid import image_grid  # noqa: PLC0415
        from onlineml.inference.drawing import draw_stored  # noqa: PLC0415

        shown = self.sample(limit)
        pictures = draw_stored(shown, max_side=_SHOWN_PX, storage_options=storage_options)
        return image_grid(pictures, [row.summary for row in shown], columns=_SHEET, limit=limit, inches=_INCHES)
