"""Annotations made wrong on purpose, each told once and for what it is."""

from __future__ import annotations

import numpy as np
import pytest

from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.evaluation.detection.detections import Detections
from onlineml.improving.review.box_errors import BOX_ERRORS, find_box_errors

NAMES = ("cell", "egg")
HALF = dict.fromkeys(NAMES, 0.5)


def boxes(images) -> Boxes:
    """From (x1, y1, x2, y2, label[, crowd]) of each image."""
    rows = [row for image in images for row in image]
    return Boxes(
        boxes_xyxy=np.array([row[:4] for row in rows], np.float64).reshape(-1, 4),
        label_ids=np.array([row[4] for row in rows], np.int64),
        crowd=np.array([len(row) > 5 for row in rows], bool),
        area=np.full(len(rows), np.nan),
        offsets=np.cumsum([0, *map(len, images)]).astype(np.int64),
        annotated=np.ones(len(images), bool),
    )


def found(images) -> Detections:
    """From (x1, y1, x2, y2, label, score) of each image."""
    table = np.array([(i, *row) for i, image in enumerate(images) for row in image], np.float64).reshape(-1, 7)
    ids = table[:, [0, 5]].astype(np.int64)
    return Detections(ids[:, 0], table[:, 1:5], ids[:, 1], table[:, 6], len(images))


def told(truth, detections, **options):
    errors = find_box_errors(boxes(truth), found(detections), NAMES, **{"thresholds": HALF, **options})
    columns = (errors.kinds, errors.images, errors.detections, errors.objects, errors.severity.round(4))
    return [(BOX_ERRORS[kind], *row) for kind, *row in zip(*(c.tolist() for c in columns), strict=True)]


def test_nothing_is_wrong_with_nothing():
    assert told([[], []], [[], []]) == []
    assert told([[(0, 0, 10, 10, 0)]], [[]]) == []


def test_a_right_annotation_is_not_told():
    assert told([[(0, 0, 10, 10, 0)]], [[(0, 0, 10, 9, 0, 0.9)]]) == []


def test_a_sure_detection_of_nothing_is_a_missed_object():
    truth = [[(0, 0, 10, 10, 0)], []]
    detections = [[(0, 0, 10, 10, 0, 0.9)], [(5, 5, 20, 20, 1, 0.8), (50, 50, 60, 60, 1, 0.4)]]

    # two detections of its class, no object among them: 50 imaginary ones that the score speaks for weigh more
    assert told(truth, detections) == [("missed", 1, 1, -1, round(50 * 0.8 / 52, 4))]


def test_another_class_in_its_place_is_swapped():
    truth = [[(40, 40, 50, 50, 0), (0, 0, 10, 10, 0)]]

    real = 50 * 0.9 / 51  # of the detection, if nothing were annotated there
    overlooked = 1 - (0 + 1) / (2 + 2)  # neither of the two objects of the class is found
    expected = real / (real + (1 - real) * overlooked)
    assert told(truth, [[(0, 0, 10, 8, 1, 0.9)]]) == [("swapped", 0, 0, 1, round(expected, 4))]


def test_half_beside_the_object_is_badly_placed():
    # 5 x 10 shared of 150: an IoU of 1 / 3
    real = 50 * 0.9 / 51
    expected = round(real / (real + (1 - real) * 2 / 3), 4)  # one object of the class, not found: 1 - 1 / 3
    assert told([[(0, 0, 10, 10, 0)]], [[(5, 0, 15, 10, 0, 0.9)]]) == [("badly placed", 0, 0, 0, expected)]


def test_an_object_that_is_confirmed_is_neither_swapped_nor_badly_placed():
    truth = [[(0, 0, 10, 10, 0)]]
    good = (0, 0, 10, 10, 0, 0.9)

    assert told(truth, [[good, (0, 0, 10, 9, 1, 0.8)]]) == []  # a second opinion on it
    assert told(truth, [[good, (0, 0, 10, 8, 0, 0.8)]]) == []  # a double
    beside = (5, 0, 15, 10, 0, 0.6)  # next to it: an object of its own, of which a third is explained
    assert told(truth, [[good, beside]]) == [("missed", 0, 1, -1, round(50 * 0.6 / 52 * 2 / 3, 4))]


