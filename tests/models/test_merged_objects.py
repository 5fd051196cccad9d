"""Objects that several views of a picture found, planted so that the right answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from onlineml.models.merged_objects import merged_objects

Row = tuple[list[float], int, float, int, bool]  # box, label, score, view, cut


def kept(rows: list[Row], **options: Any) -> list[int]:
    boxes, labels, scores, views, cut = zip(*rows, strict=True)
    arrays = (np.array(boxes, float), np.array(labels), np.array(scores), np.array(views), np.array(cut))
    return merged_objects(*arrays, max_objects=options.get("max_objects", 100)).tolist()


WHOLE: Row = ([10, 10, 30, 30], 0, 0.8, 0, False)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (([11, 11, 31, 31], 0, 0.9, 1, False), [1]),  # the same object in the next tile
        (([11, 11, 31, 31], 1, 0.9, 1, False), [1, 0]),  # another class
        (([11, 11, 31, 31], 0, 0.9, 0, False), [1, 0]),  # of the same tile, whose detector knows better
        (([20, 10, 40, 30], 0, 0.9, 1, False), [1, 0]),  # IoU 1/3
        (([24, 10, 30, 30], 0, 0.9, 1, True), [0]),  # its cut rest, however sure
        (([24, 10, 36, 30], 0, 0.9, 1, True), [1, 0]),  # half of it is elsewhere: 6 of 12
        (([12, 10, 30, 30], 0, 0.79, 1, False), [0]),
        (([500, 10, 530, 30], 0, 0.1, 1, True), [0, 1]),  # a cut object that no other tile has
    ],
)
def test_two_boxes_are_one_object_or_two(other: Row, expected: list[int]):
    assert kept([WHOLE, other]) == expected
    assert [1 - row for row in kept([other, WHOLE])] == expected


def test_a_doubtful_whole_box_does_not_displace_a_sure_part():
    part: Row = ([10, 10, 30, 30], 0, 0.9, 0, True)
    assert kept([part, ([10, 10, 60, 30], 0, 0.4, 1, False)]) == [0]
    assert kept([part, ([10, 10, 60, 30], 0, 0.46, 1, False)]) == [1]


def test_two_halves_of_an_object_longer_than_the_overlap_are_one():
    assert kept([([0, 0, 60, 20], 0, 0.7, 0, True), ([20, 0, 80, 20], 0, 0.8, 1, True)]) == [1]


def test_the_limit_is_of_the_picture_and_the_surest_come_first():
    rows: list[Row] = [([50 * i, 0, 50 * i + 9, 9], 0, 0.1 + i / 100, i % 3, i % 2 == 0) for i in range(12)]
    assert kept(rows, max_objects=4) == [11, 10, 9, 8]
    assert kept(rows) == [*range(11, -1, -1)]


def test_without_objects():
    none = np.zeros(0)
    assert not len(
        merged_objects(np.zeros((0, 4)), none.astype(int), none, none.astype(int), none.astype(bool), max_objects=9)
    )


def test_thousands_of_boxes_are_merged_as_one_by_one():
    """Planted objects, seen by one to four views each with small errors, and cut ones inside them."""
    rng = np.random.default_rng(3)
    rows: list[Row] = []
    for number in range(200):
        x, y = 40.0 * (number % 20), 40.0 * (number // 20)
        for view in range(int(rng.integers(1, 5))):
            box = np.array([x, y, x + 24, y + 24]) + rng.uniform(-1, 1, 4)
            rows.append((box.tolist(), number % 3, float(rng.uniform(0.5, 0.9)), view, False))
        rows.append(([x, y, x + 9, y + 24], number % 3, 0.95, 5, True))
    found = kept(rows, max_objects=300)
    places = {(round(rows[row][0][0] / 40), round(rows[row][0][1] / 40)) for row in found}
    assert len(found) == len(places) == 200
    assert not any(rows[row][4] for row in found)
