"""Predictions of a multi-label classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from onlineml.evaluation.render.gallery import GalleryItem
from onlineml.inference.items import ImageRows
from onlineml.inference.rows import named_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


__all__ = ["ImageLabels", "LabelRows"]

_NONE = "no labels"


@dataclass(frozen=True)
class ImageLabels:
    """The predicted labels of one image.

    Attributes:
        uri: the path or URL, or ``bytes:3``, ``array:3``, ``image:3`` for input without a name.
        labels: those whose probability reaches their threshold, the highest first; empty for an unusable image.
        scores: their probabilities, 0..1.
        top: the most likely classes and their probabilities, best first, regardless of thresholds.
        error: why the image is unusable; None for a good one, with or without labels.
        image_id: in the manifest or table that it came from, or ``""``.
    """

    uri: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    top: tuple[tuple[str, float], ...]
    error: str | None
    image_id: str = ""

    @property
    def label(self) -> str | None:
        """The label with the highest probability; None if there is none."""
        return next(iter(self.labels), None)

    @property
    def score(self) -> float:
        """The highest probability of a label; nan if there is none."""
        return next(iter(self.scores), math.nan)

    @property
    def summary(self) -> str:
        """A text with the labels and probabilities, or why the image is unusable."""
        return self.error or ", ".join(f"{name} {score:.2f}" for name, score in self.strengths().items()) or _NONE

    def records(self) -> list[dict[str, Any]]:
        """Its table row: a value for each of `LabelRows.columns`."""
        top = {"top_labels": [name for name, _ in self.top], "top_scores": [score for _, score in self.top]}
        tail = {"error": self.error, "image_id": self.image_id}
        return [{"uri": self.uri, "labels": [*self.labels], "scores": [*self.scores], **top, **tail}]

    def to_dict(self) -> dict[str, Any]:
        """Return ``uri``, ``labels`` with their scores and ``top``, or ``uri`` and ``error``, of JSON values."""
        if self.error is not None:
            return {"uri": self.uri, "error": self.error}
        labels = named_scores(self.strengths().items())
        return {"uri": self.uri, "labels": labels, "top": named_scores(self.top)}

    def strengths(self) -> dict[str, float]:
        """Return the probability of each label."""
        return dict(zip(self.labels, self.scores, strict=True))

    def drawn_on(self, pixels: NDArray[np.uint8], class_names: Sequence[str]) -> NDArray[np.uint8]:
        """Return a picture with the labels in its corners, up to eight.

        Args:
            pixels: (H, W, 3) uint8 RGB; not changed.
            class_names: their indices determine the colours.
        """
        from onlineml.inference.drawing import draw_labels  # noqa: PLC0415

        return draw_labels(pixels, dict([*self.strengths().items()][:8]), class_names)

    def __str__(self) -> str:
        return f"{self.uri}: {self.summary}"


class LabelRows(ImageRows[ImageLabels]):
    """The labels of images, one row for each image, made on demand; see `onlineml.inference.rows.Rows`.

    The table has the columns uri, labels, scores, top_labels, top_scores, error and image_id.

    Args:
        rows: starts the stream.
        model: its name, for display.
    """

    none = _NONE
    counted: ClassVar[str] = "labels"
    columns: ClassVar[Mapping[str, str]] = {
        "uri": "string",
        "labels": "list of string",
        "scores": "list of float64",
        "top_labels": "list of string",
        "top_scores": "list of float64",
        "error": "string",
        "image_id": "string",
    }

    @staticmethod
    def item(row: ImageLabels) -> GalleryItem:
        """The labels, and the most likely ones below their thresholds."""
        if row.error is not None:
            return GalleryItem("cannot be used", row.error, "bad")
        others = [f"{name} {score:.2f}" for name, score in row.top if name not in row.labels and score >= 0.01][:2]
        return GalleryItem(row.summary, ", ".join(others))
