"""What goes in is checked, what comes out prints and survives JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_cases import HOSTILE, cases, predictions, same
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.evaluation import ClassificationScores, classification_scores
from onlineml.evaluation.slices import MAX_SLICES, cut

NAMES = ["a", "b"]
EVEN = np.full((3, 2), 0.5)
WRONG = np.array([[0, 0], [1.5, -1.5], [0, 0]])


def test_json_of_nothing_comes_back(nothing):
    assert same(ClassificationScores.from_json(nothing.to_json()), nothing)
    assert json.loads(nothing.to_json())["scores"]["accuracy"] is None


def test_json_comes_back_field_by_field(scores):
    text = scores.to_json()
    back = ClassificationScores.from_json(text)
    assert same(back, scores)
    assert back.to_json() == text
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["scores"]["accuracy"] == scores.accuracy
    rebuilt = np.zeros_like(scores.confusion)
    for truth, predicted, n in content["confusion"]:
        rebuilt[truth, predicted] = n
    assert np.array_equal(rebuilt, scores.confusion)


@settings(max_examples=30, deadline=None)
@given(cases(min_classes=1), st.integers(0, 20))
def test_json_of_any_scores_comes_back(case, n_bootstrap):
    probabilities, labels = case
    names = [f"c{i}" for i in range(probabilities.shape[1])]
    scores = classification_scores(probabilities, labels, names, n_bootstrap=n_bootstrap, slices={"s": labels / 3})
    assert same(ClassificationScores.from_json(scores.to_json()), scores)
    assert str(scores)
    assert scores._repr_html_()


def test_json_may_leave_probabilities_out(scores):
    slim = ClassificationScores.from_json(scores.to_json(arrays=False))
    assert slim.probabilities is None
    assert slim.map == scores.map
    assert "no probabilities" in slim.to_html()
    with pytest.raises(DataError, match="saved without the arrays"):
        slim.roc("cat")


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "not JSON"), ("[]", "Expected .object."), ('{"format": "x"}', "found format 'x'")],
)
def test_other_json_is_refused(text, says):
    with pytest.raises(DataError, match=says):
        ClassificationScores.from_json(text)


def test_later_and_damaged_json_is_refused(scores):
    content = json.loads(scores.to_json())
    with pytest.raises(DataError, match="update onlineml"):
        ClassificationScores.from_json(json.dumps(content | {"format_version": 99}))
    del content["images"]
    with pytest.raises(DataError, match="damaged: KeyError"):
        ClassificationScores.from_json(json.dumps(content))
    bad = json.loads(scores.to_json())
    bad["probabilities"]["dtype"] = "|O"
    with pytest.raises(DataError, match="dtype"):
        ClassificationScores.from_json(json.dumps(bad))


@pytest.mark.parametrize(
    ("probabilities", "labels", "error", "says"),
    [
        (np.full((3, 3), 1 / 3), [0, 1, 0], DataError, r"shape \(3, 3\); expected \(images, 2\)"),
        (EVEN, [0, 1], DataError, "labels has 2 values for 3 rows"),
        (EVEN, [0, 2, -1], UnknownClassError, r"2 of 3 labels.*found -1, 2.*'x1' \(row 1\), 'x2' \(row 2\)"),
        (EVEN, ["a", "z", "b"], UnknownClassError, r"found 'z'.*'x1' \(row 1\)"),
        (EVEN, [None, 0, 1], UnknownClassError, r"found None"),
        (EVEN, [0.5, 0, 1], DataError, "labels has dtype float64"),
        (EVEN * np.array([[1], [np.nan], [np.inf]]), [0, 1, 0], DataError, r"nan or inf in 2 of 3 rows: 'x1'"),
        (
            EVEN + np.array([[0, 0], [1.5, -1.5], [0, 0]]),
            [0, 1, 0],
            DataError,
            r"outside \[0, 1\] in 1 of 3 rows: 'x1'",
        ),
        (EVEN * [[1], [1], [0.5]], [0, 1, 0], DataError, r"a sum other than 1 in 1 of 3 rows: 'x2'.*softmax"),
        (np.full((3, 2), "x"), [0, 1, 0], DataError, "floating-point"),
    ],
)
def test_bad_rows_are_listed(probabilities, labels, error, says):
    with pytest.raises(error, match=says):
        classification_scores(probabilities, labels, NAMES, image_ids=["x0", "x1", "x2"])


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"image_ids": ["x", "x", "y"]}, DataError, r"repeated, such as \['x'\]"),
        ({"image_ids": ["x"]}, DataError, "image_ids has 1 value for 3"),
        ({"uris": ["x"]}, DataError, "uris has 1 value"),
        ({"groups": ["x"]}, ConfigError, "groups has 1 value"),
        ({"slices": {"light": ["x"]}}, DataError, "slice column 'light' has 1 value"),
        ({"top_k": (0,)}, ConfigError, "top_k"),
        ({"n_bootstrap": -1}, ConfigError, "n_bootstrap"),
    ],
)
def test_bad_arguments_are_refused(options, error, says):
    with pytest.raises(error, match=says):
        classification_scores(EVEN, [0, 1, 0], NAMES, **options)


def test_class_names_are_distinct_and_several():
    with pytest.raises(DataError, match=r"\['a'\] more than once"):
        classification_scores(EVEN, [0, 1, 0], ["a", "a"])
    with pytest.raises(DataError, match="class_names is the text 'ab'"):
        classification_scores(EVEN, [0, 1, 0], "ab")


def test_labels_may_be_names_and_probabilities_half_precision():
    scores = classification_scores(EVEN.astype(np.float16), ["a", "b", "a"], NAMES)
    assert scores.labels.tolist() == [0, 1, 0]
    assert scores.predictions.tolist() == [0, 0, 0]  # ties go to the lower id
    assert scores.probabilities.dtype == np.float32


def test_mistakes_are_the_most_confident_first(scores):
    wrong = np.flatnonzero(scores.labels != scores.predictions)
    assert scores.n_mistakes == len(wrong)
    assert [m.score for m in scores.mistakes] == sorted(scores.confidences[wrong], reverse=True)[:100]
    first = scores.mistakes[0]
    row = scores.image_ids.index(first.image_id)
    assert first.uri == scores.uris[row]
    assert first.truth == scores.class_names[scores.labels[row]]
    assert first.predicted == scores.class_names[scores.predictions[row]]
    assert first.truth_score == scores.probabilities[row, scores.labels[row]]


def test_confused_pairs_are_the_largest_off_diagonal_cells(scores):
    pairs = scores.confused_pairs(3)
    off = scores.confusion - np.diag(np.diag(scores.confusion))
    assert [p.n for p in pairs] == sorted(off.ravel(), reverse=True)[:3]
    place = tuple(scores.class_names.index(name) for name in (pairs[0].truth, pairs[0].predicted))
    assert pairs[0].share == pairs[0].n / scores.confusion[place[0]].sum()


def test_tables_as_frames(scores):
    frame = scores.to_frame()
    assert frame.loc["accuracy", "value"] == scores.accuracy
    assert frame.loc["accuracy", "low"] == scores.intervals["accuracy"][0]
    classes = scores.per_class.to_frame()
    assert classes.loc["dog", "recall"] == scores.per_class["dog"]["recall"]
    assert classes.loc["dog", "recall_high"] == scores.per_class["dog"]["recall_interval"][1]
    assert classes.loc["absent", "support"] == 0
    assert len(scores.per_class) == 6
    for look in (lambda: scores.per_class["wolf"], lambda: scores.roc("wolf")):
        with pytest.raises(UnknownClassError, match="'wolf' is not one of the 6 classes"):
            look()


def test_text_names_what_matters(scores, nothing):
    text = str(scores)
    assert f"accuracy {scores.accuracy:.3f} (95 %: " in text
    assert "240 images of the test split in 60 groups, 6 classes" in text
    assert "top-5" in text
    assert "micro" not in text
    lowest = text[text.index("lowest classes") : text.index("mistakes; most often")]
    assert "absent" not in lowest  # a class without images is not one that fails
    assert "dog" in lowest
    assert "accuracy \u2013" in str(nothing)
    assert "nothing is known" in nothing._repr_html_()
    assert repr(nothing) == "<ClassificationScores: accuracy nan on 0 images>"


def test_slices_by_hand():
    labels = [0, 0, 0, 1]
    scores = classification_scores(
        np.eye(2)[[0, 0, 1, 1]], labels, NAMES, slices={"place": ["in", "in", "out", float("nan")]}
    )
    found = [(s.column, s.value, s.n, s.accuracy) for s in scores.by_slice]
    assert found == [("place", "in", 2, 1.0), ("place", "(none)", 1, 1.0), ("place", "out", 1, 0.0)]
    assert scores.by_slice[0].low == pytest.approx(0.025**0.5)


def test_many_numbers_are_cut_at_quartiles_and_many_texts_pooled():
    numbers = [*map(float, range(100)), None]
    codes, names = cut("size", numbers, n_images=101)
    assert names == ["0 to 24", "25 to 49", "50 to 74", "75 to 99", "(none)"]
    assert np.bincount(codes).tolist() == [25, 25, 25, 25, 1]
    assert cut("size", [3, 1, None], n_images=3)[1] == ["1", "3", "(none)"]
    assert cut("flag", [True, False, True], n_images=3)[1] == ["True", "False"]
    texts = [f"v{i}" for i in range(80)] + ["often"] * 3
    codes, names = cut("name", texts, n_images=83)
    assert names[0] == "often"
    assert names[-1] == "(others)"
    assert len(names) == MAX_SLICES + 1
    assert np.bincount(codes)[-1] == 81 - MAX_SLICES


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5), st.integers(-3, 3)), max_size=60))
def test_each_number_lies_in_its_slice(values):
    codes, names = cut("x", values, n_images=len(values))
    for value, code in zip(values, codes, strict=True):
        if value is None:
            assert names[code] == "(none)"
        elif " to " in names[code]:
            low, high = map(float, names[code].split(" to "))
            assert low - 1e-4 <= value <= high + 1e-4  # the names have six digits
        else:
            assert float(names[code]) == pytest.approx(value, rel=1e-5)


def test_same_seed_same_scores_and_importing_is_light():
    probabilities, labels = predictions(n=50, n_classes=3)
    one, other = (classification_scores(probabilities, labels, list("abc"), n_bootstrap=50) for _ in range(2))
    assert one.to_json() == other.to_json()
    code = "import sys, onlineml.evaluation; print({'torch', 'pandas', 'matplotlib', 'PIL'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_hostile_class_name_is_kept_as_it_is(scores):
    assert ClassificationScores.from_json(scores.to_json()).class_names[2] == HOSTILE


@pytest.mark.parametrize(
    ("right", "n", "words"),
    [
        (200, 400, "no better than a model that has learned nothing, which has up to 0.500; train it longer"),
        (5, 8, "too few test images to tell it from a model that has learned nothing"),
        (360, 400, ""),
    ],
    ids=["coin", "few", "good"],
)
def test_scores_doubt_what_may_be_a_guess(right, n, words):
    labels = np.arange(n) % 2
    answers = np.where(np.arange(n) < right, labels, 1 - labels)

    scores = classification_scores(np.eye(2)[answers], labels, NAMES, n_bootstrap=200)

    assert words in scores.doubt()
    assert bool(scores.doubt()) == bool(words)
    assert scores.doubt() in str(scores)


def test_the_same_answer_to_all_has_learned_nothing_however_often_it_is_right():
    labels = np.array([0] * 95 + [1] * 5)

    scores = classification_scores(np.tile([[0.9, 0.1]], (100, 1)), labels, NAMES, n_bootstrap=100)

    assert scores.accuracy == 0.95
    assert "no better than a model that has learned nothing" in scores.doubt()


def test_nothing_and_a_single_class_leave_no_doubt(nothing):
    assert nothing.doubt() == ""
    assert classification_scores(EVEN, np.zeros(3, np.int64), NAMES, n_bootstrap=0).doubt() == ""
