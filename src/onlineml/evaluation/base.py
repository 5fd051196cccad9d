"""What the scores of every task can do: name themselves, print, draw and save."""
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
    """The part of a result that is the same for all tasks; each result is a frozen dataclass.

    A field that is annotated as ``float`` is a single-number score.

    Attributes:
        headline: the names of the scores that tell most, the one to compare models by first.
        own_figures: names of the figures that the scores of other tasks do not have.
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
        """Names of the single-number scores, as in `intervals` and `to_frame`."""
        return [f.name for f in dataclasses.fields(self) if f.type == "float"]  # type: ignore[arg-type]

    def score(self, name: str) -> float:
        """A score by the name that `score_names` lists."""
        return float(getattr(self, name))

    def interval(self, name: str) -> Interval:
        """The 95 % interval of a score; (nan, nan) where it cannot be told."""
        return self.intervals.get(name, (float("nan"), float("nan")))

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Names of what `figure` draws."""
        return ("confusion", "classes", "pr", "worst", "slices", *self.own_figures)

    def summary(self) -> dict[str, Any]:
        """The headline as plain values: each score by its name, ``intervals`` of them, and the number of ``images``."""
        return {
            "images": self.n_images,
            **{name: self.score(name) for name in self.headline},
            "intervals": {name: self.interval(name) for name in self.headline},
        }

    def confused_pairs(self, limit: int = 10) -> list[ConfusedPair]:
        """The most frequent confusions of two classes, most frequent first."""
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
        """The same scores with small PNG or JPEG images, by image id; usually of those with mistakes."""
        return dataclasses.replace(self, thumbnails=dict(thumbnails))  # type: ignore[type-var]

    def to_frame(self) -> pd.DataFrame:
        """One row a score: ``value``, and ``low`` and ``high`` of its 95 % interval; classes are in `per_class`."""
        import pandas as pd

        names = self.score_names()
        rows = [(self.score(name), *self.interval(name)) for name in names]
        return pd.DataFrame(rows, columns=["value", "low", "high"], index=pd.Index(names, name="score", dtype="object"))

    def to_html(self) -> str:
        """The report as one self-contained page; see `onlineml.evaluation.classification.report.report_html`."""
        from onlineml.evaluation.classification.report import report_html

        return report_html(cast("AnyScores", self))

    def save_report(self, url: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write the report to a file or URL that ends in ``.html``, or as ``report.html`` into a folder.

        Returns:
            Where it was written.
        """
        from onlineml.evaluation.classification.report import save_page

        return save_page(self.to_html(), url, name="report.html", storage_options=storage_options)
