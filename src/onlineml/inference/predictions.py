"""Predictions of a classifier for images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from onlineml.evaluation.render.gallery import GalleryItem
from onlineml.inference.items import ImageRows
from onlineml.inference.rows import named_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onlineml.inference.rows import Answering

__all__ = ["Prediction", "Predictions"]

SURE_FROM = 0.5  # a lower probability of the most likely class is marked


@dataclass(frozen=True)
class Prediction:
    """The prediction of a model for one image.

    Attributes:
        uri: the path or URL, or ``bytes:3``, ``array:3``, ``image:3`` for input without a name.
        label: the most likely class; None for an unusable image.
        score: its probability, 0..1; nan without a label.
        top: the most likely classes and their probabilities, best first.
        error: why the image is unusable; None for a good one.
        image_id: in the manifest or table that it came from, or ``""``.
        label_set: the possible classes, the most likely first, if `onlineml.predict` was asked for a miss rate, else
            None. One is a sure answer; several are undecided; none says that the photo is unlike those of every class:
            the rate counts it as missed, and `label` is still the nearest class.
    """

    uri: str
    label: str | None
    score: float
    top: tuple[tuple[str, float], ...]
    error: str | None
    image_id: str = ""
    label_set: tuple[str, ...] | None = None

    @property
    def summary(self) -> str:
        """In words: the class with its probability, or why the image cannot be used, or that it is not sure."""
        if self.error or self.label_set is None or len(self.label_set) == 1:
            return self.error or f"{self.label_set[0] if self.label_set else self.label} {self.score:.2f}"
        return " or ".join(self.label_set) or f"none of the classes, nearest {self.label} {self.score:.2f}"

    def records(self) -> list[dict[str, Any]]:
        """Its table row: a value for each of `Predictions.columns`."""
        top = {"top_labels": [name for name, _ in self.top], "top_scores": [score for _, score in self.top]}
        tail = {"error": self.error, "image_id": self.image_id}
        sets = {} if self.label_set is None else {"label_set": [*self.label_set]}
        return [{"uri": self.uri, "label": self.label, "score": self.score, **sets, **top, **tail}]

    def to_dict(self) -> dict[str, Any]:
        """Return ``uri``, ``label``, ``score``, ``top`` and any ``label_set``, or ``uri`` and ``error``, for JSON."""
        if self.error is not None:
            return {"uri": self.uri, "error": self.error}
        sets = {} if self.label_set is None else {"label_set": [*self.label_set]}
        return {"uri": self.uri, "label": self.label, "score": self.score, **sets, "top": named_scores(self.top)}

    def strengths(self) -> dict[str, float]:
        """Return the strength of classes: the most likely one by its probability; empty for an unusable image."""
        return {} if self.label is None else {self.label: self.score}

    def drawn_on(self, pixels: NDArray[np.uint8], class_names: Sequence[str]) -> NDArray[np.uint8]:
        """Return a picture with the most likely class in a corner.

        Args:
            pixels: (H, W, 3) uint8 RGB; not changed.
            class_names: their indices determine the colours.
        """
        from onlineml.inference.drawing import draw_labels  # noqa: PLC0415

        return draw_labels(pixels, self.strengths(), class_names)

    def __str__(self) -> str:
        return f"{self.uri}: {self.error if self.label is None else f'{self.label} ({self.score:.3f})'}"


class Predictions(ImageRows[Prediction]):
    """Predictions, computed lazily.

    Iterating streams them without keeping them. Length, indexing and tables compute and keep all. The table has the
    columns uri, label, score, top_labels, top_scores, error and image_id; and label_set after score, with a miss rate.

    Args:
        rows: starts the stream.
        model: its name, for display.
        network: see `onlineml.inference.rows.Rows`.
        label_sets: whether the rows have label sets.

    Example:
        >>> rows = oml.predict("s3://lab/butterflies@champion", "s3://lab/new/")
        >>> list(rows.to_frame().columns)
        ['uri', 'label', 'score', 'top_labels', 'top_scores', 'error', 'image_id']
    """

    columns: ClassVar[Mapping[str, str]] = {
        "uri": "string",
        "label": "string",
        "score": "float64",
        "top_labels": "list of string",
        "top_scores": "list of float64",
        "error": "string",
        "image_id": "string",
    }

    def __init__(
        self,
        rows: Callable[[], Iterator[Prediction]],
        *,
        model: str = "",
        network: Answering | None = None,
        label_sets: bool = False,
    ) -> None:
        super().__init__(rows, model=model, network=network)
        if label_sets:
            names = [*self.columns]
            names.insert(names.index("score") + 1, "label_set")
            self.columns = {name: self.columns.get(name, "list of string") for name in names}  # type: ignore[misc]

    @staticmethod
    def item(row: Prediction) -> GalleryItem:
        """The class and its probability, and the next most likely ones."""
        if row.label is None:
            return GalleryItem("cannot be used", row.error or "", "bad")
        is_unsure = row.score < SURE_FROM if row.label_set is None else len(row.label_set) != 1
        others = ", ".join(f"{name} {score:.2f}" for name, score in row.top[1:3] if score >= 0.01)
        return GalleryItem(row.summary, others, "warm" if is_unsure else "")
