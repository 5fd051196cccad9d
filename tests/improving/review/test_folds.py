"""Heads that did not see what they judge: against scikit-learn's discriminant analysis, and on labels flipped."""

from __future__ import annotations

import numpy as np
import pytest

from late import Late
from onlineml.improving.review import folds
from onlineml.improving.review.folds import out_of_fold, standardised
from onlineml.improving.review.label_errors import find_label_errors

discriminant_analysis = Late("sklearn.discriminant_analysis")


def case(seed, *, n=300, n_features=12, n_classes=3, apart=1.0):
    """Features whose class means lie some deviations apart, and the classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    means = rng.normal(size=(n_classes, n_features)) * apart
    return (means[labels] + rng.normal(size=(n, n_features))).astype(np.float32), labels


@pytest.fixture
def fixed(monkeypatch):
    """One shrinkage, and a temperature of 1: nothing is chosen by the labels."""
    monkeypatch.setattr(folds, "_SHRINKAGES", (0.3,))
    monkeypatch.setattr(folds, "_TEMPERATURES", (1.0,))


def test_no_images_have_no_probabilities():
    found, told = out_of_fold(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), [], n_classes=3)

    assert found.shape == (0, 3)
    assert told.shape == (0,)


@pytest.mark.usefixtures("fixed")
def test_probabilities_are_those_of_discriminant_analysis_on_the_other_folds():
    features, labels = case(0)
    groups = [f"video {i // 7}" for i in range(len(labels))]

    found, told = out_of_fold(features, labels, groups, n_classes=3, seed=4)

    numbers = np.arange(len(labels)) // 7
    fold = (np.random.default_rng([4, numbers.max() + 1]).permutation(numbers.max() + 1) % 5)[numbers]
    table = standardised(features).astype(np.float64)
    for k in range(5):
        oracle = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(
            table[fold != k], labels[fold != k]
        )
        assert found[fold == k] == pytest.approx(oracle.predict_proba(table[fold == k]), abs=1e-5)
    assert told.all()


@pytest.mark.usefixtures("fixed")
def test_what_a_group_is_labelled_has_no_say_in_its_own_probabilities():
    features, labels = case(1)
    groups = ["one video"] * 40 + [None] * 260
    others = labels.copy()
    others[:40] = (labels[:40] + 1) % 3

    before, _ = out_of_fold(features, labels, groups, n_classes=3)
    after, _ = out_of_fold(features, others, groups, n_classes=3)

    assert after[:40] == pytest.approx(before[:40], abs=1e-6)
    assert np.abs(after[40:] - before[40:]).max() > 0.01


def test_a_class_that_the_head_did_not_know_is_told():
    features, labels = case(2)
    groups = [None] * 300
    labels[labels == 2] = 0
    labels[:6] = 2
    groups[:6] = ["the only video"] * 6

    found, told = out_of_fold(features, labels, groups, n_classes=4)

    assert not told[:6].any()
    assert told[6:].all()
    assert found[:, 3].max() == 0
    assert found.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_images_have_probabilities(n):
    features, labels = case(3, n=n)

    found, told = out_of_fold(features, labels, [None] * n, n_classes=3)

    assert found.sum(axis=1) == pytest.approx(1)
    assert not told.any() or n > 2


def test_features_that_say_nothing_leave_the_shares_of_the_classes():
    labels = np.array([0] * 90 + [1] * 10)

    found, _ = out_of_fold(np.ones((100, 5), np.float32), labels, [None] * 100, n_classes=2)

    assert found[:, 0] == pytest.approx(0.9, abs=0.03)


def test_probabilities_are_as_sure_as_they_are_right():
    features, labels = case(5, n=2000, n_features=60, apart=0.3)

    found, _ = out_of_fold(features, labels, [None] * 2000, n_classes=3)

    right = (found.argmax(axis=1) == labels).mean()
    assert 0.6 < right < 0.95
    assert found.max(axis=1).mean() == pytest.approx(right, abs=0.03)


def test_flipped_labels_of_separate_classes_are_suspect_and_nothing_else():
    features, truth = case(6, n=500, n_features=40, apart=2.0)
    flipped = np.random.default_rng(0).choice(500, 100, replace=False)
    labels = truth.copy()
    labels[flipped] = (truth[flipped] + 1) % 3

    found, _ = out_of_fold(features, labels, [None] * 500, n_classes=3)

    errors = find_label_errors(labels, found)
    assert set(errors.rows) <= set(flipped)
    assert len(errors) >= 95
    assert set(flipped) <= set(errors.rows) | set(errors.doubtful)
