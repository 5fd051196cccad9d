"""Selection of a detector's best objects from its predictions at all points."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from torchvision.ops import nms

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_OBJECTS", "Objects", "as_objects", "best_objects"]

MAX_OBJECTS = 100  # per image, as in COCO's evaluation
_CANDIDATES = 1000  # boxes per image that are compared with each other (as in RetinaNet)


Objects: TypeAlias = "dict[str, Tensor]"
"""Detections of one image, in descending order of confidence.

``boxes`` (n, 4) float32 x1, y1, x2, y2 in pixels of the network's input, ``labels`` (n,) int64 class index from 0,
``scores`` (n,) float32 in 0..1.
"""


def best_objects(scores: Tensor, boxes_xyxy: Tensor, *, max_iou: float) -> Objects:
    """Return the boxes of highest score, without those with an IoU above ``max_iou`` to a better one of their class.

    No box is removed only because of a low score.

    Args:
        scores: (N, C) float in 0..1.
        boxes_xyxy: (N, 4) float.
        max_iou: 0..1.
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


def as_objects(boxes_xyxy: Tensor, labels: Tensor, scores: Tensor) -> Objects:
    """Return the `MAX_OBJECTS` objects of highest score, in descending order."""
    first = torch.argsort(scores, descending=True, stable=True)[:MAX_OBJECTS]
    return {"boxes": boxes_xyxy[first].float(), "labels": labels[first], "scores": scores[first].float()}
