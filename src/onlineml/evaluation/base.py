"""Common functionality of the scores of all tasks: listing, printing, drawing and saving."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows the scores

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping  # noqa: TC003 - read with the scores, as all types of fields are
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from onlineml.arguments.similar import valid_names
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.evaluation import serial
from onlineml.evaluation.classification.tables import ConfusedPair
from onlineml.evaluation.render.card import TaskWords  # noqa: TC001
from onlineml.evaluation.render.text import doubt, subject
from onlineml.evaluation.serial import Layout  # noqa: TC001
from onlineml.evaluation.types import Interval  # noqa: TC001
from onlineml.storage.urls import storable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from onlineml.evaluation.classification.tables import ClassTable
    from onlineml.evaluation.comparison.result import Comparison
    from onlineml.evaluation.render.card import CardFacts
    from onlineml.evaluation.render.gallery import GalleryItems
    from onlineml.evaluation.render.html import Header, Section
    from onlineml.evaluation.types import Floats, Ints
    from onlineml.storage.location import Options, Url

__all__ = ["BaseScores"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BaseScores(ABC):
    """Common part of the results of all tasks.

    A field annotated as ``float`` is a single-number score.

    Attributes:
        class_names: the model's classes, in the order of its outputs.
        model_ref: the model, without credentials; "" if unknown.
        split: the split of the manifest.
        manifest_hash: the dataset version.
        image_ids: (N,) ids, in the order of the arrays.
        uris: (N) locations of the images, without credentials; "" if unknown.
        groups: (N) the group of each image, or None: each image is its own.
        slices: columns (N) by which `by_slice` is computed.
        n_groups: number of independent groups.
        n_bootstrap: number of resamples for the intervals.
        seed: seed of the resamples.
        intervals: 95 % percentile bootstrap interval (low, high) over groups, by score name.
        thumbnails: small PNG or JPEG bytes by image id, of whole images without boxes, for reports.
        headline: names of the most important scores; the first is used to compare models.
        slice_score: name of the score of each slice.
        drawers: the functions that draw the figures, by name.
        words: what a model of this task is and does.
        explanations: clauses on what the scores mean, by their names.
        layout: how they are stored.
    """

    headline: ClassVar[tuple[str, ...]]
    slice_score: ClassVar[str]
    drawers: ClassVar[Mapping[str, Callable[..., Any]]]
    words: ClassVar[TaskWords]
    explanations: ClassVar[Mapping[str, str]]
    layout: ClassVar[Layout]

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
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Leave credentials out of URLs: scores are stored, pickled and shown."""
        object.__setattr__(self, "model_ref", storable(self.model_ref))
        object.__setattr__(self, "uris", tuple(map(storable, self.uris)))

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
        def by_slice(self) -> tuple[Any, ...]:
            """Scores for each value of each column in `slices`."""
            raise NotImplementedError

        @property
        def confusion(self) -> Ints:
            """(C, C) or (C + 1, C + 1) int64, truths are the rows."""
            raise NotImplementedError

    @abstractmethod
    def compare_with(self, other: Self, /, *, n_resamples: int, seed: int) -> Comparison:
        """Compare with a second model's scores of the same task and images; call `onlineml.compare`, which checks."""

    @abstractmethod
    def pooled_with(self, others: Sequence[Self], /, *, n_bootstrap: int = 1000) -> Self:
        """Return the scores on these images and those of others, none in common; thresholds are the mean of theirs."""

    @abstractmethod
    def report_parts(self) -> tuple[Header, list[Section]]:
        """Return the parts of the report's page."""

    @abstractmethod
    def gallery(self) -> GalleryItems:
        """Return the images with what was said of them, those with mistakes first."""

    @abstractmethod
    def card_facts(self) -> CardFacts:
        """Return what a model card says of these scores besides what all scores have."""

    @abstractmethod
    def expectation(self) -> str:
        """Return in words what to expect of the next images."""

    def without_knowledge(self) -> tuple[str, float] | None:
        """Return a score's name, and the most that a model that has learned nothing has of it; None if unknown."""
        return None

    def explanation(self, name: str) -> str:
        """Return one clause on what a score means, by its name; "" for one without."""
        if name.startswith("top_"):
            return f"share of images whose class is among the {name[4:]} first guesses"
        return self.explanations.get(name, "")

    def doubt(self) -> str:
        """Return a sentence if the scores may as well be those of a model that has learned nothing; else ``""``."""
        return doubt(self)

    def shown_scores(self) -> list[str]:
        """Return the names of the scores that are worth a row in tables."""
        return self.score_names()

    def subject(self) -> str:
        """Return what was evaluated: "418 images of the test split, 10 classes"."""
        return subject(self)

    def score_names(self) -> list[str]:
        """Return the names of the single-number scores, as in `intervals` and `to_frame`."""
        return [f.name for f in dataclasses.fields(self) if f.type == "float"]

    def score(self, name: str) -> float:
        """Return a score by its name, see `score_names`."""
        return float(getattr(self, name))

    def interval(self, name: str) -> Interval:
        """Return the 95 % interval of a score; (nan, nan) if it is undefined."""
        return self.intervals.get(name, (float("nan"), float("nan")))

    @property
    def figure_names(self) -> tuple[str, ...]:
        """Names of the figures that `figure` draws."""
        return tuple(self.drawers)

    def figure(self, name: str) -> Figure:
        """Draw one of the `figure_names`; "worst" shows the images with mistakes.

        Raises:
            ConfigError: the figure does not exist.
        """
        if name not in self.drawers:
            raise ConfigError(f"there is no figure {name!r}; choose one of {', '.join(self.drawers)}")
        figure: Figure = self.drawers[name](self)
        return figure

    @property
    def precision(self) -> Floats:
        """Precision of each class (C,)."""
        return self.per_class.precision

    @property
    def recall(self) -> Floats:
        """Recall of each class (C,)."""
        return self.per_class.recall

    @property
    def f1(self) -> Floats:
        """F1 of each class (C,)."""
        return self.per_class.f1

    @property
    def ap(self) -> Floats:
        """Average precision of each class (C,); of objects, over IoU 0.50 to 0.95."""
        return self.per_class.ap

    def _curve_class(self, class_name: str | int) -> int:
        """Return the id of a class (name or id) that a curve is drawn for.

        Raises:
            DataError: the scores were saved without arrays.
            UnknownClassError: the class does not exist.
        """
        if any(getattr(self, name) is None for name in self.layout.arrays):
            raise DataError(
                f"these scores were saved without the arrays that curves need ({', '.join(self.layout.arrays)}); "
                "evaluate again, or save them with to_json(arrays=True)"
            )
        if not isinstance(class_name, str):
            return class_name
        if class_name not in self.class_names:
            known = valid_names(class_name, self.class_names)
            raise UnknownClassError(f"{class_name!r} is not one of the {len(self.class_names)} classes: {known}")
        return self.class_names.index(class_name)

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
        return dataclasses.replace(self, thumbnails=dict(thumbnails))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per score: ``value``, and ``low`` and ``high`` of its 95 % interval; see also `per_class`."""
        import pandas as pd

        names = self.score_names()
        rows = [(self.score(name), *self.interval(name)) for name in names]
        return pd.DataFrame(rows, columns=["value", "low", "high"], index=pd.Index(names, name="score", dtype="object"))

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values, without single images, which only `to_json` writes."""
        return serial.to_dict(self)

    def to_json(self, *, arrays: bool | None = None) -> str:
        """Encode as strict JSON text; an undefined number is null.

        Args:
            arrays: whether to include the probabilities, or boxes. None: if they take at most 64 MiB; without them, the
                scores have everything but curves when read.
        """
        return serial.to_json(self, arrays=arrays)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read the result of `to_json`.

        Raises:
            DataError: the text is not JSON, is of another kind, is damaged, or is from a later version of onlineml.
        """
        return serial.from_json(cls, text)

    def to_html(self) -> str:
        """Return the report as one self-contained page, see `onlineml.evaluation.render.report.report_html`."""
        from onlineml.evaluation.render.report import report_html

        return report_html(self)

    def save_report(self, url: Url, *, storage_options: Options = None) -> str:
        """Write the report to a file or URL that ends in ``.html``, or as ``report.html`` into a folder.

        Returns:
            The path or URL of the report.
        """
        from onlineml.evaluation.render.report import save_page

        return save_page(self.to_html(), url, name="report.html", storage_options=storage_options)
