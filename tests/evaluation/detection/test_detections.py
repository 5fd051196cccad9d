"""Detections are checked when the object is made."""

from __future__ import annotations

import numpy as np
import pytest

from onlineml.errors import DataError
from onlineml.evaluation.detection.detections import Found


def test_nothing_found_has_the_shapes_of_something():
    found = Found.nothing(3)
    assert (len(found), found.n_images, found.boxes_xyxy.shape) == (0, 3, (0, 4))
    assert len(Found([], [], [], [], 0)) == 0


def test_lists_become_arrays_of_the_stated_types():
    found = Found([0, 1], [[0, 0, 2, 2], [1, 1, 1, 4]], [1, 0], [0.5, 1], n_images=2)  # the second box is empty
    assert [a.dtype for a in (found.image_index, found.boxes_xyxy, found.label_ids, found.scores)] == [
        np.int64, np.float64, np.int64, np.float64,
    ]  # fmt: skip
    assert len(found) == 2


def test_every_fault_is_named_with_its_rows():
    boxes = [[0, 0, 1, 1], [0, 0, np.inf, 1], [2, 0, 1, 1], [0, 0, 1, 1]]
    with pytest.raises(DataError) as caught:
        Found([0, 1, 5, -1], boxes, [0, -1, 0, 0], [0.1, 0.2, 0.3, np.nan], n_images=2)
    for part in (
        "4 detections", "image_index outside 0 to 1 in rows 2, 3", "negative label_id in row 1",
        "score that is not finite in row 3", "box that is not finite in row 1", "ends before it begins in row 2",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_many_faults_are_counted_and_not_all_listed():
    with pytest.raises(DataError, match=r"rows 0, 1, 2, 3, 4 and 15 more"):
        Found(np.zeros(20, int), np.zeros((20, 4)), np.zeros(20, int), np.full(20, np.nan), n_images=1)


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
        Found(*fields, n_images=1)
