"""Common functionality of the scores of all tasks: listing, printing, drawing and saving."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows the scores

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from onlineml.evaluation.classification.tables import ConfusedPair
from onlineml.evaluation.render.text import subject

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    import pandas as pd
    from matplotlib.figure import Figure

    from onlineml.evaluation.classification.tables import ClassTable
    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.evaluation.render.card import CardFacts, TaskWords
    from onlineml.evaluation.render.gallery import GalleryItems
    from onlineml.evaluation.types import Interval, Ints

__all__ = ["BaseScores"]


class BaseScores(ABC):
    """Common part of the results of all tasks; each result is a frozen dataclass.

    A field annotated as ``float`` is a single-number score.

    Attributes:
        headline: names of the most important scores; the first is used to compare models.
        own_figures: names of the figures that only this task has.
        words: what a model of this task is and does.
    """

    headline: ClassVar[tuple[str, ...]]
    own_figures: ClassVar[tuple[str, ...]]
    words: ClassVar[TaskWords]

    class_names: tuple[str, ...]
    model_ref: str
    split: str
    manifest_hash: str
    image_ids: tuple[str, ...]
    uris: tuple[str, ...]
    groups: tuple[str | None, ...] | None
    slices: Mapping[str, tuple[Any, ...]]
    n_groups: int
    n_bootstrap: int
    seed: int
    intervals: Mapping[str, Interval]
    thumbnails: Mapping[str, bytes]

    @property
    def n_images(self) -> int:
        """Number of images scored."""
        return len(self.image_ids)

    if TYPE_CHECKING:  # fields of some scores, and computed by others

        @property
        def per_class(self) -> ClassTable:
            """Scores of each class."""
            raise NotImplementedError

        @property
        def confusion(self) -> Ints:
            """(C, C) or (C + 1, C + 1) int64, truths are the rows."""
            raise NotImplementedError

    # ---- what each task says for itself ----

    @abstractmethod
    def compare_with(self, other: Self, *, n_resamples: int, seed: int) -> Comparison:
        """Compare with a second model's scores of the same task and images; call `onlineml.compare`, which checks."""

    @abstractmethod
    def report_sections(self, title: str) -> str:
        """Return the body of the report's page as HTML, below a title, which may be any text."""

    @abstractmethod
    def gallery(self) -> GalleryItems:
        """Return the images with what was said of them, those with mistakes first."""

    @abstractmethod
    def card_facts(self) -> CardFacts:
        """Return what a model card says of these scores besides what all scores have."""

    @abstractmethod
    def expectation(self) -> str:
        """Return in words what to expect of the next images."""

    @abstractmethod
    def explanation(self, name: str) -> str:
        """Return one clause on what a score means, by its name; "" for one without."""

    @abstractmethod
    def figure(self, name: str) -> Figure:
        """Draw one of the `figure_names`."""

    @abstractmethod
    def to_json(self) -> str:
        """Encode as JSON text, all that fits."""

    def shown_scores(self) -> list[str]:
        """Return the names of the scores that are worth a row in tables."""
        return self.score_names()

    def subject(self) -> str:
        """Return what was evaluated: "418 images of the test split, 10 classes"."""
        return subject(self)

    # ---- what is the same for all ----

    def score_names(self) -> list[str]:
        """Return the names of the single-number scores, as in `intervals` and `to_frame`."""
        return [f.name for f in dataclasses.fields(self) if f.type == "float"]  # type: ignore[arg-type]

    def score(self, name: str) -> float:
        """Return a score by its name, see `score_names`."""
        return float(getattr(self, name))

    def interval(self, name: str) -> Interval:
        """Return the 95 % interval of a score; (nan, nan) if it is undefined."""
        return self.intervals.get(name, (float("nan"), float("nan")))

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Names of the figures that `figure` draws."""
        return ("confusion", "classes", "pr", "worst", "slices", *self.own_figures)

    def summary(self) -> dict[str, Any]:
        """Return the headline as plain values: each score by name, their ``intervals``, the number of ``images``."""
        return {
            "images": self.n_images,
            **{name: self.score(name) for name in self.headline},
            "intervals": {name: self.interval(name) for name in self.headline},
        }

    def confused_pairs(self, limit: int = 10) -> list[ConfusedPair]:
        """Return the most frequent confusions of two classes, most frequent first."""
        n_classes = len(self.class_names)
        off_diagonal = self.confusion[:n_classes, :n_classes].copy()
        np.fill_diagonal(off_diagonal, 0)
        truths, predictions = np.nonzero(off_diagonal)
        counts = off_diagonal[truths, predictions]
        first = np.argsort(-counts, kind="stable")[:limit]
        support = self.per_class.support
        return [
            ConfusedPair(self.class_names[t], self.class_names[p], int(n), float(n / support[t]))
            for t, p, n in zip(truths[first], predictions[first], counts[first], strict=True)
        ]

    def with_thumbnails(self, thumbnails: Mapping[str, bytes]) -> Self:
        """Return the same scores with small PNG or JPEG images, by image id; usually of those with mistakes."""
        return dataclasses.replace(self, thumbnails=dict(thumbnails))  # type: ignore[type-var]

    def to_frame(self) -> pd.DataFrame:
        """Return one row per score: ``value``, and ``low`` and ``high`` of its 95 % interval; see also `per_class`."""
        import pandas as pd

        names = self.score_names()
        rows = [(self.score(name), *self.interval(name)) for name in names]
        return pd.DataFrame(rows, columns=["value", "low", "high"], index=pd.Index(names, name="score", dtype="object"))

    def to_html(self) -> str:
        """Return the report as one self-contained page, see `onlineml.evaluation.render.report.report_html`."""
        from onlineml.evaluation.render.report import report_html

        return report_html(self)

    def save_report(self, url: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write the report to a file or URL that ends in ``.html``, or as ``report.html`` into a folder.

        Returns:
            The path or URL of the report.
        """
        from onlineml.evaluation.render.report import save_page

        return save_page(self.to_html(), url, name="report.html", storage_options=storage_options)
