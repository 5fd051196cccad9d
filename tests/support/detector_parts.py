"""What the tests of detectors share: quick starts, targets, a suppression box by box, and networks of a user's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    import pytest

__all__ = ["ListNet", "boxes_by_class", "list_net", "overlap", "quick_start", "some_targets"]


def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random numbers of one kind, as few as can be: those of 40 million parameters take seconds."""
    cheap = torch.linspace(-1, 1, 997)

    def fill(tensor: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        fan = max(1, tensor[0].numel()) if tensor.ndim else 1
        with torch.no_grad():
            return tensor.copy_(cheap.repeat(-(-tensor.numel() // 997))[: tensor.numel()].view_as(tensor) / fan**0.5)

    for name in ("trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "normal_", "xavier_uniform_", "uniform_"):
        monkeypatch.setattr(nn.init, name, fill)


def some_targets(n: int) -> list[dict[str, torch.Tensor]]:
    """Objects of the classes 0 and 1 in 64 x 64 pixels; every second image is without."""
    boxes = torch.tensor([[4.0, 6.0, 30.0, 40.0], [20.0, 10.0, 60.0, 62.0]])
    targets = []
    for i in range(n):
        many = 0 if i % 2 else 2
        targets.append(
            {"boxes": boxes[:many], "labels": torch.tensor([0, 1])[:many], "ignore": torch.zeros(0, 4)},
        )
    return targets


def overlap(a: list[float], b: list[float]) -> float:
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def boxes_by_class(
    scores: torch.Tensor, boxes_xyxy: torch.Tensor, *, max_iou: float, max_objects: int = 100
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, labels and scores of what is kept: the surest, then each that no kept one of its class overlaps too much.

    Args:
        scores: (N, C).
        boxes_xyxy: (N, 4).
        max_iou: from which on a box is left out.
        max_objects: how many are kept at most.
    """
    n_classes = scores.shape[1]
    places = [(i, c) for i in range(len(scores)) for c in range(n_classes)]
    corners, values = boxes_xyxy.tolist(), scores.tolist()
    kept: list[tuple[int, int]] = []
    for i, c in sorted(places, key=lambda p: -values[p[0]][p[1]])[:1000]:
        if all(d != c or overlap(corners[i], corners[j]) <= max_iou for j, d in kept):
            kept.append((i, c))
        if len(kept) == max_objects:
            break
    rows, labels = torch.tensor([i for i, _ in kept]), torch.tensor([c for _, c in kept])
    return boxes_xyxy[rows], labels, scores[rows, labels]


class ListNet(nn.Module):
    """A detector of a user's that follows torchvision's contract; it notes what it is given."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, num_classes + 4)
        self.given: list[tuple[list[torch.Tensor], list[dict[str, torch.Tensor]] | None]] = []

    def forward(
        self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None = None
    ) -> dict[str, torch.Tensor] | list[dict[str, torch.Tensor]]:
        self.given.append((images, targets))
        found = torch.stack([self.head(self.backbone(image).mean((1, 2))) for image in images])
        if self.training:
            assert targets is not None
            n_boxes = sum(len(target["boxes"]) for target in targets)
            return {"classes": found[:, 4:].square().mean() + n_boxes, "boxes": found[:, :4].abs().mean()}
        n_classes = found.shape[1] - 4
        corner = torch.tensor([1.0, 2.0, 5.0, 9.0])
        return [
            {
                "boxes": corner.repeat(n_classes, 1) + torch.arange(n_classes)[:, None],
                "labels": torch.arange(n_classes),
                "scores": torch.linspace(0.1, 0.9, n_classes),
            }
            for _ in images
        ]


def list_net(*, num_classes: int) -> nn.Module:
    """A factory, as a user's package would have."""
    return ListNet(num_classes)
