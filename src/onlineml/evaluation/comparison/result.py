"""Result of comparing two models: an immutable object that can be printed, drawn and saved."""
# ruff: noqa: PLC0415 - what prints, draws and saves is loaded when it is asked for; it knows this module

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError
from onlineml.evaluation.comparison.html import comparison_html, summary_html
from onlineml.evaluation.comparison.items import gallery_items
from onlineml.evaluation.comparison.plots import figure
from onlineml.evaluation.comparison.text import comparison_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.comparison.counts import McNemar, PairedCounts
    from onlineml.evaluation.comparison.samples import PairedSamples
    from onlineml.evaluation.detection.tables import WorstImage
    from onlineml.evaluation.types import Ints
    from onlineml.storage.location import Options, Url

__all__ = ["ChangedImage", "Comparison", "NewClass", "PartChange", "ScoreChange"]


@dataclass(frozen=True)
class ScoreChange:
    """A score of both models.

    Attributes:
        name: as in `ClassificationScores.score_names` or `DetectionScores.score_names`.
        a: score of the first model, on the classes and images that both have.
        b: score of the second model.
        difference: second minus first.
        low: lower end of its 95 % interval; nan if undefined.
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
    """Changes in one class, or in the images that share one value of one column.

    Attributes:
        column: ``"class"``, or the column's name.
        value: the class, or the column's value as in `onlineml.evaluation.slices.SliceScore`.
        n: number of images; of a detector, objects.
        n_groups: number of groups that contain them.
        fixed: number of those that only the second model gets right (finds).
        broken: number of those that only the first model gets right.
        a: score of the first model: `Comparison.class_score`, or `Comparison.slice_score`.
        b: score of the second model.
        difference: second minus first.
        low: lower end of its 95 % interval; nan if undefined.
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
    def name(self) -> str:
        """The class, or the column and its value."""
        return self.value if self.column == "class" else f"{self.column} {self.value}"

    @property
    def unchanged(self) -> int:
        """Number of items that are right, or wrong, with both models."""
        return self.n - self.fixed - self.broken


