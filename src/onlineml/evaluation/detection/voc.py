"""Average precision as defined by the Pascal VOC challenge, for comparison with results of that time."""
# ruff: noqa: PLC0415 - pandas takes half a second to import

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.box_arrays import box_iou
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.classification.inputs import checked_names
from onlineml.evaluation.metrics import mean_defined, ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pandas as pd

    from onlineml.data.manifest.box_arrays import Boxes
    from onlineml.evaluation.detection.detections import Detections
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["VocScores", "voc_ap"]

_METHODS = ("all-point", "11-point")


@dataclass(frozen=True, eq=False)
class VocScores:
    """VOC's average precision. Created by `voc_ap`.

    Attributes:
        class_names: the C classes.
        per_class_ap: (C,) float64 in [0, 1]; nan for a class without objects.
        n_objects: (C,) int64 objects of each class, without those not counted.
        iou_threshold: minimum overlap of a correct detection.
        method: ``"all-point"`` or ``"11-point"``.
    """

    class_names: tuple[str, ...]
    per_class_ap: Floats
    n_objects: Ints
    iou_threshold: float
    method: str

    @property
    def map(self) -> float:
        """Mean over the classes that have objects; nan if none has."""
        return float(mean_defined(self.per_class_ap))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per class: ``ap``, ``objects``."""
        import pandas as pd

        index = pd.Index(self.class_names, name="class", dtype="object")
        return pd.DataFrame({"ap": self.per_class_ap, "objects": self.n_objects}, index=index)


def voc_ap(
    truth: Boxes,
    found: Detections,
    class_names: Sequence[str],
    *,
    iou_threshold: float = 0.5,
    method: str = "all-point",
    plus_one: bool = False,
) -> VocScores:
    """Compute average precision by the rules of Pascal VOC (Everingham et al., IJCV 2010; development kit of 2012).

    Each detection is compared with the object of its class that it overlaps most, even if that is already taken; the
    detection of highest score of an object is correct and all later ones are wrong. Crowds (VOC's "difficult" objects)
    neither count as objects nor make a detection wrong. Images without annotations are excluded, as are true boxes of
    no known class.

    Args:
        truth: annotations of N images.
        found: detections in the same N images; equal scores are ranked in the given order.
        class_names: C distinct names.
        iou_threshold: minimum overlap of a correct detection, in (0, 1].
        method: ``"all-point"``, the area under the envelope of precision over recall (VOC from 2010 on), or
            ``"11-point"``, its mean at recall 0, .1, … 1 (VOC 2007).
        plus_one: whether x2 and y2 are the last pixel inside a box, as in VOC's files, so that a width is x2 - x1 + 1.
            Not for boxes in onlineml's convention, to which `Manifest.from_voc` has converted already.

    Raises:
        ConfigError: an unknown method, or a threshold outside (0, 1].
        DataError: the numbers of images differ, or label ids exceed the classes.
    """
    names = checked_names(class_names)
    _check(truth, found, len(names), iou_threshold, method)
    order = np.argsort(-found.scores, kind="stable")
    order = order[truth.annotated[found.image_index[order]]]
    best, overlap = _best_objects(truth, found, order, extent=float(plus_one))
    near = overlap >= iou_threshold
    excused = near & truth.crowd[best] if len(truth) else near
    first = np.zeros(len(order), bool)
    first[np.flatnonzero(near)[np.unique(best[near], return_index=True)[1]]] = True
    counted = truth.annotated[truth.image_index] & ~truth.crowd & (truth.label_ids >= 0)
    n_objects = np.bincount(truth.label_ids[counted], minlength=len(names)).astype(np.int64)
    ap = np.full(len(names), np.nan)
    for class_id in np.flatnonzero(n_objects):
        of_class = (found.label_ids[order] == class_id) & ~excused
        ap[class_id] = _average_precision(first[of_class], int(n_objects[class_id]), method)
    return VocScores(names, ap, n_objects, iou_threshold, method)


def _check(truth: Boxes, found: Detections, n_classes: int, iou_threshold: float, method: str) -> None:
    if method not in _METHODS or not 0 < iou_threshold <= 1:
        msg = f"method is {method!r} and iou_threshold {iou_threshold}; expected {' or '.join(_METHODS)}, and (0, 1]"
        raise ConfigError(msg)
    if len(truth.annotated) != found.n_images:
        msg = (
            f"truth has {count(len(truth.annotated), 'image')} and the detections {found.n_images}; pass "
            "both for the same"
        )
        raise DataError(msg)
    highest = max(truth.label_ids.max(initial=-1), found.label_ids.max(initial=-1))
    if highest >= n_classes:
        msg = f"label id {highest} is beyond the {count(n_classes, 'class')}; label ids are indices into class_names"
        raise DataError(msg)


def _best_objects(truth: Boxes, found: Detections, order: Ints, *, extent: float) -> tuple[Ints, Floats]:
    """Return, for each detection of `order`, the object of its class and image with largest overlap, and that."""
    best, overlap = np.zeros(len(order), np.int64), np.zeros(len(order))
    wider = np.array([0.0, 0.0, extent, extent])
    by_image = np.argsort(found.image_index[order], kind="stable")
    cuts = np.searchsorted(found.image_index[order][by_image], np.arange(found.n_images + 1))
    for image in range(found.n_images):
        rows, objects = by_image[cuts[image] : cuts[image + 1]], truth.of(image)
        if not len(rows) or objects.start == objects.stop:
            continue
        iou = box_iou(found.boxes_xyxy[order[rows]] + wider, truth.boxes_xyxy[objects] + wider)
        iou[found.label_ids[order[rows], None] != truth.label_ids[objects]] = 0.0
        best[rows], overlap[rows] = objects.start + iou.argmax(1), iou.max(1)
    return best, overlap


def _average_precision(right: npt.NDArray[np.bool_], n_objects: int, method: str) -> float:
    """Return average precision from the outcomes of one class's detections, by descending score."""
    hits = np.cumsum(right)
    precision = ratio(hits, np.arange(1, len(hits) + 1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if method == "all-point":
        return float(envelope[right].sum() / n_objects)  # recall rises by one object at each correct detection
    # in floating point 9 of 15 is just below .6: the published results miss such recalls too
    place = np.searchsorted(hits / n_objects, np.linspace(0, 1, 11))
    return float(np.append(envelope, 0.0)[np.minimum(place, len(envelope))].mean())
