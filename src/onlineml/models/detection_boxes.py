"""Selection of a detector's best objects from its predictions at all points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchvision.ops import nms

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["best_objects", "n_candidates", "surest_objects"]

_CANDIDATES = 1000  # boxes per image that are compared with each other (as in RetinaNet)


def n_candidates(max_objects: int) -> int:
    """Return the number of boxes, of all classes, that are compared with each other in an image."""
    return max(_CANDIDATES, 2 * max_objects)


def best_objects(scores: Tensor, boxes_xyxy: Tensor, *, max_iou: float, max_objects: int) -> dict[str, Tensor]:
    """Return the boxes of highest score, without those with an IoU above ``max_iou`` to a better one of their class.

    No box is removed only because of a low score.

    Args:
        scores: (N, C) float in 0..1.
        boxes_xyxy: (N, 4) float.
        max_iou: 0..1.
        max_objects: the maximum number.

    Returns:
        As `onlineml.models.detector.Detector.detect` gives them.
    """
    n_classes = scores.shape[1]
    values, places = scores.flatten().topk(min(n_candidates(max_objects), scores.numel()))
    boxes, labels = boxes_xyxy[places // n_classes], places % n_classes
    # each class gets its own offset. torchvision's batched_nms does this too, but assumes boxes within the image and 32
    # bits: boxes beyond the image could overlap boxes of other classes, and large offsets lose whole pixels
    apart = boxes.double()
    if len(boxes):
        apart = apart - apart.min()
        apart = apart + labels[:, None] * (apart.max() + 1)
    kept = nms(apart, values.double(), max_iou)[:max_objects]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": values[kept]}


def surest_objects(boxes_xyxy: Tensor, labels: Tensor, scores: Tensor, *, max_objects: int) -> dict[str, Tensor]:
    """Return the ``max_objects`` objects of highest score, in descending order."""
    first = torch.argsort(scores, descending=True, stable=True)[:max_objects]
    return {"boxes": boxes_xyxy[first].float(), "labels": labels[first], "scores": scores[first].float()}