@dataclass(frozen=True)
class NewClass:
    """A class that the second model adds; not part of the comparison.

    Attributes:
        name: name of the class.
        n: number of its images; of a detector, its objects.
        score: the fraction that is right; of a detector, AP50-95.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    name: str
    n: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class ChangedImage:
    """An image for which one model makes fewer mistakes.

    Attributes:
        image_id: id in the manifest.
        uri: location of the image; "" if unknown.
        change: ``"fixed"``: the second model makes fewer mistakes; ``"broken"``: more.
        truth: the class, or the number of objects.
        prediction_a: prediction of the first model as text: ``"cat 83 %"``, ``"2 missed, 1 false; 5 objects"``.
        prediction_b: prediction of the second model.
        boxes_a: boxes of the first model, to draw; None for a classifier.
        boxes_b: boxes of the second model.
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
    """Comparison of two models image by image, with confidence intervals of the differences.

    An *item* is an image for a classifier, and an object for a detector; it is right if its class is predicted (all of
    several, and no other), or if the object is found at an IoU of 0.5 with a score above its class's threshold.

    Attributes:
        a: scores of the first model, as passed.
        b: scores of the second model.
        class_names: the classes of both, in the order of the first.
        new_classes: classes that the second adds. Images that show only these are excluded from everything else here.
        image_ids: (N) the shared images.
        uris: (N).
        n_groups: number of independent groups.
        mistakes_a: (N,) int64 mistakes of the first model in each image: 0 or 1; missed and false boxes, or labels.
        mistakes_b: (N,) mistakes of the second model.
        n_items: number of items, of the shared classes.
        n_fixed: number of items that only the second model gets right.
        n_broken: number of items that only the first model gets right.
        n_right: number of items that both get right.
        mcnemar: McNemar's test on the items.
        main: name of the main score of the comparison: ``"accuracy"``, ``"map"`` of several labels (without
            probabilities, ``"micro_f1"``), ``"map_50_95"`` of boxes.
        item: kind of the items, ``"image"`` or ``"object"``.
        class_score: display name of the score in `by_class`; slice_score: in `by_slice`.
        order: how `changed` is sorted, in words.
        scores: scores of both, with 95 % intervals of the differences, over groups.
        evidence: data that bound the difference, by name of the scores that a gate may use: ``"accuracy"``; of several
            labels also ``"micro_f1"``, ``"macro_f1"``, ``"subset_accuracy"``; of boxes also ``"map_50"``, ``"map_75"``.
        by_class: changes in each class.
        by_slice: changes for each value of each column.
        changed: the fixed and broken images, the worst first.
        thumbnails: small PNG or JPEG bytes by image id.
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
    slice_score: str = "accuracy"
    order: str = "the surest first"

    @property
    def n_images(self) -> int:
        """Number of shared images, N."""
        return len(self.image_ids)

    @property
    def of_objects(self) -> bool:
        """True if items are objects, not images."""
        return self.item == "object"

    @property
    def fixed_ids(self) -> tuple[str, ...]:
        """Images in which the second model makes fewer mistakes."""
        return self._ids(self.mistakes_b < self.mistakes_a)

    @property
    def broken_ids(self) -> tuple[str, ...]:
        """Images in which the second model makes more mistakes."""
        return self._ids(self.mistakes_b > self.mistakes_a)

    @property
    def n_unchanged(self) -> int:
        """Number of images with as many mistakes as before."""
        return int(np.sum(self.mistakes_a == self.mistakes_b))

    def _ids(self, which: Any) -> tuple[str, ...]:
        return tuple(self.image_ids[i] for i in np.flatnonzero(which))

    @property
    def negative_flip_rate(self) -> float:
        """Fraction of the items that were right and are now wrong (Yan et al., CVPR 2021); nan without items."""
        return self.n_broken / self.n_items if self.n_items else float("nan")

    @property
    def difference(self) -> float:
        """Difference of the main score, second minus first."""
        return self.score(self.main).difference

    def score(self, name: str) -> ScoreChange:
        """Return a score of both models, by name.

        Raises:
            ConfigError: the score is not part of the comparison.
        """
        known = {change.name: change for change in self.scores}
        if name not in known:
            msg = f"there is no score {name!r} in this comparison; it has {', '.join(known)}"
            raise ConfigError(msg)
        return known[name]

    def with_thumbnails(self, thumbnails: Mapping[str, bytes]) -> Comparison:
        """Return the same comparison with further small PNG or JPEG images, by image id; usually those of `changed`."""
        return dataclasses.replace(self, thumbnails={**self.thumbnails, **thumbnails})

    def to_frame(self) -> pd.DataFrame:
        """Return one row per score: ``a``, ``b``, ``difference``, ``low`` and ``high`` of its 95 % interval."""
        import pandas as pd

        rows = [dataclasses.asdict(change) for change in self.scores]
        return pd.DataFrame(rows).set_index("name").rename_axis("score")

    def parts_frame(self) -> pd.DataFrame:
        """Return one row per class, then one per slice, with the columns of `PartChange`."""
        import pandas as pd

        names = [f.name for f in dataclasses.fields(PartChange)]
        return pd.DataFrame([dataclasses.astuple(part) for part in (*self.by_class, *self.by_slice)], columns=names)

    def images_frame(self) -> pd.DataFrame:
        """Return one row per image: ``uri``, mistakes of both models, and ``change``: fixed, broken or unchanged."""
        import pandas as pd

        change = np.array(["fixed", "unchanged", "broken"])[np.sign(self.mistakes_b - self.mistakes_a) + 1]
        columns = {"uri": self.uris, "mistakes_a": self.mistakes_a, "mistakes_b": self.mistakes_b, "change": change}
        return pd.DataFrame(columns, index=pd.Index(self.image_ids, name="image_id", dtype="object"))

    def save_report(self, url: Url, *, storage_options: Options = None) -> str:
        """Write the page to a file or URL that ends in ``.html``, or as ``comparison.html`` into a folder.

        Returns:
            The path or URL of the page.
        """
        from onlineml.evaluation.render.report import save_page

        return save_page(self.to_html(), url, name="comparison.html", storage_options=storage_options)

    gallery = gallery_items
    figure = figure
    to_html = comparison_html
    __str__ = comparison_text
    _repr_html_ = summary_html

    def __repr__(self) -> str:
        return f"<Comparison: {self.main} {self.difference:+.3f} on {count(self.n_images, 'image')}>"
