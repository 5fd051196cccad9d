"""Intervals against numpy, scipy, scikit-learn's sample weights and known coverage."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation_cases import predictions
from late import Late
from onlineml.errors import ConfigError
from onlineml.evaluation import classification_scores, intervals
from onlineml.evaluation.classification.bootstrap import _rank_classes, _resample_rankings

stats = Late("scipy.stats")
oracle = Late("sklearn.metrics")


def weights_of(**options):
    return np.concatenate(list(intervals.resample_weights(**options)))


def test_nothing_to_resample(nothing):
    assert list(intervals.resample_weights(n_groups=0, n_bootstrap=10, seed=0)) == []
    assert np.isnan(list(nothing.intervals.values())).all()
    assert np.isnan(intervals.percentile_interval(np.zeros((0, 3)))).all()


def test_groups_are_numbered_and_missing_ones_stand_alone():
    codes, n_groups = intervals.group_codes(["b", "a", "b", None, "", float("nan"), None], n_images=7)
    assert codes.tolist() == [0, 1, 0, 2, 3, 4, 5]
    assert n_groups == 6
    with pytest.raises(ConfigError, match="groups has 1 value for 2 images"):
        intervals.group_codes(["a"], n_images=2)
    with pytest.raises(ConfigError, match="n_bootstrap is -1"):
        weights_of(n_groups=2, n_bootstrap=-1, seed=0)


def test_weights_are_multinomial_and_the_same_in_chunks():
    whole = weights_of(n_groups=40, n_bootstrap=3000, seed=3)
    assert np.array_equal(whole, weights_of(n_groups=40, n_bootstrap=3000, seed=3, row_values=10_001))
    assert np.array_equal(whole[:100], weights_of(n_groups=40, n_bootstrap=100, seed=3))
    assert (whole.sum(axis=1) == 40).all()
    assert whole.mean(axis=0) == pytest.approx(np.ones(40), abs=0.1)
    assert whole.var() == pytest.approx(1 - 1 / 40, rel=0.03)  # of a multinomial count with n = 40, p = 1 / 40


def test_percentiles_equal_numpy():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(501, 4))
    samples[rng.random(samples.shape) < 0.1] = np.nan
    ours = intervals.percentile_interval(samples)
    assert pytest.approx(np.nanpercentile(samples, [2.5, 97.5], axis=0), rel=1e-12) == ours.T
    samples[:300, 0], samples[:, 1] = np.nan, 0.5
    assert np.isnan(intervals.percentile_interval(samples)[:2]).all()


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (20, 20), (0, 300)])
def test_exact_interval_is_clopper_and_pearsons(right, n):
    theirs = stats.binomtest(right, n).proportion_ci(method="exact")
    assert intervals.exact_interval(right / n, n_groups=n) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert np.isnan(intervals.exact_interval(0.5, n_groups=n)).all()


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(1).normal(size=400)
    codes, n_groups = intervals.group_codes(np.repeat(np.arange(400), 5), n_images=2000)
    sums = np.bincount(codes, weights=np.repeat(values, 5))
    means = weights_of(n_groups=n_groups, n_bootstrap=4000, seed=0) @ sums / 2000
    assert means.std() == pytest.approx(values.std() / 20, rel=0.06)  # five copies of an image are one observation


def test_every_resample_equals_scoring_the_drawn_images():
    # 30 groups of 90 images drawn by the weights, written out as repeated images and scored by scikit-learn
    probabilities, labels = predictions(n=90, n_classes=4, digits=1)
    groups = np.arange(90) // 3
    scores = classification_scores(probabilities, labels, list("abcd"), groups=groups, n_bootstrap=60, seed=5)
    rows = []
    for weights in weights_of(n_groups=30, n_bootstrap=60, seed=5):
        drawn = np.repeat(np.arange(90), weights[groups].astype(int))
        truth, said, chances = labels[drawn], probabilities[drawn].argmax(axis=1), probabilities[drawn]
        rows.append(
            (
                oracle.accuracy_score(truth, said),
                oracle.f1_score(truth, said, average="macro", zero_division=0),
                oracle.recall_score(truth, said, average="macro"),
                oracle.log_loss(truth, chances, labels=range(4)),
                np.mean([oracle.average_precision_score(truth == i, chances[:, i]) for i in range(4)]),
                oracle.roc_auc_score(truth, chances, multi_class="ovr"),
            )
        )
    theirs = np.percentile(np.array(rows), [2.5, 97.5], axis=0).T
    names = ["accuracy", "macro_f1", "balanced_accuracy", "log_loss", "map", "auroc_macro"]
    assert np.array([scores.intervals[name] for name in names]) == pytest.approx(theirs, rel=1e-9)


def test_weighted_rankings_equal_scikit_learn():
    rng = np.random.default_rng(0)
    probabilities, labels = predictions(n=60, n_classes=3, digits=1)
    weights = rng.integers(0, 4, size=(60, 5)).astype(float)
    average, auroc = _resample_rankings(_rank_classes(probabilities, labels), weights)
    for b in range(5):
        each = [(labels == i, probabilities[:, i]) for i in range(3)]
        theirs = [oracle.average_precision_score(*one, sample_weight=weights[:, b]) for one in each]
        assert average[b] == pytest.approx(np.mean(theirs), rel=1e-12)
        theirs = [oracle.roc_auc_score(*one, sample_weight=weights[:, b]) for one in each]
        assert auroc[b] == pytest.approx(np.mean(theirs), rel=1e-12)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    # 200 test sets of 60 groups x 4 identical images, true accuracy 0.8; ungrouped intervals are far too narrow
    rng = np.random.default_rng(2)
    grouped = alone = 0
    for trial in range(200):
        right = np.repeat(rng.random(60) < 0.8, 4)
        probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
        labels, groups = np.zeros(240, int), np.repeat(np.arange(60), 4)
        for which in (groups, None):
            scores = classification_scores(
                probabilities, labels, ["a", "b"], groups=which, n_bootstrap=200, seed=trial, top_k=()
            )
            low, high = scores.intervals["accuracy"]
            grouped += which is not None and low <= 0.8 <= high
            alone += which is None and low <= 0.8 <= high
    assert 0.89 <= grouped / 200 <= 0.99
    assert alone / 200 < 0.8


def test_every_interval_holds_its_score(scores):
    for name, (low, high) in scores.intervals.items():
        assert low <= scores.score(name) <= high, name
    assert set(scores.intervals) == set(scores.score_names()) | {"top_1"}


def test_a_perfect_or_lone_result_is_not_sure():
    perfect = classification_scores(np.eye(2)[[0] * 20], [0] * 20, ["a", "b"])
    assert perfect.intervals["accuracy"] == pytest.approx((0.8316, 1), abs=1e-4)  # 0.025 ** (1 / 20)
    assert perfect.per_class.recall_interval[0] == pytest.approx((0.8316, 1), abs=1e-4)
    assert np.isnan(perfect.intervals["balanced_accuracy"]).all()
    one_group = classification_scores(np.eye(2)[[0, 1]], [0, 0], ["a", "b"], groups=["g", "g"])
    assert np.isnan(one_group.intervals["accuracy"]).all()


def test_fifty_thousand_images_of_a_thousand_classes_make_a_small_page():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 1000, 50_000)
    logits = rng.standard_normal((50_000, 1000), dtype=np.float32)
    logits[np.arange(50_000), labels] += 4
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    scores = classification_scores(logits, labels, [f"class {i}" for i in range(1000)])
    page = scores.to_html()
    assert len(page) < 2_000_000
    assert np.isnan(scores.intervals["map"]).all()
