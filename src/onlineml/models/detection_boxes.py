"""From what a detector says at every point to a short list of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from torchvision.ops import nms

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MAX_OBJECTS", "Objects", "as_objects", "best_objects"]

MAX_OBJECTS = 100  # of an image, as COCO counts them
_CANDIDATES = 1000  # boxes of an image that are compared with each other (RetinaNet's number)


Objects: TypeAlias = "dict[str, Tensor]"
"""Objects found in one image, the surest first: ``boxes`` (n, 4) float32 x1, y1, x2, y2 in pixels of the network's
input, ``labels`` (n,) int64 class index from 0, ``scores`` (n,) float32 in 0..1."""


def best_objects(scores: Tensor, boxes_xyxy: Tensor, *, max_iou: float) -> Objects:
    """The surest boxes, those left out that overlap a surer one of their class by more than ``max_iou``.

    No box is left out for a low score alone.

    Args:
        scores: (N, C) float in 0..1.
        boxes_xyxy: (N, 4) float.
        max_iou: 0..1.
    """
    n_classes = scores.shape[1]
    values, places = scores.flatten().topk(min(_CANDIDATES, scores.numel()))
    boxes, labels = boxes_xyxy[places // n_classes], places % n_classes
    # each class on a plane of its own. torchvision's batched_nms does so too, but counts on boxes within the image and
    # in 32 bits: those that reach beyond it would meet boxes of other classes, and far planes lose whole pixels
    apart = boxes.double()
    if len(boxes):
        apart = apart - apart.min()
        apart = apart + labels[:, None] * (apart.max() + 1)
    kept = nms(apart, values.double(), max_iou)[:MAX_OBJECTS]
    return {"boxes": boxes[kept], "labels": labels[kept], "scores": values[kept]}


def as_objects(boxes_xyxy: Tensor, labels: Tensor, scores: Tensor) -> Objects:
    """The `MAX_OBJECTS` surest of some objects, in order."""
    first = torch.argsort(scores, descending=True, stable=True)[:MAX_OBJECTS]
    return {"boxes": boxes_xyxy[first].float(), "labels": labels[first], "scores": scores[first].float()}