def test_an_unsure_detection_confirms_nothing():
    assert told([[(0, 0, 10, 10, 0)]], [[(0, 0, 10, 10, 0, 0.3), (0, 0, 10, 10, 1, 0.9)]]) == [
        ("swapped", 0, 1, 0, 0.9184)  # as if it were not there: its own .31 is less than the 2 / 3 that are overlooked
    ]


def test_each_object_is_told_once_by_what_speaks_loudest():
    truth = [[(0, 0, 10, 10, 0)]]
    detections = [[(0, 0, 10, 8, 1, 0.7), (0, 0, 10, 10, 1, 0.9), (0, 0, 10, 9, 1, 0.6)]]

    assert told(truth, detections) == [("swapped", 0, 1, 0, 0.894)]  # of 50 * .9 / 53, with 2 / 3 overlooked


def test_a_crowd_explains_what_lies_in_it():
    assert told([[(0, 0, 100, 100, 0, True)]], [[(10, 10, 20, 20, 0, 0.9), (300, 0, 310, 10, 0, 0.8)]]) == [
        ("missed", 0, 1, -1, 0.7692)
    ]


def test_the_strongest_come_first_over_all_images_and_kinds():
    truth = [[(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 0)], []]
    detections = [[(0, 0, 10, 10, 1, 0.7)], [(5, 0, 15, 10, 0, 0.95)], [(0, 0, 9, 9, 0, 0.8)]]

    assert [(kind, image) for kind, image, *_ in told(truth, detections)] == [
        ("badly placed", 1), ("missed", 2), ("swapped", 0),
    ]  # fmt: skip


def spoiled(seed, n_images=120):
    """Right boxes, the same with some removed, swapped and shifted, and a good detector's answers."""
    rng = np.random.default_rng(seed)
    given, said, wrong = [], [], []
    for image in range(n_images):
        rows, seen = [], []
        for column in range(4):
            x, y = 120 * column + rng.uniform(0, 20), rng.uniform(0, 40)
            box, label = (x, y, x + 40, y + 40), int(rng.integers(2))
            kind = rng.choice(["right", "missed", "swapped", "badly placed"], p=[0.85, 0.05, 0.05, 0.05])
            if kind != "missed":
                moved = np.array(box) + (25 if kind == "badly placed" else 0) * np.array([1, 0, 1, 0])
                rows.append((*moved, 1 - label if kind == "swapped" else label))
            if kind != "right":
                wrong.append((image, kind))
            if rng.random() < 0.9:
                seen.append((*(np.array(box) + rng.normal(0, 1.5, 4)), label, rng.uniform(0.4, 1)))
            if rng.random() < 0.1:
                seen.append((x, 200, x + 30, 230, label, rng.uniform(0, 0.6)))
        given.append(rows)
        said.append(seen)
    return given, said, wrong


@pytest.mark.parametrize("seed", range(3))
def test_what_was_spoiled_is_found_for_what_it_is(seed):
    given, said, wrong = spoiled(seed)

    errors = find_box_errors(boxes(given), found(said), NAMES)

    first = list(zip(errors.images.tolist(), [BOX_ERRORS[k] for k in errors.kinds], strict=True))[: len(wrong)]
    assert len(set(first) & set(wrong)) > 0.7 * len(set(wrong))
    assert {kind for _, kind in first} == set(BOX_ERRORS)
    own = errors.objects[errors.objects >= 0]
    assert len(set(own.tolist())) == len(own)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="no number for"):
        told([[]], [[]], thresholds={"cell": 0.5})
    with pytest.raises(UnknownClassError, match="1 annotated box has no class; label or remove"):
        told([[(0, 0, 1, 1, -1)]], [[]])
    with pytest.raises(DataError, match="truth has 2 images and found 1"):
        told([[], []], [[]])


def test_an_annotation_that_nothing_supports_needs_less_to_be_doubted():
    """A detection that is not sure counts where annotated objects of the class are else found, and not where not."""
    right = [(40.0 * i, 100, 40.0 * i + 20, 120, 0) for i in range(60)]
    truth = [[(0, 0, 10, 10, 0), *right]]
    doubt = (0, 0, 10, 10, 1, 0.3)

    assert [kind for kind, *_ in told(truth, [[doubt, *((*box, 0.9) for box in right)]])] == ["swapped"]
    assert told(truth, [[doubt]]) == []
