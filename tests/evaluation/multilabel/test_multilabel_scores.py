"""Scores of several labels an image, against scikit-learn and by hand; what goes in is checked."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings

from late import Late
from multilabel_cases import NAMES, answers, label_cases
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.evaluation import best_multilabel_thresholds, multilabel_scores

sk = Late("sklearn.metrics")

HALF = np.full((3, 3), 0.5)
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0]], bool)
NAN = {"zero_division": np.nan}


def scored(probabilities, truth, **options):
    names = [f"c{i}" for i in range(np.shape(probabilities)[1])]
    return multilabel_scores(probabilities, truth, names, **{"n_bootstrap": 0, **options})


def test_nothing_has_no_scores(no_labels):
    assert no_labels.n_images == no_labels.n_labels == no_labels.n_wrong == no_labels.n_empty == 0
    assert all(math.isnan(no_labels.score(name)) for name in no_labels.score_names())
    assert np.isnan(no_labels.ap).all()
    assert no_labels.per_class.support.tolist() == [0, 0, 0]
    assert no_labels.confusion.sum() == no_labels.cooccurrence.sum() == no_labels.class_counts.sum() == 0
    assert no_labels.worst == no_labels.by_slice == ()
    assert len(no_labels.to_frame()) == 12


def test_by_hand():
    #               cat  dog  fox
    probabilities = [[0.9, 0.1, 0.8], [0.6, 0.4, 0.2], [0.3, 0.1, 0.1]]
    scores = multilabel_scores(np.array(probabilities), TRUTH, NAMES, n_bootstrap=0)

    assert scores.predictions.tolist() == [[True, False, True], [True, False, False], [False, False, False]]
    assert scores.subset_accuracy == pytest.approx(1 / 3)  # the third image alone
    assert scores.hamming_loss == pytest.approx(2 / 9)  # a false fox, a missed dog
    assert (scores.micro_precision, scores.micro_recall, scores.micro_f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert scores.f1.tolist() == [1.0, 0.0, 0.0]
    assert scores.macro_f1 == pytest.approx(1 / 3)  # fox is given and not there: 0
    assert scores.samples_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)  # the empty image has none
    assert (scores.n_empty, scores.n_given_empty, scores.empty_recall, scores.empty_precision) == (1, 1, 1.0, 1.0)
    assert scores.ap.tolist()[:2] == [1.0, 1.0]
    assert math.isnan(scores.ap[2])
    assert scores.map == 1.0
    assert scores.class_counts[1].tolist() == [[2, 0], [1, 0]]
    assert scores.cooccurrence.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert scores.confusion.tolist() == [[2, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]]
    first = scores.worst[0]
    assert (first.image_id, first.truth, first.missed, first.false) == ("0", ("cat",), (), (("fox", 0.8),))
    assert first.loss == pytest.approx(-math.log(0.9) - math.log(0.9) - math.log(0.2))
    assert scores.worst[1].missed == (("dog", 0.4),)
    assert scores.n_wrong == len(scores.worst) == 2


@settings(max_examples=30, deadline=None)
@given(label_cases())
def test_scores_are_those_of_scikit_learn(case):
    probabilities, truth = case
    scores = scored(probabilities, truth)
    given_labels = probabilities >= 0.5

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of nothing
        # a single column is a binary task to scikit-learn
        several = truth.shape[1] > 1
        expected = {
            "subset_accuracy": sk.accuracy_score(truth, given_labels),
            "hamming_loss": sk.hamming_loss(truth, given_labels),
            "micro_precision": sk.precision_score(truth.ravel(), given_labels.ravel(), **NAN),
            "micro_recall": sk.recall_score(truth.ravel(), given_labels.ravel(), **NAN),
            "micro_f1": sk.f1_score(truth.ravel(), given_labels.ravel(), **NAN),
            "micro_ap": sk.average_precision_score(truth.ravel(), probabilities.ravel()) if truth.any() else np.nan,
        }
        if several:
            expected["macro_f1"] = sk.f1_score(truth, given_labels, average="macro", **NAN)
            expected["samples_f1"] = sk.f1_score(truth, given_labels, average="samples", **NAN)
            per_class = sk.precision_recall_fscore_support(truth, given_labels, average=None, **NAN)
            for name, values in zip(("precision", "recall", "f1", "support"), per_class, strict=True):
                np.testing.assert_allclose(getattr(scores.per_class, name), values, atol=1e-12)
            assert np.array_equal(scores.class_counts, sk.multilabel_confusion_matrix(truth, given_labels))
    for name, value in expected.items():
        assert scores.score(name) == pytest.approx(value, abs=1e-12, nan_ok=True), name


@settings(max_examples=60, deadline=None)
@given(label_cases())
def test_average_precision_is_that_of_scikit_learn(case):
    probabilities, truth = case
    scores = scored(probabilities, truth)

    expected = [
        sk.average_precision_score(own, column) if own.any() else np.nan
        for own, column in zip(truth.T, probabilities.T, strict=True)
    ]
    np.testing.assert_allclose(scores.ap, expected, atol=1e-12)
    defined = [value for value in expected if not math.isnan(value)]
    assert scores.map == pytest.approx(np.mean(defined) if defined else np.nan, abs=1e-12, nan_ok=True)


def test_log_loss_is_the_mean_of_scikit_learns_over_the_classes():
    probabilities, truth = answers(n=50, n_classes=3)

    each = [sk.log_loss(truth[:, k], probabilities[:, k], labels=[0, 1]) for k in range(3)]
    assert scored(probabilities, truth).log_loss == pytest.approx(np.mean(each))


def test_one_image_and_all_right():
    scores = scored(np.array([[0.9, 0.1]]), np.array([[1, 0]]), n_bootstrap=50)

    assert (scores.subset_accuracy, scores.micro_f1, scores.map, scores.macro_f1) == (1, 1, 1, 1)
    assert scores.interval("subset_accuracy") == pytest.approx((0.025, 1.0))  # Clopper and Pearson, one group
    assert scores.interval("map") == pytest.approx((math.nan, math.nan), nan_ok=True)
    assert scores.worst == ()


def test_classes_everywhere_and_nowhere():
    truth = np.array([[1, 0], [1, 0], [1, 0]], bool)
    scores = scored(np.array([[0.9, 0.9], [0.2, 0.1], [0.8, 0.1]]), truth)

    assert scores.ap[0] == 1.0  # every image is of the class, whatever the order
    assert math.isnan(scores.ap[1])
    assert math.isnan(scores.recall[1])
    assert (scores.f1[1], scores.precision[1]) == (0.0, 0.0)
    assert scores.map == 1.0
    assert scores.macro_f1 == pytest.approx(0.8 / 2)


def test_tied_probabilities_stand_and_fall_together():
    truth = np.array([[1], [0], [1], [0]], bool)

    assert scored(np.full((4, 1), 0.3), truth).ap.tolist() == [0.5]
    assert scored(np.array([[0.3], [0.3], [0.9], [0.1]]), truth).ap[0] == pytest.approx((1 + 2 / 3) / 2)


def test_thresholds_by_number_name_and_place():
    probabilities, truth = answers(n=40, n_classes=3)
    cut = [0.2, 0.5, 0.8]

    by_name = multilabel_scores(probabilities, truth, NAMES, thresholds=dict(zip(NAMES, cut, strict=True)))
    by_place = multilabel_scores(probabilities, truth, NAMES, thresholds=np.array(cut))
    assert np.array_equal(by_name.predictions, probabilities >= cut)
    assert by_name.to_json() == by_place.to_json()
    assert by_name.per_class["fox"]["threshold"] == by_name.thresholds["fox"] == 0.8
    one = multilabel_scores(probabilities, truth, NAMES, thresholds=0.3)
    assert np.array_equal(one.predictions, probabilities >= 0.3)
    assert set(multilabel_scores(probabilities, truth, NAMES).thresholds.values()) == {0.5}


def test_a_probability_at_the_threshold_gives_the_label():
    assert scored(HALF, TRUTH).predictions.all()
    assert scored(HALF.astype(np.float32), TRUTH).predictions.all()


@settings(max_examples=60, deadline=None)
@given(label_cases())
def test_best_thresholds_have_the_highest_f1_of_all_cuts(case):
    probabilities, truth = case
    thresholds = best_multilabel_thresholds(probabilities, truth)

    for own, column, threshold in zip(truth.T, probabilities.T, thresholds, strict=True):
        if not own.any():
            assert threshold == 0.5
            continue
        cuts = np.unique(column)
        kept = column >= cuts[:, None]
        f1 = 2 * (kept & own).sum(axis=1) / (kept.sum(axis=1) + own.sum())
        highest = cuts[np.flatnonzero(np.isclose(f1, f1.max(), atol=1e-12))[-1]]
        assert np.array_equal(column >= threshold, column >= highest)
        assert 0 <= threshold <= 1


def test_best_thresholds_by_hand():
    assert best_multilabel_thresholds(np.zeros((0, 2)), np.zeros((0, 2))).tolist() == [0.5, 0.5]
    probabilities = np.array([[0.9, 0.4], [0.5, 0.2], [0.3, 0.1]])
    truth = np.array([[1, 1], [1, 1], [0, 1]])
    # between 0.5 and 0.3; below the lowest, where all are of the class
    assert best_multilabel_thresholds(probabilities, truth) == pytest.approx([0.4, 0.05])


def test_groups_are_resampled_and_the_seed_decides():
    probabilities, truth = answers(n=60, n_classes=3, digits=2)
    one, other = (scored(probabilities, truth, n_bootstrap=100, seed=3) for _ in range(2))
    assert one.to_json() == other.to_json()
    assert scored(probabilities, truth, n_bootstrap=100, seed=4).intervals != one.intervals

    twice = scored(np.repeat(probabilities, 2, axis=0), np.repeat(truth, 2, axis=0), n_bootstrap=100, seed=3,
                   groups=np.repeat(np.arange(60), 2))  # fmt: skip
    for name in one.score_names():  # a group of two alike weighs as one image
        assert twice.interval(name) == pytest.approx(one.interval(name), abs=1e-12)
    assert twice.per_class.ap_interval == pytest.approx(one.per_class.ap_interval)


def test_resamples_are_scored_as_repeated_images_are():
    from onlineml.evaluation.intervals import percentile_interval, resample_weights

    probabilities, truth = answers(n=25, n_classes=3, digits=1)
    scores = scored(probabilities, truth, n_bootstrap=40, seed=5)
    drawn = np.concatenate(list(resample_weights(n_groups=25, n_bootstrap=40, seed=5)))
    resampled = [scored(*(np.repeat(x, w.astype(int), axis=0) for x in (probabilities, truth))) for w in drawn]

    for name in ("map", "micro_ap", "macro_f1", "micro_f1", "samples_f1", "hamming_loss", "log_loss"):
        expected = percentile_interval(np.array([one.score(name) for one in resampled]))
        assert scores.interval(name) == pytest.approx(expected, abs=1e-9), name
    expected = percentile_interval(np.array([one.ap for one in resampled]))
    assert scores.per_class.ap_interval == pytest.approx(expected, abs=1e-9)


def test_rankings_of_very_many_images_are_resampled_less_often(monkeypatch):
    monkeypatch.setattr("onlineml.evaluation.multilabel.bootstrap.MAX_WORK", 1)
    monkeypatch.setattr("onlineml.evaluation.intervals._CHUNK_VALUES", 60 * 50)
    probabilities, truth = answers(n=60, n_classes=3)

    few, all_of_100 = (scored(probabilities, truth, n_bootstrap=n) for n in (1000, 100))
    assert few.interval("map") == all_of_100.interval("map")
    assert few.interval("micro_f1") != all_of_100.interval("micro_f1")


def test_slices_are_scored_as_their_images_alone():
    probabilities, truth = answers(n=40, n_classes=3)
    light = np.array(["day", "night"])[np.arange(40) % 2]
    scores = scored(probabilities, truth, slices={"light": light}, n_bootstrap=50)

    for row in scores.by_slice:
        alone = scored(probabilities[light == row.value], truth[light == row.value])
        assert (row.n, row.micro_f1) == (20, pytest.approx(alone.micro_f1))
        assert row.subset_accuracy == pytest.approx(alone.subset_accuracy)
        assert row.low <= row.micro_f1 <= row.high


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"probabilities": HALF[:, :2]}, DataError, r"probabilities has shape \(3, 2\); expected \(images, 3\)"),
        ({"probabilities": HALF * [[1], [np.nan], [1]]}, DataError, r"nan or inf in 1 of 3 rows: 'x1'.*sigmoid"),
        ({"probabilities": HALF * [[1], [1], [3]]}, DataError, r"outside \[0, 1\] in 1 of 3 rows: 'x2'"),
        ({"probabilities": HALF.astype(str)}, DataError, "floating-point"),
        ({"truth": TRUTH[:2]}, DataError, r"truth has shape \(2, 3\); expected \(3, 3\)"),
        ({"truth": TRUTH * 2}, DataError, r"truth has values other than 0 and 1 in 2 of 3 rows: 'x0' \(row 0\), 'x1'"),
        ({"truth": TRUTH * np.nan}, DataError, "truth has values other than 0 and 1 in 3 of 3"),
        ({"truth": TRUTH.astype(str)}, DataError, "truth has dtype <U5; expected a table of True and False"),
        ({"class_names": ["a", "b", "a"]}, DataError, r"\['a'\] more than once"),
        ({"class_names": []}, DataError, "class_names is empty"),
        ({"image_ids": ["x", "x", "y"]}, DataError, r"repeated, such as \['x'\]"),
        ({"uris": ["x"]}, DataError, "uris has 1 value"),
        ({"groups": ["x"]}, ConfigError, "groups has 1 value"),
        ({"slices": {"light": ["x"]}}, DataError, "slice column 'light' has 1 value"),
        ({"thresholds": 1.5}, ConfigError, r"thresholds has 'cat': 1.5, .*expected numbers in \[0, 1\]"),
        ({"thresholds": [0.5, 0.5]}, ConfigError, r"thresholds has shape \(2,\); expected one number, or 3"),
        ({"thresholds": {"cat": 0.5}}, ConfigError, r"no number for \['dog', 'fox'\]"),
        ({"thresholds": dict.fromkeys((*NAMES, "wolf"), 0.5)}, UnknownClassError, "wolf"),
        ({"n_bootstrap": -1}, ConfigError, "n_bootstrap is -1"),
        ({"n_worst": -1}, ConfigError, "n_worst -1"),
    ],
)
def test_bad_arguments_are_refused(options, error, says):
    given_arguments = {"probabilities": HALF, "truth": TRUTH, "class_names": NAMES, "image_ids": ["x0", "x1", "x2"]}
    with pytest.raises(error, match=says):
        multilabel_scores(**(given_arguments | options))


def test_best_thresholds_check_their_arguments():
    with pytest.raises(DataError, match=r"truth has shape \(2, 3\)"):
        best_multilabel_thresholds(HALF, TRUTH[:2])
    with pytest.raises(DataError, match="nan or inf"):
        best_multilabel_thresholds(HALF * np.nan, TRUTH)


def test_half_precision_becomes_single_and_worst_may_be_left_out():
    scores = multilabel_scores(HALF.astype(np.float16), TRUTH, NAMES, n_worst=1, n_bootstrap=0)
    assert scores.probabilities.dtype == np.float32
    assert len(scores.worst) == 1
    assert scores.n_wrong == 3


def test_random_labels_leave_a_doubt_and_sure_ones_none():
    rng = np.random.default_rng(0)
    truth = rng.random((300, 2)) < [0.5, 0.2]

    guessed = multilabel_scores(rng.random((300, 2)), truth, ["wet", "red"], n_bootstrap=100)

    assert guessed.without_knowledge() == ("map", pytest.approx(truth.mean()))
    assert "a model that has learned nothing" in guessed.doubt()
    assert multilabel_scores(0.9 * truth, truth, ["wet", "red"], n_bootstrap=100).doubt() == ""
