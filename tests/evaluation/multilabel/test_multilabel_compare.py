"""Two multi-label models compared image by image, and at the gate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from evaluation_cases import Page, pixels
from multilabel_cases import NAMES, answers
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation import MultilabelScores, classification_scores, compare, multilabel_scores
from onlineml.improving.gate import NotWorse, gate

#                 right in both | fixed | broken | wrong in both, and now more so
TRUTH = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 1]], bool)
FIRST = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 1, 0]])
SECOND = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])


def scored(given, truth=TRUTH, names=NAMES, **options):
    options = {"image_ids": [f"image-{i}" for i in range(len(truth))], "n_bootstrap": 0, **options}
    return multilabel_scores(0.1 + 0.8 * np.asarray(given), truth, names, **options)


def two_models(*, n=300, gain=(1.0, 3.0), **options):
    probabilities, truth = answers(n=n, n_classes=4, gain=gain[0], seed=1)
    better = answers(n=n, n_classes=4, gain=gain[1], seed=1)[0]
    options = {"n_bootstrap": 0, "groups": [i // 3 for i in range(n)], **options}
    return [multilabel_scores(p, truth, list("abcd"), **options) for p in (probabilities, better)]


@pytest.fixture(scope="module")
def compared():
    slices = {"camera": ["old", "old", "new", "new"]}
    return compare(scored(FIRST, slices=slices), scored(SECOND, slices=slices))


def test_nothing_compares_to_nothing(no_labels):
    compared = compare(no_labels, no_labels)

    assert compared.n_images == compared.n_fixed == compared.n_broken == 0
    assert math.isnan(compared.difference)
    assert "no images" in str(compared)
    assert compared.to_html()
    assert compared._repr_html_()


def test_a_model_differs_from_itself_by_nothing():
    one, _ = two_models()
    compared = compare(one, one, n_resamples=200)

    assert all(change.difference == 0 for change in compared.scores)
    assert all(change.low < 0 < change.high for change in compared.scores if change.name in compared.evidence)
    assert all(part.difference == 0 and part.fixed == part.broken == 0 for part in compared.by_class)
    assert compared.changed == ()
    assert compared.fixed_ids == compared.broken_ids == ()
    assert gate(one, one, n_resamples=200).verdict == "inconclusive"


def test_images_are_counted_as_by_hand(compared):
    assert (compared.n_items, compared.n_fixed, compared.n_broken, compared.n_right) == (4, 1, 1, 1)
    assert not compared.of_objects
    assert compared.score("subset_accuracy").a == compared.score("subset_accuracy").b == 0.5
    assert compared.mistakes_a.tolist() == [0, 1, 0, 1]
    assert compared.mistakes_b.tolist() == [0, 0, 1, 3]
    assert compared.fixed_ids == ("image-1",)
    assert compared.broken_ids == ("image-2", "image-3")  # the fourth was wrong, and has more wrong labels now


def test_the_main_score_is_map_as_by_hand(compared):
    assert compared.main == "map"
    first = (1 + (1 / 1 + 2 / 4) / 2 + 1 / 4) / 3  # tied images count together: the missed dog is one of four
    second = ((2 / 3 + 2 / 3) / 2 + (1 / 1 + 2 / 4) / 2 + 1 / 4) / 3
    assert compared.score("map").a == pytest.approx(first)
    assert compared.score("map").b == pytest.approx(second)
    assert compared.difference == pytest.approx(-1 / 9)


def test_classes_and_slices_are_counted_as_by_hand(compared):
    classes = [(p.value, p.n, p.fixed, p.broken, p.a, p.b) for p in compared.by_class]
    assert classes == [
        ("cat", 2, 0, 0, 1.0, pytest.approx(0.8)),
        ("dog", 2, 1, 1, pytest.approx(2 / 3), pytest.approx(2 / 3)),
        ("fox", 1, 0, 0, 0.0, 0.0),
    ]
    assert compared.class_score == "F1"
    slices = [(p.column, p.value, p.n, p.fixed, p.broken) for p in compared.by_slice]
    assert slices == [("camera", "new", 2, 0, 1), ("camera", "old", 2, 1, 0)]
    f1 = [(2 * 1 / (2 + 1), 2 * 0 / (2 + 2)), (2 * 2 / (3 + 2), 1.0)]  # labels found, true and given of two images
    assert [(p.a, p.b) for p in compared.by_slice] == [pytest.approx(pair) for pair in f1]
    assert compared.slice_score == "F1"


def test_what_was_given_to_changed_images_those_first_that_changed_most(compared):
    texts = [tuple(vars(image).values())[:6] for image in compared.changed]
    assert texts == [
        ("image-3", "", "broken", "dog, fox", "dog", "cat"),
        ("image-2", "", "broken", "no label", "no label", "fox"),
        ("image-1", "", "fixed", "cat, dog", "cat", "cat, dog"),
    ]


def test_scores_are_those_of_each_model_alone():
    a, b = two_models()
    compared = compare(a, b, n_resamples=200)

    names = ["map", "micro_f1", "macro_f1", "subset_accuracy", "samples_f1", "hamming_loss", "log_loss"]
    assert [change.name for change in compared.scores] == names
    for change in compared.scores:
        assert change.a == pytest.approx(a.score(change.name), abs=1e-12)
        assert change.b == pytest.approx(b.score(change.name), abs=1e-12)
        assert change.difference == pytest.approx(change.b - change.a, abs=1e-12)
        assert change.low <= change.difference <= change.high
        assert (change.low > 0) == (change.name not in {"hamming_loss", "log_loss"})
    assert list(compared.evidence) == names[:4]
    assert compared.to_frame().loc["map", "b"] == pytest.approx(b.map)


def test_the_seed_decides():
    models = two_models(n=60)
    one, other, third = (compare(*models, n_resamples=100, seed=seed) for seed in (1, 1, 2))
    assert one.scores == other.scores
    assert one.scores != third.scores


def test_the_order_of_images_and_classes_does_not_matter():
    rows, columns = [2, 0, 3, 1], [2, 0, 1]
    ids = [f"image-{i}" for i in rows]
    shuffled = scored(SECOND[rows][:, columns], TRUTH[rows][:, columns], [NAMES[k] for k in columns], image_ids=ids)
    plain, moved = (compare(scored(FIRST), b) for b in (scored(SECOND), shuffled))

    assert plain.scores == moved.scores
    assert plain.by_class == moved.by_class
    assert plain.changed == moved.changed


def test_new_classes_are_told_apart():
    more = np.hstack([SECOND, [[0], [1], [0], [0]]])
    truth = np.hstack([TRUTH, [[0], [1], [0], [0]]])
    alone = np.array([[0, 0, 0, 1]])
    b = scored(np.vstack([more, alone]), np.vstack([truth, alone]), (*NAMES, "wolf"))
    compared = compare(scored(FIRST), b)

    assert compared.n_images == 4  # the fifth shows a wolf alone
    assert [(new.name, new.n, new.score) for new in compared.new_classes] == [("wolf", 2, 1.0)]
    assert compared.scores == compare(scored(FIRST), scored(SECOND)).scores
    assert "wolf" in str(compared)


def test_results_about_other_things_are_refused(no_labels):
    with pytest.raises(DataError, match="4 images are in the first result alone"):
        compare(scored(FIRST), scored(SECOND, image_ids=list("wxyz")))
    with pytest.raises(DataError, match="1 image has different labels in the truth: 'image-0'"):
        compare(scored(FIRST), scored(SECOND, TRUTH ^ ([[True]] + [[False]] * 3) * np.array([1, 0, 0], bool)))
    with pytest.raises(DataError, match="different groups"):
        compare(scored(FIRST), scored(SECOND, groups=list("aabb")))
    with pytest.raises(DataError, match="lacks 1 class of the first: 'fox'"):
        compare(scored(FIRST), scored(SECOND[:, :2], TRUTH[:, :2], NAMES[:2]))
    with pytest.raises(DataError, match="cannot be compared with a ClassificationScores"):
        compare(no_labels, classification_scores(np.zeros((0, 2)), [], ["a", "b"]))
    with pytest.raises(ConfigError, match="n_resamples is -1"):
        compare(no_labels, no_labels, n_resamples=-1)


def test_without_probabilities_the_labels_are_compared():
    a, b = two_models(n=60)
    compared = compare(MultilabelScores.from_json(a.to_json(arrays=False)), b)

    assert "map" not in compared.evidence
    assert compared.main == "micro_f1"
    assert gate(a, compared.a, n_resamples=100).to_record()["score"] == "micro_f1"
    assert compared.score("micro_f1").b == pytest.approx(b.micro_f1)
    assert compared.to_html()


def test_pages_and_figures(compared):
    page = Page(compared.to_html())
    assert not page.open
    assert "What was broken" in page.text
    assert "F1" in page.text
    for name in ("classes", "slices", "broken", "fixed"):
        assert pixels(compared.figure(name)).size


@pytest.mark.parametrize("score", [None, "micro_f1", "macro_f1", "subset_accuracy"])
def test_the_gate_decides_on_a_comparison(score):
    a, b = two_models()

    assert gate(a, b, n_resamples=200, score=score).promoted
    worse = gate(b, a, n_resamples=200, score=score)
    assert worse.verdict == "reject"
    assert worse.drops
    assert "became worse" in str(worse)
    assert worse.to_record()["score"] == (score or "map")
    assert worse._repr_html_()


def test_a_class_that_is_no_longer_given_blocks():
    a, _ = two_models(gain=(3.0, 3.0))
    lost = a.probabilities * [1, 1, 1, 0]
    b = multilabel_scores(lost, a.truth, a.class_names, groups=a.groups, n_bootstrap=0)
    a = multilabel_scores(a.probabilities, a.truth, a.class_names, groups=a.groups, n_bootstrap=0)

    result = gate(a, b, n_resamples=200, policy=NotWorse(0.5))
    assert result.verdict == "reject"
    assert [t.part.value for t in result.drops] == ["d"]


def test_a_gain_that_leaves_hardly_an_image_all_right_is_promoted():
    """Of eight labels, the ninth is wrong on every image with both models; the challenger ranks the eight better."""
    probabilities, truth = answers(n=120, n_classes=8, gain=1.5, seed=3)
    better = answers(n=120, n_classes=8, gain=2.5, seed=3)[0]
    truth = np.hstack([truth, np.arange(120)[:, None] % 2 == 0])
    a, b = (
        multilabel_scores(np.hstack([p, 1.0 - truth[:, 8:]]), truth, list("abcdefghi"), n_bootstrap=0)
        for p in (probabilities, better)
    )
    assert a.subset_accuracy == b.subset_accuracy == 0

    promoted = gate(a, b, n_resamples=200)

    assert promoted.promoted
    assert promoted.reasons[0].startswith("mean average precision ")
    assert gate(a, b, n_resamples=200, score="subset_accuracy").verdict == "inconclusive"
