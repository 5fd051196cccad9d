"""Detections are checked when the object is made."""

from __future__ import annotations

import numpy as np
import pytest

from onlineml.errors import DataError
from onlineml.evaluation.detection.detections import Detections


def test_nothing_found_has_the_shapes_of_something():
    found = Detections.nothing(3)
    assert (len(found), found.n_images, found.boxes_xyxy.shape) == (0, 3, (0, 4))
    assert len(Detections([], [], [], [], 0)) == 0


def test_lists_become_arrays_of_the_stated_types():
    found = Detections([0, 1], [[0, 0, 2, 2], [1, 1, 1, 4]], [1, 0], [0.5, 1], n_images=2)  # the second box is empty
    assert [a.dtype for a in (found.image_index, found.boxes_xyxy, found.label_ids, found.scores)] == [
        np.int64, np.float64, np.int64, np.float64,
    ]  # fmt: skip
    assert len(found) == 2


def test_every_fault_is_named_with_its_rows():
    boxes = [[0, 0, 1, 1], [0, 0, np.inf, 1], [2, 0, 1, 1], [0, 0, 1, 1]]
    with pytest.raises(DataError) as caught:
        Detections([0, 1, 5, -1], boxes, [0, -1, 0, 0], [0.1, 0.2, 0.3, np.nan], n_images=2)
    for part in (
        "4 detections", "image_index outside 0 to 1 in rows 2, 3", "negative label_id in row 1",
        "score that is not finite in row 3", "box that is not finite in row 1", "ends before it begins in row 2",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_many_faults_are_counted_and_not_all_listed():
    with pytest.raises(DataError, match=r"rows 0, 1, 2, 3, 4, and 15 more"):
        Detections(np.zeros(20, int), np.zeros((20, 4)), np.zeros(20, int), np.full(20, np.nan), n_images=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([0], [[0, 0, 1, 1]], [0, 1], [0.5]), r"shapes.*\(2,\)"),
        (([0], [[0, 0, 1]], [0], [0.5]), r"shapes.*\(1, 3\)"),
        (([0], [[0, 0, 1, 1]], [0], 0.5), "shapes"),
        (([0.5], [[0, 0, 1, 1]], [0], [0.5]), "image_index has dtype float64"),
        (([0], [[0, 0, 1, 1]], ["cat"], [0.5]), "label_ids has dtype"),
    ],
)
def test_shapes_and_types_are_checked(fields, message):
    with pytest.raises(DataError, match=message):
        Detections(*fields, n_images=1)


def test_a_set_is_made_image_by_image():
    nothing = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    two = (np.array([[0.0, 0, 2, 2], [1, 1, 3, 3]]), np.array([1, 0]), np.array([0.5, 0.25]))

    assert len(Detections.by_image([])) == Detections.by_image([]).n_images == 0
    found = Detections.by_image([nothing, two, nothing])
    assert (found.n_images, found.image_index.tolist(), found.label_ids.tolist()) == (3, [1, 1], [1, 0])
    assert found.image_rows is found.sizes_hw is None


def test_images_are_chosen_by_their_rows_in_the_order_given():
    index, rows, sizes = [0, 1, 1, 3], np.array([7, 2, 9, 4]), np.arange(8).reshape(4, 2)
    found = Detections(index, np.zeros((4, 4)), [0, 1, 2, 3], [0.1, 0.2, 0.3, 0.4], 4, rows, sizes)

    assert found.of_rows(rows) is found
    some = found.of_rows(np.array([4, 2]))
    assert (some.n_images, some.image_rows.tolist(), some.sizes_hw.tolist()) == (2, [4, 2], [[6, 7], [2, 3]])
    assert some.image_index.tolist() == [1, 1, 0]
    assert some.label_ids.tolist() == [1, 2, 3]
    assert found.take(found.scores > 0.15).of_rows(np.array([7])).n_images == 1
    assert len(found.of_rows(np.zeros(0, int))) == 0
    with pytest.raises(DataError, match="have no rows of a manifest"):
        Detections.nothing(2).of_rows(rows)
