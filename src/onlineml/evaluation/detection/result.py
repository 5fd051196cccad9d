"""Result of evaluating an object detector: an immutable object that can be printed, drawn and saved."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the types of fields are read with them
from dataclasses import dataclass
from typing import Any

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.box_arrays import Boxes  # noqa: TC001
from onlineml.evaluation import metrics
from onlineml.evaluation.base import BaseScores
from onlineml.evaluation.detection import plots, text
from onlineml.evaluation.detection.compare import compare_detectors
from onlineml.evaluation.detection.detections import Detections  # noqa: TC001
from onlineml.evaluation.detection.items import gallery_items
from onlineml.evaluation.detection.pooled import pooled_detection
from onlineml.evaluation.detection.report import report_parts, summary_html
from onlineml.evaluation.detection.tables import KINDS, DetectionSlice, ErrorType, PerObjectClass, WorstImage
from onlineml.evaluation.serial import Layout
from onlineml.evaluation.types import Array, Floats, Ints  # noqa: TC001

__all__ = ["DetectionScores"]


def _restored(values: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are stored in another form."""
    names, found, thresholds = values["class_names"], values["found"], values["thresholds"]
    confusion = np.zeros((len(names) + 1, len(names) + 1), np.int64)
    for truth, predicted, n in values["confusion"]:
        confusion[truth, predicted] = n
    if isinstance(thresholds, list):  # as former versions wrote them
        thresholds = dict(zip(names, thresholds, strict=True))
    return {
        "confusion": confusion,
        "thresholds": thresholds,
        "sizes_hw": np.array(values["sizes_hw"], np.int64).reshape(-1, 2),
        "found": None if found is None else found | {"n_images": values["n_images"]},
    }


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DetectionScores(BaseScores):
    """Scores of an object detector on annotated images, with confidence intervals and mistakes.

    Undefined scores are nan. Created by `onlineml.evaluate` or `onlineml.evaluation.detection_scores`.

    Attributes:
        sizes_hw: (N, 2) int64 height and width of the upright images; 0 if unknown.
        truth: the objects as passed; None if they were omitted from the JSON, together with `found` and `outcomes`.
        found: the detections.
        outcomes: (M,) int8, outcome of each detection at an IoU of 0.5, regardless of its score: its index in
            `onlineml.evaluation.detection.tables.KINDS`.
        thresholds: the minimum score of each class at which a box counts for precision, recall, F1, `confusion` and
            `worst`.
        thresholds_given: whether they were chosen on other images; if false, on these, which biases the scores upwards.
        map_50_95: COCO's mean average precision: over IoU 0.50, 0.55, … 0.95 and the classes that have objects. map_50
            and map_75 are at one IoU; map_small, map_medium, map_large are for objects below 32 x 32, up to 96 x 96,
            and larger ones.
        ar_1: COCO's average recall with one detection per image and class; ar_10 and ar_100 with more; ar_small,
            ar_medium, ar_large by size.
        micro_precision: fraction of the boxes at the thresholds that are correct, at an IoU of 0.5; micro_recall:
            fraction of the objects that are found; micro_f1 their harmonic mean. macro_precision, macro_recall and
            macro_f1 are means over the classes that have objects.
        intervals: 95 % percentile bootstrap interval (low, high) over groups, by score name; (nan, nan) if the
            resamples do not vary. Those of average precision, which resampling raises, are centred on the score. A
            precision or recall of exactly 0 or 1 has Clopper and Pearson's interval.
        per_class: scores of each class.
        confusion: (C + 1, C + 1) int64 at the thresholds, truths are the rows: hits on the diagonal, then confusions of
            objects at an IoU of 0.5; the last row counts boxes without an object, the last column missed objects.
        errors: TIDE's six types of errors, with their numbers and costs.
        by_slice: scores for each value of each column in `slices`.
        worst: the images with the most mistakes.
    """

    headline = ("map_50_95", "map_50")
    words = text.WORDS
    explanations = text.EXPLANATIONS
    drawers = plots.DRAWERS
    slice_score = "map_50"
    layout = Layout(
        "onlineml.detection_scores",
        {"sizes_hw": "size_hw"},
        ("found", "truth", "outcomes"),
        _restored,
    )

    sizes_hw: Ints
    truth: Boxes | None
    found: Detections | None
    outcomes: Array | None
    thresholds: Mapping[str, float]
    thresholds_given: bool
    map_50_95: float
    map_50: float
    map_75: float
    map_small: float
    map_medium: float
    map_large: float
    ar_1: float
    ar_10: float
    ar_100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    micro_precision: float
    micro_recall: float
    micro_f1: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: PerObjectClass
    confusion: Ints
    errors: tuple[ErrorType, ...]
    by_slice: tuple[DetectionSlice, ...]
    worst: tuple[WorstImage, ...]

    def without_knowledge(self) -> tuple[str, float] | None:
        """Return a mean average precision of one point, as boxes at random have."""
        return "map_50_95", 0.01

    @property
    def n_objects(self) -> int:
        """Number of objects to find, without crowds."""
        return int(self.per_class.support.sum())

    @property
    def n_boxes(self) -> int:
        """Number of boxes at the thresholds, without those on crowds."""
        return int(self.per_class.predicted.sum())

    @property
    def n_missed(self) -> int:
        """Number of objects that no box of their class found, at the thresholds."""
        return self.n_objects - self.n_hits

    @property
    def n_false(self) -> int:
        """Number of boxes at the thresholds that found no object."""
        return self.n_boxes - self.n_hits

    @property
    def n_hits(self) -> int:
        """Number of objects found, at the thresholds."""
        return int(np.diag(self.confusion).sum())

    @property
    def ap_50(self) -> Floats:
        """Average precision of each class (C,), at an IoU of 0.50."""
        return self.per_class.ap_50

    def pr(self, class_name: str | int) -> metrics.PrecisionRecallCurve:
        """Return the precision-recall curve of a class (name or id) at an IoU of 0.5, starting from its lowest score.

        Raises:
            DataError: the scores were saved without detections.
            UnknownClassError: the class does not exist.
        """
        class_id = self._curve_class(class_name)
        assert self.found is not None  # noqa: S101 - or a class has no curve
        assert self.outcomes is not None  # noqa: S101
        rows = (self.found.label_ids == class_id) & (self.outcomes != KINDS.index("ignored"))
        n_objects = int(self.per_class.support[class_id])
        hits = self.outcomes[rows] == KINDS.index("hit")
        return metrics.precision_recall_curve(hits, self.found.scores[rows], n_positive=n_objects)

    compare_with = compare_detectors
    pooled_with = pooled_detection
    report_parts = report_parts
    gallery = gallery_items
    card_facts = text.card_facts
    expectation = text.expectation
    subject = text.subject
    __str__ = text.scores_text
    _repr_html_ = summary_html

    def __repr__(self) -> str:
        return f"<DetectionScores: mAP50-95 {self.map_50_95:.3f} on {count(self.n_images, 'image')}>"
