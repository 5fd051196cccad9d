"""Every number against scikit-learn, on fuzzed predictions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings

from evaluation_cases import cases, predictions
from late import Late
from onlineml.evaluation import classification_scores, metrics

calibration = Late("sklearn.calibration")
oracle = Late("sklearn.metrics")

CLOSE = {"rel": 1e-12, "abs": 1e-12, "nan_ok": True}


def scored(probabilities, labels, **options):
    names = [f"c{i}" for i in range(probabilities.shape[1])]
    return classification_scores(probabilities, labels, names, n_bootstrap=0, **options)


def test_no_images_give_nan_for_every_score(nothing):
    assert {name: nothing.score(name) for name in nothing.score_names()} == pytest.approx(
        dict.fromkeys(nothing.score_names(), float("nan")), nan_ok=True
    )
    assert nothing.confusion.tolist() == [[0] * 3] * 3
    assert np.isnan(nothing.ap).all()
    assert nothing.mistakes == ()
    assert nothing.by_slice == ()
    assert np.isnan(nothing.pr("a").recall).all()
    assert np.isnan(nothing.roc("a").true_positive_rate).all()


def test_documented_case_of_scikit_learn():
    # the classification_report example of scikit-learn's documentation
    scores = scored(np.eye(3)[[0, 0, 2, 2, 1]], [0, 1, 2, 2, 2])
    assert scores.accuracy == pytest.approx(0.6)
    macro = (scores.macro_precision, scores.macro_recall, scores.macro_f1)
    weighted = (scores.weighted_precision, scores.weighted_recall, scores.weighted_f1)
    assert [round(x, 2) for x in macro] == [0.50, 0.56, 0.49]
    assert [round(x, 2) for x in weighted] == [0.70, 0.60, 0.61]
    assert scores.confusion.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 2]]


@settings(max_examples=150, deadline=None)
@given(cases())
def test_counts_equal_scikit_learn(case):
    probabilities, labels = case
    scores, predicted = scored(probabilities, labels), probabilities.argmax(axis=1)
    classes = range(probabilities.shape[1])
    assert scores.accuracy == pytest.approx(oracle.accuracy_score(labels, predicted), **CLOSE)
    assert np.array_equal(scores.confusion, oracle.confusion_matrix(labels, predicted, labels=classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # predictions of classes that are not in the truth
        assert scores.balanced_accuracy == pytest.approx(oracle.balanced_accuracy_score(labels, predicted), **CLOSE)
    each = oracle.precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=np.nan)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.per_class.support), each, strict=True):
        assert ours == pytest.approx(np.asarray(theirs), **CLOSE)
    for average in ("micro", "macro", "weighted"):
        counted = classes if average == "micro" else np.unique(labels)  # macro: the classes that have images
        theirs = oracle.precision_recall_fscore_support(
            labels, predicted, labels=counted, average=average, zero_division=0
        )[:3]
        ours = [scores.score(f"{average}_{name}") for name in ("precision", "recall", "f1")]
        assert ours == pytest.approx(list(theirs), **CLOSE)


@settings(max_examples=100, deadline=None)
@given(cases(min_classes=3))
def test_top_k_equals_scikit_learn(case):
    # scikit-learn ranks the higher of two tied classes first, ours the lower: so it sees the classes in reverse
    probabilities, labels = case
    n_classes = probabilities.shape[1]
    scores = scored(probabilities, labels, top_k=(1, 2, 5))
    for k in (1, 2):
        theirs = oracle.top_k_accuracy_score(
            n_classes - 1 - labels, probabilities[:, ::-1], k=k, labels=range(n_classes)
        )
        assert scores.top_k[k] == pytest.approx(theirs, **CLOSE)
    assert scores.top_k[1] == scores.accuracy == scores.top_1
    assert scores.top_5 == (1.0 if n_classes <= 5 else scores.top_k[5])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_rankings_and_curves_equal_scikit_learn(case):
    probabilities, labels = case
    scores = scored(probabilities, labels)
    average, areas = [], []
    for i in range(probabilities.shape[1]):
        positive, column = labels == i, probabilities[:, i]
        if not positive.any():
            assert np.isnan([scores.ap[i], scores.auroc[i]]).all()
            continue
        average.append(oracle.average_precision_score(positive, column))
        assert scores.ap[i] == pytest.approx(average[-1], **CLOSE)
        curve, theirs = scores.pr(i), oracle.precision_recall_curve(positive, column, drop_intermediate=False)
        for mine, other in zip((curve.precision, curve.recall, curve.thresholds), theirs, strict=True):
            assert mine == pytest.approx(other, **CLOSE)
        if positive.all():
            assert np.isnan(scores.auroc[i])
            assert np.isnan(scores.roc(i).false_positive_rate).all()
            continue
        areas.append(oracle.roc_auc_score(positive, column))
        assert scores.auroc[i] == pytest.approx(areas[-1], **CLOSE)
        curve, theirs = scores.roc(f"c{i}"), oracle.roc_curve(positive, column, drop_intermediate=False)
        for mine, other in zip(
            (curve.false_positive_rate, curve.true_positive_rate, curve.thresholds), theirs, strict=True
        ):
            assert mine == pytest.approx(other, **CLOSE)
    assert scores.map == pytest.approx(np.mean(average), **CLOSE)
    assert scores.auroc_macro == pytest.approx(np.mean(areas) if areas else np.nan, **CLOSE)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_probability_scores_equal_scikit_learn(case):
    probabilities, labels = case
    scores, classes = scored(probabilities, labels), range(probabilities.shape[1])
    assert scores.log_loss == pytest.approx(oracle.log_loss(labels, probabilities, labels=classes), **CLOSE)
    brier = oracle.brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False)
    assert scores.brier == pytest.approx(brier, **CLOSE)
    right, confidence = probabilities.argmax(axis=1) == labels, probabilities.max(axis=1)
    accuracy, mean = calibration.calibration_curve(right, confidence, n_bins=15)
    full = scores.reliability.n > 0
    assert scores.reliability.accuracy[full] == pytest.approx(accuracy, **CLOSE)
    assert scores.reliability.confidence[full] == pytest.approx(mean, **CLOSE)
    assert np.isnan(scores.reliability.accuracy[~full]).all()
    shares = scores.reliability.n[full] / len(labels)
    assert scores.ece == pytest.approx(float(np.sum(shares * np.abs(accuracy - mean))), **CLOSE)


def test_multiclass_auroc_equals_scikit_learn():
    probabilities, labels = predictions(n=300, n_classes=5)
    theirs = oracle.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert scored(probabilities, labels).auroc_macro == pytest.approx(theirs, **CLOSE)


def test_certain_mistakes_have_a_finite_log_loss():
    probabilities, labels = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1])
    assert scored(probabilities, labels).log_loss == pytest.approx(
        oracle.log_loss(labels, probabilities, labels=[0, 1])
    )


def test_single_precision_is_scored_in_double():
    probabilities, labels = predictions(n=500, n_classes=8)
    single = probabilities.astype(np.float32)
    ours, theirs = scored(single, labels), scored(single.astype(np.float64), labels)
    assert ours.probabilities.dtype == np.float32
    assert ours.log_loss == theirs.log_loss
    assert ours.brier == theirs.brier
    assert ours.map == theirs.map


def test_chunks_do_not_change_a_score(monkeypatch):
    probabilities, labels = predictions(n=97, n_classes=7, digits=1)
    whole = scored(probabilities, labels)
    monkeypatch.setattr(metrics, "_CHUNK_VALUES", 50)
    parts = scored(probabilities, labels)
    assert {n: parts.score(n) for n in parts.score_names()} == pytest.approx(
        {n: whole.score(n) for n in whole.score_names()}, **CLOSE
    )
    assert np.array_equal(parts.ap, whole.ap)


def test_one_class_only():
    scores = scored(np.ones((4, 1)), [0, 0, 0, 0])
    assert (scores.accuracy, scores.macro_f1, scores.map, scores.log_loss) == pytest.approx((1, 1, 1, 0))
    assert np.isnan(scores.auroc_macro)
