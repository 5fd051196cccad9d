"""Assignment of a detector's points to objects, and the loss of its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from onlineml.models.processes import mean_over_processes, n_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

__all__ = ["Assignment", "RawBoxes", "assign", "detection_loss"]

_TOP_K = 10  # points per object (Feng et al. 2021, TOOD: 13; YOLOv8: 10)
_ALPHA, _BETA = 0.5, 6.0  # exponents of score and overlap in the assignment
_SIDES = 4.0  # size, in strides, of the objects assigned to a level


class RawBoxes(NamedTuple):
    """Predictions of the network at each of its N points, for B images.

    Attributes:
        logits: (B, N, C) of each class.
        boxes_xyxy: (B, N, 4) in pixels of the input.
        points_xy: (N, 2) in pixels.
        strides: (N,) pixels between two points of the level.
    """

    logits: Tensor
    boxes_xyxy: Tensor
    points_xy: Tensor
    strides: Tensor


class Assignment(NamedTuple):
    """Training targets of each of N points of B images.

    Attributes:
        targets: (B, N, C) target score of each class: the quality of the point's box, 0 on background.
        boxes_xyxy: (B, N, 4) target box; undefined where the weight is 0.
        weight: (B, N) weight of the box in the loss.
        counts: (B, N) bool, whether the point's classes are learned at all; false in ignored regions.
    """

    targets: Tensor
    boxes_xyxy: Tensor
    weight: Tensor
    counts: Tensor


@torch.no_grad()
def assign(raw: RawBoxes, targets: Sequence[Mapping[str, Tensor]], *, trust: float = 1.0) -> Assignment:
    """Assign objects to the points that already predict them best (task-aligned, Feng et al. 2021, "TOOD").

    At the beginning of training, the network's own boxes are unreliable; then points near the object's centre, on the
    level of its size, are used.

    Args:
        raw: predictions of the network.
        targets: of each image: ``boxes`` (n, 4), ``labels`` (n,) and, if there are any, ``ignore`` (k, 4).
        trust: 0..1, from geometry only to the network's own boxes only.
    """
    batch, points, n_classes = raw.logits.shape
    device = raw.boxes_xyxy.device
    most = max([1, *(len(t["labels"]) for t in targets)])
    boxes = torch.zeros(batch, most, 4, device=device)
    labels = torch.zeros(batch, most, dtype=torch.long, device=device)
    real = torch.zeros(batch, most, dtype=torch.bool, device=device)
    for i, target in enumerate(targets):
        n = len(target["labels"])
        boxes[i, :n], labels[i, :n], real[i, :n] = target["boxes"].to(device), target["labels"].to(device), True
    overlaps = _pair_iou(boxes, raw.boxes_xyxy)  # (B, G, N)
    scores = raw.logits.float().sigmoid().transpose(1, 2).gather(1, labels[..., None].expand(-1, -1, points))
    near, prior = _geometry(boxes, raw)
    learned = scores.clamp_min(1e-9).log() * _ALPHA + overlaps.clamp_min(1e-9).log() * _BETA
    metric = trust * learned + (1.0 - trust) * prior
    metric = torch.where(near & real[..., None], metric, -torch.inf)
    best = metric.topk(min(_TOP_K, points), dim=2)
    chosen = torch.zeros_like(metric, dtype=torch.bool).scatter_(2, best.indices, best.values > -torch.inf)
    # a point chosen by several objects learns the one that it overlaps most
    several = chosen.sum(1, keepdim=True) > 1
    fit = trust * overlaps + (1.0 - trust) * prior.exp()
    winner = torch.where(chosen, fit, -1.0).argmax(1, keepdim=True)
    chosen &= ~several | torch.zeros_like(chosen).scatter_(1, winner, value=True)
    wanted = _wanted(chosen, metric, overlaps)
    which = chosen.float().argmax(1)  # (B, N) the object of each point that has one
    classes = functional.one_hot(labels.gather(1, which), n_classes)
    aims = boxes.gather(1, which[..., None].expand(-1, -1, 4))
    return Assignment(classes * wanted[..., None], aims, wanted, chosen.any(1) | ~_ignored(raw, targets))


def _geometry(boxes_xyxy: Tensor, raw: RawBoxes) -> tuple[Tensor, Tensor]:
    """Return (B, G, N) bool, whether a point may learn an object, and (B, G, N) log of its geometric suitability."""
    x, y, step = raw.points_xy[:, 0], raw.points_xy[:, 1], raw.strides.float()
    middle = (boxes_xyxy[..., :2] + boxes_xyxy[..., 2:]) / 2
    side = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp_min(1.0)
    # at least one and a half strides wide: every object has points, even one that lies between four of them
    reach = torch.maximum(side[..., None, :] / 2, 0.75 * step[:, None])
    dx, dy = (x - middle[..., :1]).abs(), (y - middle[..., 1:]).abs()
    near = (dx < reach[..., 0]) & (dy < reach[..., 1])
    level = (side.prod(-1).sqrt()[..., None] / (_SIDES * step)).log2()
    away = (dx / reach[..., 0]).square() + (dy / reach[..., 1]).square()
    return near, -(level.square() + 2.0 * away)


def _pair_iou(boxes_xyxy: Tensor, other_xyxy: Tensor) -> Tensor:
    """Return the intersection over union of (B, G, 4) and (B, N, 4) boxes, (B, G, N); 0 for empty boxes."""
    a, b = boxes_xyxy[:, :, None], other_xyxy[:, None]
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    overlap = size[..., 0] * size[..., 1]
    area_a, area_b = ((v[..., 2:] - v[..., :2]).clamp_min(0) for v in (a, b))
    union = area_a[..., 0] * area_a[..., 1] + area_b[..., 0] * area_b[..., 1] - overlap
    return overlap / union.clamp_min(1e-9)


def _ignored(raw: RawBoxes, targets: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Return (B, N) bool: points within a region that is neither object nor background."""
    found = torch.zeros(raw.boxes_xyxy.shape[:2], dtype=torch.bool, device=raw.boxes_xyxy.device)
    for i, target in enumerate(targets):
        regions = target.get("ignore")
        if regions is not None and len(regions):
            x, y = raw.points_xy[:, 0, None], raw.points_xy[:, 1, None]
            x1, y1, x2, y2 = regions.to(found.device).unbind(1)
            found[i] = ((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).any(1)
    return found


def _wanted(chosen: Tensor, metric: Tensor, overlaps: Tensor) -> Tensor:
    """Return (B, N) target score of each point's object, 0 if it has none.

    Normalised as in TOOD: the target score of an object's best point is the object's largest overlap.
    """
    relative = (metric - metric.masked_fill(~chosen, -torch.inf).amax(2, keepdim=True)).exp()
    highest = overlaps.masked_fill(~chosen, 0.0).amax(2, keepdim=True)
    return torch.where(chosen, relative * highest, 0.0).nan_to_num(0.0).amax(1)


def detection_loss(
    raw: RawBoxes, targets: Sequence[Mapping[str, Tensor]], *, trust: float = 1.0, box_weight: float = 2.0
) -> tuple[Tensor, Tensor]:
    """Compute the quality focal loss of classes (Li et al. 2020) and GIoU loss of boxes (Rezatofighi et al. 2019).

    The focal factor, the distance of a score from its target, weights the loss and is not differentiated. Li et al.
    square it, but rare small objects were then learned more slowly.

    Args:
        raw: predictions of the network.
        targets: see `assign`; and, if not all objects of all classes are annotated, ``known`` (C,) bool: a class that
            is not known is not treated as background, and is not learned from that image.
        trust: see `assign`.
        box_weight: weight of the boxes relative to the classes.

    Returns:
        (B,) loss of each image's classes, and of its boxes (weighted); both are divided by the batch's total of target
        scores, so that their sums are the losses. Finite for images without objects. The total is the mean over the
        processes that train together, so that the mean of their losses is that of one process.
    """
    aim = assign(raw, targets, trust=trust)
    total = mean_over_processes(aim.weight.sum()).clamp_min(1.0 / n_processes())
    logits = raw.logits.float()
    away = (logits.detach().sigmoid() - aim.targets).abs()
    classes = functional.binary_cross_entropy_with_logits(logits, aim.targets, reduction="none") * away
    if any("known" in target for target in targets):
        classes = classes * _known(targets, like=classes)
    classes = (classes.sum(2) * aim.counts).sum(1) / total
    where = aim.weight > 0
    giou = generalized_box_iou_loss(raw.boxes_xyxy[where], aim.boxes_xyxy[where])
    boxes = torch.zeros_like(aim.weight).masked_scatter(where, giou * aim.weight[where]).sum(1) / total
    return classes, box_weight * boxes


def _known(targets: Sequence[Mapping[str, Tensor]], *, like: Tensor) -> Tensor:
    """Return (B, 1, C): 1 if all objects of a class are annotated in an image, else 0."""
    every = like.new_ones(like.shape[2])
    return torch.stack([target["known"].to(like) if "known" in target else every for target in targets])[:, None]
