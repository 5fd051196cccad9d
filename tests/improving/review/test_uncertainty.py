"""Doubt and disagreement against scipy, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late import Late
from onlineml.errors import DataError
from onlineml.evaluation.detection.detections import Detections
from onlineml.improving.review.uncertainty import (
    box_disagreement,
    box_uncertainty,
    entropy,
    jensen_shannon,
    rarity,
)

distance = Late("scipy.spatial.distance")
stats = Late("scipy.stats")


def table(seed, n=20, n_classes=5):
    rng = np.random.default_rng(seed)
    rows = rng.dirichlet(np.full(n_classes, 0.3), n)
    rows[0] = np.eye(n_classes)[0]
    return rows


def test_no_images_have_no_doubt():
    empty = np.zeros((0, 3))

    assert entropy(empty).shape == (0,)
    assert jensen_shannon(empty, empty).shape == (0,)
    assert rarity(np.zeros(0, np.int64), n_classes=2).shape == (0,)
    assert box_uncertainty(Detections.nothing(0)).shape == (0,)
    assert box_disagreement(Detections.nothing(0), Detections.nothing(0), n_classes=1).shape == (0,)


@given(st.integers(0, 1000), st.integers(2, 8))
@settings(max_examples=20, deadline=None)
def test_entropy_and_divergence_are_scipys(seed, n_classes):
    p, q = table(seed, n_classes=n_classes), table(seed + 1, n_classes=n_classes)

    assert entropy(p) == pytest.approx(stats.entropy(p, axis=1) / np.log(n_classes), abs=1e-12)
    assert jensen_shannon(p, q) == pytest.approx(distance.jensenshannon(p, q, base=2, axis=1) ** 2, abs=1e-9)
    assert jensen_shannon(p, p) == pytest.approx(0, abs=1e-12)


def test_the_ends_of_the_scales():
    sure, even, other = np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])

    assert entropy(np.concatenate([sure, even])).tolist() == [0.0, 1.0]
    assert jensen_shannon(sure, other).tolist() == [1.0]
    assert entropy(np.ones((2, 1))).tolist() == [0.0, 0.0]


def test_rare_classes_by_hand():
    assert rarity(np.array([0, 0, 0, 0, 1, -1, 1, 2]), n_classes=4).tolist() == [0, 0, 0, 0, 0.5, 0, 0.5, 0.75]
    assert rarity(np.array([-1, -1]), n_classes=2).tolist() == [0, 0]


def boxes(rows, n_images) -> Detections:
    data = np.array(rows, np.float64).reshape(-1, 7)
    return Detections(data[:, 0].astype(np.int64), data[:, 1:5], data[:, 5].astype(np.int64), data[:, 6], n_images)


def test_expected_wrong_boxes_by_hand():
    found = boxes(
        [(0, 0, 0, 9, 9, 0, 0.9), (0, 0, 0, 9, 9, 0, 0.4), (0, 0, 0, 9, 9, 0, 0.05), (2, 0, 0, 9, 9, 1, 1.0)], 3
    )

    assert box_uncertainty(found) == pytest.approx([0.1 + 0.4, 0.0, 0.0])


def test_boxes_that_the_other_lacks_by_hand():
    first = boxes([(0, 0, 0, 10, 10, 0, 0.9), (0, 50, 0, 60, 10, 0, 0.8), (1, 0, 0, 10, 10, 0, 0.9)], 4)
    second = boxes([(2, 0, 0, 10, 10, 0, 0.6), (1, 0, 0, 10, 10, 1, 0.7), (0, 0, 0, 10, 9, 0, 0.9)], 4)

    shares = box_disagreement(first, second, n_classes=2)

    assert shares == pytest.approx([1 / 3, 1.0, 1.0, 0.0])
    assert box_disagreement(second, first, n_classes=2) == pytest.approx(shares)
    assert box_disagreement(first, first, n_classes=2).tolist() == [0, 0, 0, 0]


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match=r"expected \(N, C\)"):
        entropy(np.array([0.5, 0.5]))
    with pytest.raises(DataError, match="finite"):
        entropy(np.array([[np.nan, 1.0]]))
    with pytest.raises(DataError, match="same images and classes"):
        jensen_shannon(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(DataError, match="predicted 1 and 2 images"):
        box_disagreement(Detections.nothing(1), Detections.nothing(2), n_classes=1)
