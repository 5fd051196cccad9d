"""The scores of a detector on all images, from those on parts of them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import DataError
from onlineml.evaluation.detection.detections import Detections
from onlineml.evaluation.pooling import joined_arrays, mean_thresholds, pooled_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.evaluation.detection.result import DetectionScores

__all__ = ["pooled_detection"]

T = TypeVar("T")


def pooled_detection(
    first: DetectionScores, others: Sequence[DetectionScores], /, *, n_bootstrap: int = 1000
) -> DetectionScores:
    """Score the detections in all images; see `BaseScores.pooled_with`."""
    from onlineml.evaluation.detection.score import detection_scores  # noqa: PLC0415 - it makes them

    parts = [first, *others]
    columns = pooled_columns(parts)
    given = all(part.thresholds_given for part in parts)
    return detection_scores(
        _truth([_there(part.truth) for part in parts]),
        _found([_there(part.found) for part in parts]),
        first.class_names,
        thresholds=mean_thresholds([part.thresholds for part in parts]) if given else None,
        sizes_hw=joined_arrays(parts, "sizes_hw"),
        groups=columns.groups,
        image_ids=columns.image_ids,
        uris=columns.uris,
        slices=columns.slices,
        thumbnails=columns.thumbnails,
        n_bootstrap=n_bootstrap,
        seed=first.seed,
        manifest_hash=first.manifest_hash,
    )


def _there(value: T | None) -> T:
    if value is None:
        raise DataError("scores that were saved without boxes cannot be pooled: save them with to_json(arrays=True)")
    return value


def _truth(parts: Sequence[Boxes]) -> Boxes:
    arrays = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Boxes)}
    counts = np.concatenate([np.diff(part.offsets) for part in parts])
    arrays["offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Boxes(**arrays)


def _found(parts: Sequence[Detections]) -> Detections:
    starts = np.cumsum([0, *(part.n_images for part in parts)])
    return Detections(
        image_index=np.concatenate([p.image_index + start for p, start in zip(parts, starts, strict=False)]),
        boxes_xyxy=np.concatenate([p.boxes_xyxy for p in parts]),
        label_ids=np.concatenate([p.label_ids for p in parts]),
        scores=np.concatenate([p.scores for p in parts]),
        n_images=int(starts[-1]),
    )
