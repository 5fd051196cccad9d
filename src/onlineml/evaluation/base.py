"""Common functionality of the scores of all tasks: listing, printing, drawing and saving."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows the scores

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np

from onlineml.evaluation.classification.tables import ConfusedPair

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    import pandas as pd

    from onlineml.evaluation.classification.tables import ClassTable
    from onlineml.evaluation.types import AnyScores, Interval, Ints

__all__ = ["BaseScores"]


class BaseScores:
    """Common part of the results of all tasks; each result is a frozen dataclass.

    A field annotated as ``float`` is a single-number score.

    Attributes:
        headline: names of the most important scores; the first is used to compare models.
        own_figures: names of the figures that only this task has.
    """

    headline: ClassVar[tuple[str, ...]]
    own_figures: ClassVar[tuple[str, ...]]

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

    def _class_table(self) -> ClassTable:
        raise NotImplementedError

    def _confusion(self) -> Ints:
        raise NotImplementedError

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
        off_diagonal = self._confusion()[:n_classes, :n_classes].copy()
        np.fill_diagonal(off_diagonal, 0)
        truths, predictions = np.nonzero(off_diagonal)
        counts = off_diagonal[truths, predictions]
        first = np.argsort(-counts, kind="stable")[:limit]
        support = self._class_table().support
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
        """Return the report as one self-contained page, see `onlineml.evaluation.classification.report.report_html`."""
        from onlineml.evaluation.classification.report import report_html

        return report_html(cast("AnyScores", self))

    def save_report(self, url: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write the report to a file or URL that ends in ``.html``, or as ``report.html`` into a folder.

        Returns:
            The path or URL of the report.
        """
        from onlineml.evaluation.classification.report import save_page

        return save_page(self.to_html(), url, name="report.html", storage_options=storage_options)
