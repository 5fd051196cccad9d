"""Confident learning against cleanlab, by hand, and on labels flipped on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineml.errors import DataError
from onlineml.improving.review.label_errors import find_label_errors, label_margins


def softmax(logits):
    table = np.exp(logits - logits.max(axis=1, keepdims=True))
    return table / table.sum(axis=1, keepdims=True)


def case(seed, *, n=120, n_classes=4, flipped=0.15, gain=2.0):
    """Labels with some flipped, and what a model says that was not shown them."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    probabilities = softmax(rng.normal(size=(n, n_classes)) + gain * np.eye(n_classes)[truth])
    wrong = rng.random(n) < flipped
    labels = np.where(wrong, (truth + rng.integers(1, max(n_classes, 2), n)) % n_classes, truth)
    return labels, probabilities, truth


def test_no_images_have_no_errors():
    errors = find_label_errors(np.zeros(0, np.int64), np.zeros((0, 3)))

    assert len(errors) == 0
    assert np.isnan(errors.thresholds).all()
    assert errors.joint.tolist() == np.zeros((3, 3)).tolist()


def test_by_hand():
    # class 0 is held with .9, .8 and .1: threshold .6; class 1 with .7 and .5: threshold .6
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.5, 0.5]])

    errors = find_label_errors(np.array([0, 0, 0, 1, 1]), probabilities)

    assert errors.thresholds == pytest.approx([0.6, 0.6])
    assert errors.rows.tolist() == [2]
    assert errors.suggested.tolist() == [1]
    assert errors.margins == pytest.approx([-0.8])
    assert errors.joint.tolist() == [[2, 1], [0, 1]]


def test_the_clearest_come_first_and_unlabelled_images_are_passed_over():
    labels, probabilities, _ = case(0)
    labels[::7] = -1

    errors = find_label_errors(labels, probabilities)

    assert (np.diff(errors.margins) >= 0).all()
    assert (errors.margins < 0).all()
    assert (labels[errors.rows] >= 0).all()
    assert (errors.suggested != labels[errors.rows]).all()
    without = find_label_errors(labels[labels >= 0], probabilities[labels >= 0])
    assert np.flatnonzero(labels >= 0)[without.rows].tolist() == errors.rows.tolist()


@pytest.mark.filterwarnings("ignore")  # cleanlab's own
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([0.0, 0.1, 0.4]), st.sampled_from([0.5, 2.0, 4.0]))
@settings(max_examples=40, deadline=None)
def test_it_finds_what_cleanlab_finds_in_its_order(seed, n_classes, flipped, gain):
    from cleanlab.count import compute_confident_joint, get_confident_thresholds
    from cleanlab.filter import find_label_issues

    labels, probabilities, _ = case(seed, n_classes=n_classes, flipped=flipped, gain=gain)
    labels[:n_classes] = np.arange(n_classes)  # cleanlab wants every class there

    # of several classes that it is confident of, cleanlab takes the likeliest of all classes, the paper that of these
    sure = probabilities >= find_label_errors(labels, probabilities).thresholds - 1e-6
    alike = (sure.sum(axis=1) < 2) | sure[np.arange(len(labels)), probabilities.argmax(axis=1)]

    errors = find_label_errors(labels, probabilities)

    expected = find_label_issues(
        labels,
        probabilities,
        filter_by="confident_learning",
        return_indices_ranked_by="normalized_margin",
        n_jobs=1,
    )
    assert alike.mean() > 0.8
    assert errors.rows[alike[errors.rows]].tolist() == expected[alike[expected]].tolist()
    assert errors.thresholds == pytest.approx(get_confident_thresholds(labels, probabilities))
    joint = compute_confident_joint(labels, probabilities, calibrate=False)
    grown = errors.joint.copy()
    np.fill_diagonal(grown, np.maximum(np.diag(grown), 1))  # cleanlab counts one right label of each class at least
    assert np.abs(grown - joint).sum() <= 2 * (~alike).sum()


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_it_is_the_papers_definition_image_by_image(seed, n_classes):
    labels, probabilities, _ = case(seed, n=40, n_classes=n_classes, gain=1.0)
    own = [probabilities[labels == k, k].mean() if (labels == k).any() else 2.0 for k in range(n_classes)]
    joint, suspect = np.zeros((n_classes, n_classes), int), {}
    for i, row in enumerate(probabilities):
        reached = [k for k in range(n_classes) if row[k] >= own[k] - 1e-6]
        if reached:
            guess = max(reached, key=lambda k: row[k])
            joint[labels[i], guess] += 1
            margin = row[labels[i]] - max(row[k] for k in range(n_classes) if k != labels[i])
            if guess != labels[i] and margin < 0:
                suspect[i] = margin

    errors = find_label_errors(labels, probabilities)

    assert errors.joint.tolist() == joint.tolist()
    assert errors.rows.tolist() == sorted(suspect, key=suspect.get)
    margins = label_margins(labels, probabilities)
    assert margins[errors.rows] == pytest.approx(errors.margins)


