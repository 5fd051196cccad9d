"""COCO's scores of a detector: an immutable object that can be printed and saved."""
# ruff: noqa: PLC0415 - pandas takes half a second to import

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from onlineml.evaluation.detection.matching import IOU_THRESHOLDS
from onlineml.evaluation.detection.ranking import COCO_SCORES
from onlineml.evaluation.metrics import ratio
from onlineml.evaluation.render import text as say
from onlineml.storage.codec import encode, plain

if TYPE_CHECKING:
    import pandas as pd

    from onlineml.evaluation.coco.arrays import Curves
    from onlineml.evaluation.types import Floats, Ints

__all__ = ["CocoScores", "summarize"]

_MEANINGS = (
    "AP, mean over IoU .50 to .95", "AP at IoU .50", "AP at IoU .75", "AP of small objects (area below 32²)",
    "AP of medium objects", "AP of large objects (area above 96²)",
    "recall, 1 detection an image", "recall, 10 detections", "recall, 100 detections",
    "recall of small objects", "recall of medium objects", "recall of large objects",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class CocoScores:
    """COCO's twelve scores and the underlying data. Created by `onlineml.evaluation.coco_scores`.

    Undefined values are nan: every score of a class without objects, and a mean over no class.

    Attributes:
        class_names: the C classes, in the order of their category ids.
        n_images: number of scored images, including those without objects.
        n_objects: (C,) int64 objects of each class, without crowds.
        map_50_95: average precision, mean over the classes and over IoU .50, .55, … .95: COCO's "AP"; map_50 and map_75
            at one IoU; map_small, map_medium and map_large of objects with an area up to 32² pixels, up to 96², above.
        ar_100: recall with 100 detections per class and image, mean over the classes and over IoU .50, .55, … .95; ar_1
            and ar_10 with fewer detections; ar_small, ar_medium and ar_large by area.
        per_class_ap: (C,) float64, AP of each class, mean over IoU .50 to .95.
        per_class_ap_50: (C,) float64, AP of each class at IoU .50.
        precision: (10, 101, C) float64 at IoU .50, .55, … .95 and recall 0, .01, … 1; objects of all sizes, at most 100
            detections per class and image.
    """

    class_names: tuple[str, ...]
    n_images: int
    n_objects: Ints
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
    per_class_ap: Floats
    per_class_ap_50: Floats
    precision: Floats

    @property
    def stats(self) -> Floats:
        """(12,) float64 scores in pycocotools' order."""
        return np.array([getattr(self, name) for name in COCO_SCORES])

    def to_frame(self) -> pd.DataFrame:
        """Return one row per class: ``ap``, ``ap_50``, ``objects``."""
        import pandas as pd

        columns = {"ap": self.per_class_ap, "ap_50": self.per_class_ap_50, "objects": self.n_objects}
        return pd.DataFrame(columns, index=pd.Index(self.class_names, name="class", dtype="object"))

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain JSON values, with None for nan; without the curves."""
        columns = {"name": self.class_names, "ap": self.per_class_ap, "ap_50": self.per_class_ap_50}
        columns["objects"] = self.n_objects
        classes = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        scores = dict(zip(COCO_SCORES, self.stats, strict=True))
        return cast("dict[str, Any]", plain({"n_images": self.n_images, **scores, "classes": classes}))

    def to_json(self) -> str:
        """Encode `to_dict` as strict JSON."""
        return encode(self.to_dict()).decode()

    def _subject(self) -> str:
        n_objects, n_classes = int(self.n_objects.sum()), len(self.class_names)
        counts = (say.count(self.n_images, "image"), say.count(n_objects, "object"))
        return f"{', '.join(counts)}, {say.count(n_classes, 'class')}"

    def _lowest(self) -> list[int]:
        """Return the classes that have objects, by ascending AP."""
        return [int(i) for i in np.argsort(self.per_class_ap, kind="stable") if self.n_objects[i]]

    def __str__(self) -> str:
        lines = [
            f"COCO AP {say.decimal(self.map_50_95)} (AP50 {say.decimal(self.map_50)}) on {self._subject()}",
            "",
        ]
        lines += [f"{_MEANINGS[i]:<40}{say.decimal(float(value)):>7}" for i, value in enumerate(self.stats)]
        lines += ["", f"{'lowest classes by AP':<32}{'AP':>7}{'AP50':>7}{'objects':>10}"]
        for i in self._lowest()[:5]:
            numbers = f"{say.decimal(self.per_class_ap[i]):>7}{say.decimal(self.per_class_ap_50[i]):>7}"
            lines.append(f"{say.shorten(self.class_names[i], 31):<32}{numbers}{self.n_objects[i]:>10,}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from onlineml.evaluation.render.html import Table, notebook_cell

        rows = [(_MEANINGS[i], say.decimal(float(value))) for i, value in enumerate(self.stats)]
        classes = [
            (say.shorten(self.class_names[i], 40), say.decimal(self.per_class_ap[i]),
             say.decimal(self.per_class_ap_50[i]), f"{self.n_objects[i]:,}")
            for i in self._lowest()[:12]
        ]  # fmt: skip
        lowest = [Table(("lowest classes", "AP", "AP50", "objects"), classes)] if classes else []
        columns = [[Table(("score", "value"), rows)], lowest]
        return notebook_cell(say.decimal(self.map_50_95), f"COCO AP on {self._subject()}", columns=columns)


def _mean(values: Floats) -> float:
    """Return the mean of all defined values; nan if there are none."""
    defined = values[~np.isnan(values)]
    return float(ratio(defined.sum(), defined.size))


def summarize(curves: Curves, class_names: tuple[str, ...], *, n_images: int, n_objects: Ints) -> CocoScores:
    """Compute COCO's summary of the curves."""
    precision, recall = curves.precision, curves.recall
    at_75 = int(np.flatnonzero(IOU_THRESHOLDS == 0.75)[0])  # exact comparison, as in pycocotools
    stats = [_mean(precision[..., 0]), _mean(precision[0, ..., 0]), _mean(precision[at_75, ..., 0])]
    stats += [_mean(precision[..., size]) for size in (1, 2, 3)]
    stats += [_mean(curves.recall_few[..., 0]), _mean(curves.recall_few[..., 1])]
    stats += [_mean(recall[..., size]) for size in (0, 1, 2, 3)]
    of_all = precision[..., 0]
    return CocoScores(
        class_names=class_names,
        n_images=n_images,
        n_objects=n_objects,
        **dict(zip(COCO_SCORES, stats, strict=True)),
        per_class_ap=np.array([_mean(of_all[..., i]) for i in range(len(class_names))]),
        per_class_ap_50=np.array([_mean(of_all[0, :, i]) for i in range(len(class_names))]),
        precision=of_all,
    )
