"""What a detector is to learn, by hand-counted points; and that its loss is a finite number whatever it is shown."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torchvision.ops import generalized_box_iou

from onlineml.models.detection_loss import RawBoxes, assign, detection_loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def grid(size_hw: tuple[int, int], strides: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(N, 2) middles of the cells of each level, row by row, and (N,) their strides; by plain loops."""
    points, steps = [], []
    for stride in strides:
        for row in range(size_hw[0] // stride):
            for column in range(size_hw[1] // stride):
                points.append([(column + 0.5) * stride, (row + 0.5) * stride])
                steps.append(stride)
    return torch.tensor(points), torch.tensor(steps)


def raw_boxes(
    size_hw: tuple[int, int] = (64, 64),
    *,
    strides: Sequence[int] = (8, 16, 32),
    n_classes: int = 3,
    batch: int = 1,
    logit: float = -4.6,
) -> RawBoxes:
    """A network at its start: every side two strides from its point, every class unlikely."""
    points, steps = grid(size_hw, strides)
    reach = 2.0 * steps[:, None]
    boxes = torch.cat((points - reach, points + reach), 1).expand(batch, -1, -1).clone()
    return RawBoxes(torch.full((batch, len(points), n_classes), logit), boxes, points, steps)


def target(
    boxes: Sequence[Sequence[float]] = (), labels: Sequence[int] = (), ignore: Sequence[Sequence[float]] = ()
) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "ignore": torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
    }


# ---- who learns what, by hand ----


def test_nothing_is_wanted_where_there_is_nothing() -> None:
    raw = raw_boxes(batch=2)
    aim = assign(raw, [target(), {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}])
    assert not aim.targets.any()
    assert not aim.weight.any()
    assert aim.counts.all()


def test_the_points_of_an_object_are_to_score_as_well_as_they_fit() -> None:
    """One level of 4 x 4 points at 4, 12, 20, 28; the object holds the four of the upper left quarter."""
    raw = raw_boxes((32, 32), strides=[8], n_classes=2)
    box = torch.tensor([0.0, 0.0, 16.0, 16.0])
    raw.boxes_xyxy[0] = torch.tensor([20.0, 20.0, 30.0, 30.0])
    raw.boxes_xyxy[0, 0] = box  # overlap 1
    raw.boxes_xyxy[0, 1] = torch.tensor([0.0, 0.0, 8.0, 16.0])  # 1/2
    raw.boxes_xyxy[0, 4] = torch.tensor([0.0, 0.0, 16.0, 12.0])  # 3/4; point 5 has none
    raw.boxes_xyxy[0, 10] = box  # fits as well, but lies outside
    aim = assign(raw, [target([box.tolist()], [1])], trust=1.0)

    wanted = torch.zeros(16)
    wanted[[0, 1, 4]] = torch.tensor([1.0, 0.5**6, 0.75**6])  # overlap to the power of 6, all scores being equal
    assert torch.allclose(aim.targets[0, :, 1], wanted, atol=1e-6)
    assert not aim.targets[0, :, 0].any()
    assert torch.allclose(aim.weight[0], wanted, atol=1e-6)
    assert (aim.boxes_xyxy[0, wanted > 0] == box).all()


def test_a_surer_point_is_preferred_and_the_best_one_is_to_score_its_overlap() -> None:
    raw = raw_boxes((32, 32), strides=[8], n_classes=1)
    raw.boxes_xyxy[0] = torch.tensor([20.0, 20.0, 30.0, 30.0])
    raw.boxes_xyxy[0, 0] = torch.tensor([0.0, 0.0, 16.0, 8.0])  # overlap 1/2
    raw.boxes_xyxy[0, 1] = torch.tensor([0.0, 0.0, 8.0, 16.0])  # 1/2
    raw.logits[0, :2, 0] = torch.tensor([math.log(0.8 / 0.2), math.log(0.2 / 0.8)])
    aim = assign(raw, [target([[0, 0, 16, 16]], [0])])
    # the square root of the score counts: the second is wanted half as much
    assert aim.weight[0, :2].tolist() == pytest.approx([0.5, 0.25], rel=1e-5)


def test_ten_points_learn_an_object() -> None:
    raw = raw_boxes((64, 64), strides=[8], n_classes=1)  # 64 points, all within the object
    box = torch.tensor([0.0, 0.0, 64.0, 64.0])
    sides = torch.linspace(64.0, 30.0, 64)
    raw.boxes_xyxy[0] = torch.stack((torch.zeros(64), torch.zeros(64), sides, torch.full((64,), 64.0)), 1)
    aim = assign(raw, [target([box.tolist()], [0])])
    assert torch.nonzero(aim.weight[0]).flatten().tolist() == list(range(10))
    assert torch.allclose(aim.weight[0, :10], (sides[:10] / 64) ** 6, rtol=1e-4)


def test_a_point_of_two_objects_learns_the_one_that_it_fits() -> None:
    raw = raw_boxes((16, 16), strides=[8], n_classes=2)
    one, other = [0.0, 0.0, 16.0, 16.0], [1.0, 1.0, 11.0, 11.0]  # both hold the point at (4, 4)
    raw.boxes_xyxy[0] = torch.tensor([[1, 1, 11, 11], [0, 0, 16, 15], [0, 0, 16, 16], [0, 0, 15, 16]])
    for boxes, labels in (([one, other], [0, 1]), ([other, one], [1, 0])):
        aim = assign(raw, [target(boxes, labels)])
        assert aim.boxes_xyxy[0].tolist() == [other, one, one, one]
        assert aim.targets[0, 0].tolist() == pytest.approx([0, 1])
        assert aim.targets[0, 2].tolist() == pytest.approx([1, 0])


def test_without_trust_the_points_near_the_middle_on_the_level_of_the_size_learn() -> None:
    """An object of 32 x 32 belongs to the level of stride 8: four strides are its size."""
    raw = raw_boxes((64, 64), n_classes=1, logit=3.0)
    aim = assign(raw, [target([[16, 16, 48, 48]], [0])], trust=0.0)
    # prior -(log2(side / (4 stride))^2 + 2 |offset / half a side|^2): four points of stride 8 are (4, 4) off, eight
    # (12, 4), and those of stride 16, (8, 8) off, suit less; ten learn
    inner, outer = -2 * 2 * (4 / 16) ** 2, -2 * ((12 / 16) ** 2 + (4 / 16) ** 2)
    weights, points = aim.weight[0].topk(11)
    assert set(map(tuple, raw.points_xy[points[:4]].tolist())) == {(28, 28), (36, 28), (28, 36), (36, 36)}
    assert (raw.strides[points[:10]] == 8).all()
    overlap = 28 * 28 / (2 * 32 * 32 - 28 * 28)  # the box two strides to each side of the point shares 28 x 28
    expected = [overlap] * 4 + [overlap * math.exp(outer - inner)] * 6 + [0.0]
    assert weights.tolist() == pytest.approx(expected, rel=1e-5)


def test_regions_to_ignore_are_no_background_and_objects_in_them_are_learned() -> None:
    raw = raw_boxes((32, 32), strides=[8], n_classes=1)
    aim = assign(raw, [target([[0, 0, 8, 8]], [0], ignore=[[0, 0, 16, 16], [20, 20, 21, 21]])], trust=0.0)
    silent = {(12.0, 4.0), (4.0, 12.0), (12.0, 12.0), (20.0, 20.0)}  # edges count as inside
    told = {tuple(p) for p, counts in zip(raw.points_xy.tolist(), aim.counts[0].tolist(), strict=True) if counts}
    assert told == {tuple(p) for p in raw.points_xy.tolist()} - silent
    assert aim.weight[0, 0] > 0


@pytest.mark.parametrize("trust", [0.0, 0.3, 1.0])
def test_every_object_alone_is_learned_somewhere(trust: float) -> None:
    """Of whatever size and shape, wherever it lies: between points, at a corner, longer than the image."""
    chance = torch.Generator().manual_seed(0)
    raw = raw_boxes((96, 160))
    for _ in range(200):
        middle = torch.rand(2, generator=chance) * torch.tensor([160.0, 96.0])
        half = torch.exp(torch.rand(2, generator=chance) * 7 - 1) / 2
        box = torch.cat((middle - half, middle + half)).clamp(torch.zeros(4), torch.tensor([160.0, 96.0, 160.0, 96.0]))
        if (box[2:] - box[:2]).min() < 0.3:
            continue
        aim = assign(raw, [target([box.tolist()], [2])], trust=trust)
        assert aim.weight[0].sum() > 0
        learned = aim.weight[0] > 0
        assert (aim.boxes_xyxy[0, learned] == box).all()
        assert (aim.targets[0, learned].argmax(1) == 2).all()


def test_each_image_of_a_batch_is_assigned_as_if_alone() -> None:
    torch.manual_seed(0)
    targets = [target([[3, 5, 30, 20], [40, 40, 60, 64]], [0, 2]), target(), target([[0, 0, 64, 64]], [1])]
    raw = raw_boxes(batch=3)
    raw.logits.normal_()
    whole = assign(raw, targets, trust=0.6)
    for i, one in enumerate(targets):
        alone = assign(RawBoxes(raw.logits[i : i + 1], raw.boxes_xyxy[i : i + 1], *raw[2:]), [one], trust=0.6)
        assert torch.equal(alone.targets[0], whole.targets[i])
        assert torch.equal(alone.weight[0], whole.weight[i])


# ---- what it costs ----


def test_the_loss_of_one_point_by_hand() -> None:
    points, steps = torch.tensor([[16.0, 16.0]]), torch.tensor([32])
    logits = torch.tensor([[[0.3, -1.2]]])
    found, box = torch.tensor([4.0, 6.0, 24.0, 30.0]), torch.tensor([2.0, 2.0, 28.0, 26.0])
    raw = RawBoxes(logits, found.reshape(1, 1, 4), points, steps)
    classes, boxes = detection_loss(raw, [target([box.tolist()], [1])], box_weight=2.0)

    overlap = 20 * 20 / (20 * 24 + 26 * 24 - 20 * 20)
    giou = generalized_box_iou(found[None], box[None]).item()  # torchvision's, of pairs
    wanted = [0.0, overlap]
    expected = 0.0
    for logit, goal in zip([0.3, -1.2], wanted, strict=True):
        score = 1 / (1 + math.exp(-logit))
        entropy = -(goal * math.log(score) + (1 - goal) * math.log(1 - score))
        expected += abs(score - goal) * entropy
    assert classes.item() == pytest.approx(expected, rel=1e-5)  # the total of wanted scores is below 1: not divided
    assert boxes.item() == pytest.approx(2.0 * overlap * (1 - giou), rel=1e-5)


def test_losses_add_up_and_are_divided_by_what_is_wanted() -> None:
    torch.manual_seed(1)
    raw = raw_boxes(batch=2)
    targets = [target([[0, 0, 30, 30]], [0]), target([[10, 20, 60, 50]], [1])]
    total = assign(raw, targets).weight.sum().clamp_min(1.0)
    classes, boxes = detection_loss(raw, targets)
    assert classes.shape == boxes.shape == (2,)
    parts = []
    for i, one in enumerate(targets):
        alone = RawBoxes(raw.logits[i : i + 1], raw.boxes_xyxy[i : i + 1], *raw[2:])
        share = assign(alone, [one]).weight.sum().clamp_min(1.0)
        parts.append(sum(detection_loss(alone, [one])) * share / total)
    assert (classes + boxes).tolist() == pytest.approx([p.item() for p in parts], rel=1e-5)


def test_the_order_of_objects_is_of_no_account() -> None:
    torch.manual_seed(2)
    raw = raw_boxes()
    raw.logits.normal_()
    boxes, labels = [[0, 0, 20, 20], [5, 5, 50, 40], [30, 10, 64, 64]], [0, 1, 2]
    forward = detection_loss(raw, [target(boxes, labels)], trust=0.5)
    backward = detection_loss(raw, [target(boxes[::-1], labels[::-1])], trust=0.5)
    assert torch.allclose(torch.stack(forward), torch.stack(backward), rtol=1e-5)


def test_a_perfect_answer_costs_nothing() -> None:
    raw = raw_boxes(logit=-20.0)
    goal = target([[2, 3, 20, 30], [30, 30, 62, 62]], [0, 2])
    aim = assign(raw, [goal], trust=0.0)
    learned = aim.weight[0] > 0
    raw.boxes_xyxy[0, learned] = aim.boxes_xyxy[0, learned]
    raw.logits[0, learned, aim.targets[0, learned].argmax(1)] = 20.0
    classes, boxes = detection_loss(raw, [goal])
    assert learned.sum() > 4
    assert classes.item() < 1e-6
    assert boxes.item() < 1e-6
    worse = raw._replace(boxes_xyxy=raw.boxes_xyxy + 1.0)
    assert detection_loss(worse, [goal])[1].item() > 0.1


# ---- finite ----

MANY = [[i % 60, i // 60, i % 60 + 3, i // 60 + 3] for i in range(400)]
CASES = {
    "no objects": target(),
    "all is ignored": target(ignore=[[-1, -1, 65, 65]]),
    "objects within what is ignored": target([[10, 10, 30, 30]], [1], ignore=[[0, 0, 64, 64]]),
    "one pixel": target([[31, 31, 32, 32]], [0]),
    "a fraction of a pixel": target([[31, 31, 31.01, 31.01]], [0]),
    "no area": target([[31, 31, 31, 31], [5, 5, 9, 5]], [0, 1]),
    "between points": target([[7.5, 7.5, 8.5, 8.5], [31.5, 31.5, 32.5, 32.5]], [0, 2]),
    "in the corners": target([[0, 0, 1, 1], [63, 63, 64, 64], [63, 0, 64, 1]], [0, 1, 2]),
    "huge": target([[-5000, -5000, 9000, 9000]], [0]),
    "as long as a thread": target([[0, 30, 64, 30.5]], [1]),
    "outside": target([[500, 500, 510, 510]], [1]),
    "one above the other": target([[5, 5, 40, 40]] * 3, [0, 1, 1]),
    "more than points": target(MANY, [i % 3 for i in range(400)]),
}


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("case", CASES)
def test_the_loss_and_its_gradient_are_finite(case: str, trust: float) -> None:
    for spread in (0.0, 1.0, 200.0):  # at the start, on the way, and as sure as can be
        torch.manual_seed(0)
        raw = raw_boxes(batch=2)
        raw.logits.add_(spread * torch.randn_like(raw.logits)).requires_grad_()
        raw.boxes_xyxy.requires_grad_()
        loss = torch.stack(detection_loss(raw, [CASES[case], CASES["no objects"]], trust=trust)).sum()
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(raw.logits.grad).all()
        assert torch.isfinite(raw.boxes_xyxy.grad).all()


def test_boxes_without_extent_have_finite_gradients() -> None:
    raw = raw_boxes()
    flat = raw.points_xy.repeat(1, 2)[None].clone().requires_grad_()
    loss = torch.stack(detection_loss(raw._replace(boxes_xyxy=flat), [target([[3, 3, 40, 40]], [0])], trust=0.0)).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(flat.grad).all()


def test_in_half_precision_the_loss_is_counted_in_whole() -> None:
    raw = raw_boxes()
    half = raw._replace(logits=raw.logits.bfloat16())
    losses = detection_loss(half, [target([[3, 3, 40, 40]], [0])])
    assert all(loss.dtype == torch.float32 for loss in losses)
    expected = detection_loss(raw._replace(logits=half.logits.float()), [target([[3, 3, 40, 40]], [0])])
    assert torch.equal(torch.stack(losses), torch.stack(expected))