def test_margins_of_all_images_by_hand():
    margins = label_margins(np.array([0, 1, -1]), np.array([[0.7, 0.2, 0.1], [0.5, 0.1, 0.4], [0.2, 0.4, 0.4]]))

    assert margins == pytest.approx([0.5, -0.4, np.nan], nan_ok=True)
    assert label_margins(np.array([0]), np.ones((1, 1))).tolist() == [1.0]


def test_most_flips_are_found_and_most_that_is_found_was_flipped():
    labels, probabilities, truth = case(3, n=2_000, n_classes=6, flipped=0.1, gain=4.0)
    flipped = labels != truth

    errors = find_label_errors(labels, probabilities)

    first = errors.rows[: flipped.sum()]
    assert flipped[first].mean() > 0.85
    assert flipped[errors.rows].sum() > 0.7 * flipped.sum()
    assert flipped[np.argsort(label_margins(labels, probabilities))[: flipped.sum()]].mean() > 0.85
    assert (errors.suggested == truth[errors.rows])[flipped[errors.rows]].mean() > 0.9


@pytest.mark.parametrize(
    ("labels", "probabilities", "says"),
    [
        ([0, 1], [[0.5, 0.5]], r"shape \(2,\)"),
        ([0], [0.5, 0.5], r"expected \(N,\) and \(N, C\)"),
        ([2], [[0.5, 0.5]], "1 label is not among the 2 classes, such as 2 in row 0"),
        ([-2], [[0.5, 0.5]], "such as -2"),
        ([0.5], [[0.5, 0.5]], "dtype float64"),
        ([0], [[0.9, 0.9]], "a sum other than 1"),
        ([0], [[np.nan, 1.0]], "nan or inf"),
    ],
)
def test_what_does_not_fit_is_refused(labels, probabilities, says):
    with pytest.raises(DataError, match=says):
        find_label_errors(np.array(labels), np.array(probabilities))


def test_doubtful_labels_by_hand():
    # class 1 is reached from (.7 + .5) / 2 on, so that nothing is surely likelier than the last two labels
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.5, 0.5], [0.4, 0.6]])

    errors = find_label_errors(np.array([0, 0, 0, 1, 1, 1]), probabilities)

    assert errors.rows.tolist() == [2]
    assert errors.doubtful.tolist() == [4, 5]
    assert errors.doubtful_margins == pytest.approx([0.0, 0.2])
    assert errors.doubtful_suggested.tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_whatever_has_a_likelier_class_is_suspect_or_doubtful(seed):
    labels, probabilities, _ = case(seed)

    errors = find_label_errors(labels, probabilities)

    margins = label_margins(labels, probabilities)
    assert not set(errors.rows) & set(errors.doubtful)
    assert set(np.flatnonzero(margins < 0.25)) == set(errors.rows) | set(errors.doubtful)
    assert errors.doubtful_margins.tolist() == sorted(margins[errors.doubtful])
    rivals = probabilities.copy()
    rivals[np.arange(len(labels)), labels] = -1
    assert errors.doubtful_suggested.tolist() == rivals.argmax(axis=1)[errors.doubtful].tolist()
