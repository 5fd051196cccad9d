"""Selection of a detector's best objects from its predictions at all points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torchvision.ops import nms

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_OBJECTS", "best_objects", "surest_objects"]

MAX_OBJECTS = 100  # per image, as in COCO's evaluation
_CANDIDATES = 1000  # boxes per image that are compared with each other (as in RetinaNet)


def best_objects(scores: Tensor, boxes_xyxy: Tensor, *, max_iou: float) -> dict[str, Tensor]:
    """Return the boxes of highest score, without those with an IoU above ``max_iou`` to a better one of their class.

    No box is removed only because of a low score.

    Args:
        scores: (N, C) float in 0..1.
        boxes_xyxy: (N, 4) float.
        max_iou: 0..1.

    Returns:
        As `onlineml.models.detector.Detector.detect` gives them.
    """
    n_classes = scores.shape[1]
    values, places = scores.flatten().topk(min(_CANDIDATES, scores.numel()))
    boxes, labels = boxes_xyxy[places // n_classes], places % n_classes
    # each class gets its own offset. torchvision's batched_nms does this too, but assumes boxes within the image and 32
    # bits: boxes beyond the image could overlap boxes of other classes, and large offsets lose whole pixels
    apart = boxes.double()
    if len(boxes):
        apart = apart - apart.min()
        apart = apart + labels[:, None] * (apart.max() + 1)
    kept = nms(apart, values.double(), max_iou)[:MAX_OBJECTS]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": values[kept]}


def surest_objects(boxes_xyxy: Tensor, labels: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """Return the `MAX_OBJECTS` objects of highest score, in descending order."""
    first = torch.argsort(scores, descending=True, stable=True)[:MAX_OBJECTS]
    return {"boxes": boxes_xyxy[first].float(), "labels": labels[first], "scores": scores[first].float()}
