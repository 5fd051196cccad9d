"""The short list of objects, against a suppression box by box."""

from __future__ import annotations

import pytest
import torch

from detector_parts import boxes_by_class
from onlineml.models.detection_boxes import best_objects, surest_objects

NAMES = ("boxes", "labels", "scores")


def boxes_around(n: int, *, spread: float, seed: int) -> torch.Tensor:
    chance = torch.Generator().manual_seed(seed)
    middle = (torch.rand(n, 2, generator=chance) - 0.3) * spread
    half = torch.rand(n, 2, generator=chance) * 0.3 * spread + 0.5
    return torch.cat((middle - half, middle + half), 1)


def test_no_boxes() -> None:
    found = best_objects(torch.zeros(0, 3), torch.zeros(0, 4), max_iou=0.5, max_objects=100)
    assert [tuple(found[name].shape) for name in NAMES] == [(0, 4), (0,), (0,)]


@pytest.mark.parametrize(
    ("n", "classes", "spread"), [(1, 1, 10.0), (60, 1, 40.0), (40, 5, 30.0), (60, 8, 12_000.0), (30, 300, 500.0)]
)
def test_as_one_by_one(n: int, classes: int, spread: float) -> None:
    """With boxes that reach far beyond the image: each class is judged alone, to the pixel, however many there are."""
    for seed in range(4):
        boxes = boxes_around(n, spread=spread, seed=seed)
        scores = torch.rand(n, classes, generator=torch.Generator().manual_seed(100 + seed))
        found = best_objects(scores, boxes, max_iou=0.5, max_objects=100)
        expected = boxes_by_class(scores, boxes, max_iou=0.5)
        assert all(torch.equal(found[name], told) for name, told in zip(NAMES, expected, strict=True))


def test_boxes_of_two_classes_never_meet() -> None:
    """Also where one reaches beyond the image's corner: moved by the longest side, it would lie on the other."""
    boxes = torch.tensor([[0.0, 0.0, 100.0, 100.0], [-95.0, -95.0, 10.0, 10.0]])
    found = best_objects(torch.tensor([[0.9, 0.0], [0.0, 0.8]]), boxes, max_iou=0.5, max_objects=100)
    assert found["labels"].tolist()[:2] == [0, 1]
    assert torch.equal(found["boxes"][:2], boxes)
    tiny = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.4, 0.0, 0.9, 0.5], [4e5, 0.0, 5e5, 1e5]])  # 80 planes of 500 000
    scores = torch.zeros(3, 80)
    scores[:, 79] = torch.tensor([0.9, 0.8, 0.7])
    assert torch.equal(best_objects(scores, tiny, max_iou=0.5, max_objects=100)["boxes"][:3], tiny)


def test_no_score_is_too_low_and_a_hundred_are_kept() -> None:
    places = torch.arange(150.0)
    boxes = torch.stack((10 * places, 0 * places, 10 * places + 5, 0 * places + 5), 1)
    found = best_objects(places[:, None] * 1e-9, boxes, max_iou=0.5, max_objects=100)
    assert len(found["scores"]) == 100
    assert torch.equal(found["boxes"], boxes.flip(0)[:100])


def test_the_surest_of_any_objects_in_order() -> None:
    scores = torch.linspace(0, 1, 130)[torch.randperm(130, generator=torch.Generator().manual_seed(0))]
    boxes = torch.stack((scores, scores, scores + 1, scores + 1), 1).double()
    found = surest_objects(boxes, torch.arange(130), scores, max_objects=100)
    assert found["scores"].tolist() == sorted(scores.tolist(), reverse=True)[:100]
    assert torch.equal(found["boxes"][:, 0], found["scores"])
    assert torch.equal(scores[found["labels"]], found["scores"])
    assert found["boxes"].dtype == torch.float32
