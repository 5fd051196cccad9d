"""The result of comparing two models: a frozen value that prints, draws and saves itself."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows this module

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    import pandas as pd
    from matplotlib.figure import Figure

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.comparison.counts import McNemar, PairedCounts
    from onlineml.evaluation.comparison.samples import PairedSamples
    from onlineml.evaluation.detection.tables import WorstImage
    from onlineml.evaluation.types import Ints

__all__ = ["ChangedImage", "Comparison", "NewClass", "PartChange", "ScoreChange"]


@dataclass(frozen=True)
class ScoreChange:
    """A score of both models.

    Attributes:
        name: as in `ClassificationScores.score_names` or `DetectionScores.score_names`.
        a: of the first model, on the classes and images that both know.
        b: of the second.
        difference: second minus first.
        low: lower end of its 95 % interval; nan where it cannot be told.
        high: upper end.
    """

    name: str
    a: float
    b: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class PartChange:
    """What changed in one class, or in the images that share one value of one column.

    Attributes:
        column: ``"class"``, or the column's name.
        value: the class, or the column's value as in `onlineml.evaluation.slices.SliceScore`.
        n: images; of a detector, objects.
        n_groups: groups that they are in.
        fixed: those that the second model alone gets right (finds).
        broken: those that the first alone gets right.
        a: score of the first model: the share that is right (of a class: `Comparison.class_score`); of a detector, AP.
        b: of the second.
        difference: second minus first.
        low: lower end of its 95 % interval; nan where it cannot be told.
        high: upper end.
        p_drop: one-sided p value of a drop.
    """

    column: str
    value: str
    n: int
    n_groups: int
    fixed: int
    broken: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    p_drop: float

    @property
    def unchanged(self) -> int:
        """Those that are right, or wrong, with both models."""
        return self.n - self.fixed - self.broken


@dataclass(frozen=True)
class NewClass:
    """A class that the second model adds; no part of the comparison.

    Attributes:
        name: of the class.
        n: its images; of a detector, its objects.
        score: the share that is right; of a detector, AP50-95.
        low: lower end of its 95 % interval; high: upper end.
    """

    name: str
    n: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class ChangedImage:
    """An image that one model handles better.

    Attributes:
        image_id: of the manifest.
        uri: where the image is; "" if that was not given.
        change: ``"fixed"``: the second model makes fewer mistakes; ``"broken"``: more.
        truth: the class, or how many objects there are.
        prediction_a: what the first model says: ``"cat 83 %"``, ``"2 missed, 1 false; 5 objects"``.
        prediction_b: what the second says.
        boxes_a: a detector's boxes, to draw; None for a classifier.
        boxes_b: of the second model.
    """

    image_id: str
    uri: str
    change: str
    truth: str
    prediction_a: str
    prediction_b: str
    boxes_a: WorstImage | None = None
    boxes_b: WorstImage | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What a second model does better and worse than a first, image by image, and how sure the difference is.

    An *item* is an image of a classifier, and an object of a detector; it is right if its class is predicted (all of
    several, and no other), or if the object is found at an IoU of 0.5 with the score of its class's threshold.

    Attributes:
        a: scores of the first model, as they were given; b: of the second.
        class_names: the classes of both, in the order of the first.
        new_classes: those that the second adds. Images that show them alone are left out of everything else here.
        image_ids: (N) the shared images; uris: (N) where they are.
        n_groups: independent groups.
        mistakes_a: (N,) int64 mistakes of the first model in each image: 0 or 1; missed and false boxes, or labels.
        mistakes_b: (N,) of the second.
        n_items: items, of the shared classes.
        n_fixed: items that the second model alone gets right.
        n_broken: items that the first alone gets right.
        n_right: items that both get right.
        mcnemar: McNemar's test on the items.
        main: name of the score that the comparison is about: ``"accuracy"``, ``"map_50_95"``, ``"subset_accuracy"``.
        scores: scores of both, with 95 % intervals of the differences, over groups.
        evidence: what bounds the difference, by name of the scores that a gate may ask for.
        by_class: what changed in each class.
        by_slice: and for each value of each column.
        changed: the fixed and broken images, the worst first.
        thumbnails: small PNG or JPEG bytes by image id.
        item: what an item is, ``"image"`` or ``"object"``; class_score: what `by_class` compares, for people.
    """

    a: BaseScores
    b: BaseScores
    class_names: tuple[str, ...]
    new_classes: tuple[NewClass, ...]
    image_ids: tuple[str, ...]
    uris: tuple[str, ...]
    n_groups: int
    mistakes_a: Ints
    mistakes_b: Ints
    n_items: int
    n_fixed: int
    n_broken: int
    n_right: int
    mcnemar: McNemar
    main: str
    scores: tuple[ScoreChange, ...]
    evidence: Mapping[str, PairedCounts | PairedSamples]
    by_class: tuple[PartChange, ...]
    by_slice: tuple[PartChange, ...]
    changed: tuple[ChangedImage, ...]
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    item: str = "image"
    class_score: str = "recall"

    @property
    def n_images(self) -> int:
        """Number of shared images, N."""
        return len(self.image_ids)

    @property
    def of_objects(self) -> bool:
        """Whether items are objects, not images."""
        return self.item == "object"

    @property
    def fixed_ids(self) -> tuple[str, ...]:
        """Images in which the second model makes fewer mistakes."""
        return self._ids(self.mistakes_b < self.mistakes_a)

    @property
    def broken_ids(self) -> tuple[str, ...]:
        """Images in which it makes more."""
        return self._ids(self.mistakes_b > self.mistakes_a)

    @property
    def n_unchanged(self) -> int:
        """Images with as many mistakes as before."""
        return int(np.sum(self.mistakes_a == self.mistakes_b))

    def _ids(self, which: Any) -> tuple[str, ...]:
        return tuple(self.image_ids[i] for i in np.flatnonzero(which))

    @property
    def negative_flip_rate(self) -> float:
        """Share of the items that were right and now are wrong (Yan et al., CVPR 2021); nan without items."""
        return self.n_broken / self.n_items if self.n_items else float("nan")

    @property
    def difference(self) -> float:
        """Of the main score, second minus first."""
        return self.score(self.main).difference

    def score(self, name: str) -> ScoreChange:
        """A score of both models, by name.

        Raises:
            ConfigError: it is not compared.
        """
        known = {change.name: change for change in self.scores}
        if name not in known:
            msg = f"there is no score {name!r} in this comparison; it has {', '.join(known)}"
            raise ConfigError(msg)
        return known[name]

    def with_thumbnails(self, thumbnails: Mapping[str, bytes]) -> Comparison:
        """The same with further small PNG or JPEG images, by image id; usually those of `changed`."""
        return dataclasses.replace(self, thumbnails={**self.thumbnails, **thumbnails})

    def to_frame(self) -> pd.DataFrame:
        """One row a score: ``a``, ``b``, ``difference``, ``low`` and ``high`` of its 95 % interval."""
        import pandas as pd

        rows = [dataclasses.asdict(change) for change in self.scores]
        return pd.DataFrame(rows).set_index("name").rename_axis("score")

    def parts_frame(self) -> pd.DataFrame:
        """One row a class, then one a slice, with the columns of `PartChange`."""
        import pandas as pd

        names = [f.name for f in dataclasses.fields(PartChange)]
        return pd.DataFrame([dataclasses.astuple(part) for part in (*self.by_class, *self.by_slice)], columns=names)

    def images_frame(self) -> pd.DataFrame:
        """One row an image: ``uri``, mistakes of both models, and ``change``: fixed, broken or unchanged."""
        import pandas as pd

        change = np.array(["fixed", "unchanged", "broken"])[np.sign(self.mistakes_b - self.mistakes_a) + 1]
        columns = {"uri": self.uris, "mistakes_a": self.mistakes_a, "mistakes_b": self.mistakes_b, "change": change}
        return pd.DataFrame(columns, index=pd.Index(self.image_ids, name="image_id", dtype="object"))

    def figure(self, name: str) -> Figure:
        """A figure by name: classes, slices, broken or fixed.

        Raises:
            ConfigError: there is no such figure.
        """
        from onlineml.evaluation.comparison.plots import figure

        return figure(self, name)

    def to_html(self) -> str:
        """The comparison as one self-contained page, which loads nothing and runs no script."""
        from onlineml.evaluation.comparison.html import comparison_html

        return comparison_html(self)

    def save_report(self, url: str | PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> str:
        """Write the page to a file or URL that ends in ``.html``, or as ``comparison.html`` into a folder.

        Returns:
            Where it was written.
        """
        from onlineml.evaluation.classification.report import save_page

        return save_page(self.to_html(), url, name="comparison.html", storage_options=storage_options)

    def __repr__(self) -> str:
        return f"<Comparison: {self.main} {self.difference:+.3f} on {self.n_images} images>"

    def __str__(self) -> str:
        from onlineml.evaluation.comparison.text import comparison_text

        return comparison_text(self)

    def _repr_html_(self) -> str:
        from onlineml.evaluation.comparison.html import summary_html

        return summary_html(self)
