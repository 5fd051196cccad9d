"""Multi-label scores print, draw, and survive JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation_cases import HOSTILE, Page, pixels, same
from multilabel_cases import NAMES, answers, label_cases
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.evaluation import MultilabelScores, multilabel_scores
from onlineml.evaluation.render.card import model_card
from onlineml.evaluation.render.gallery import CONFUSION, MISSED, pair_text
from onlineml.storage import io
from onlineml.widgets import Results


def test_one_image_has_and_two_have():
    truth = np.array([[True, False], [False, False], [True, True], [True, False]])
    given = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.1], [0.1, 0.1]])
    scores = multilabel_scores(given, truth, ["cat", "dog"], n_bootstrap=0)

    assert "1 has none, and 2 are given none." in str(scores)


def test_json_of_nothing_comes_back(no_labels):
    assert same(MultilabelScores.from_json(no_labels.to_json()), no_labels)
    assert json.loads(no_labels.to_json())["scores"]["map"] is None


def test_json_comes_back_field_by_field(labelled):
    text = labelled.to_json()
    back = MultilabelScores.from_json(text)

    assert same(back, labelled)
    assert back.to_json() == text
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["scores"]["map"] == labelled.map
    assert content["thresholds"]["cat"] == 0.4
    rebuilt = np.zeros_like(labelled.confusion)
    for truth, predicted, n in content["confusion"]:
        rebuilt[truth, predicted] = n
    assert np.array_equal(rebuilt, labelled.confusion)


@settings(max_examples=30, deadline=None)
@given(label_cases(), st.integers(0, 20))
def test_json_of_any_scores_comes_back(case, n_bootstrap):
    probabilities, truth = case
    names = [f"c{i}" for i in range(truth.shape[1])]
    scores = multilabel_scores(probabilities, truth, names, n_bootstrap=n_bootstrap, slices={"s": truth[:, 0]})

    assert same(MultilabelScores.from_json(scores.to_json()), scores)
    assert str(scores)
    assert scores._repr_html_()


def test_json_may_leave_probabilities_out(labelled):
    slim = MultilabelScores.from_json(labelled.to_json(arrays=False))

    assert slim.probabilities is None
    assert slim.map == labelled.map
    assert np.array_equal(slim.predictions, labelled.predictions)
    assert "no probabilities" in slim.to_html()
    with pytest.raises(DataError, match="saved without the arrays"):
        slim.pr("cat")


def test_dict_has_the_numbers_and_no_images(labelled):
    content = labelled.to_dict()

    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["scores"]["micro_f1"] == labelled.micro_f1
    assert content["per_class"][5]["ap"] is None
    assert content["per_class"][0]["name"] == "cat"
    assert not {"images", "probabilities", "thumbnails", "worst"} & set(content)


def test_damaged_json_is_refused(labelled):
    content = json.loads(labelled.to_json())
    with pytest.raises(DataError, match="update onlineml"):
        MultilabelScores.from_json(json.dumps(content | {"format_version": 99}))
    with pytest.raises(DataError, match="damaged"):
        MultilabelScores.from_json(json.dumps(content | {"images": {}}))
    content["images"]["truth"]["dtype"] = "|O"
    with pytest.raises(DataError, match="dtype"):
        MultilabelScores.from_json(json.dumps(content))


def test_words_and_numbers_in_print(labelled):
    text = str(labelled)

    assert text.startswith(f"mAP {labelled.map:.3f} (95 %: ")
    assert "240 images of the test split in 60 groups, 6 classes" in text
    assert "in the place of" in text
    assert repr(labelled) == f"<MultilabelScores: mAP {labelled.map:.3f}, F1 {labelled.micro_f1:.3f} on 240 images>"
    assert labelled.to_frame().loc["map"].tolist() == [labelled.map, *labelled.interval("map")]
    assert labelled.per_class.to_frame().loc["cat", "ap_low"] == labelled.per_class.ap_interval[0, 0]
    assert labelled.summary()["micro_f1"] == labelled.micro_f1
    pairs = labelled.confused_pairs(3)
    place = tuple(labelled.class_names.index(name) for name in (pairs[0].truth, pairs[0].predicted))
    assert pairs[0].n == labelled.confusion[place]


def test_words_where_nothing_is_given_or_there():
    rare = np.full((4, 2), 0.1)
    assert "it gives no labels" in str(multilabel_scores(rare, rare < 1, ["a", "b"]))
    assert "all 8 labels that it gives are wrong" in str(multilabel_scores(1 - rare, rare > 1, ["a", "b"]))


@pytest.mark.parametrize("which", ["labelled", "no_labels"])
def test_page_and_cell_are_well_formed_and_hold_no_markup_of_users(which, request):
    scores = request.getfixturevalue(which)
    for text in (scores.to_html(), scores._repr_html_()):
        page = Page(text)
        assert not page.open
        assert "script" not in {tag for tag, _ in page.elements}
    if which == "labelled":
        page = Page(scores.to_html())
        assert "Which classes fail" in page.text
        assert "Where it is better or worse" in page.text
        assert HOSTILE.split(" ")[0] in page.text
        assert "<i>old</i>" in page.text  # told, and no markup
        assert sum(tag == "img" for tag, _ in page.elements) == 48


def test_report_is_written(labelled, tmp_path):
    target = labelled.save_report(tmp_path)
    assert target == str(tmp_path / "report.html")
    assert io.read_bytes(target).decode() == labelled.to_html()


def test_model_card(labelled, no_labels):
    card = model_card({"name": "street|<b>", "class_names": labelled.class_names}, labelled)
    assert "# street\\|&lt;b&gt;" in card
    assert "Gives an image any number of labels, of 6 classes: cat" in card
    assert labelled.expectation() in card
    assert f"| mean average precision | {labelled.map:.3f} |" in card
    assert "| class | images | F1 | precision | recall | AP | threshold |" in card
    assert " in the place of " in card
    assert "<script" not in card
    assert "nothing is known" in model_card({}, no_labels)


@pytest.mark.parametrize("which", ["labelled", "no_labels"])
def test_every_figure_is_drawn(which, request):
    scores = request.getfixturevalue(which)
    assert "ap" in scores.figure_names
    for name in scores.figure_names:
        assert pixels(scores.figure(name)).size
    with pytest.raises(ConfigError, match="no figure 'roc'; choose one of confusion"):
        scores.figure("roc")


def test_the_matrix_and_the_gallery_speak_of_labels_not_of_objects(labelled):
    axes = labelled.figure("confusion").axes[0]
    assert axes.get_yticklabels()[-1].get_text() == "not shown"
    assert axes.get_xticklabels()[-1].get_text() == "missed"
    pairs = labelled.gallery().facet("pair").values
    only_false = [pair for pair in pairs if pair.startswith("not shown ")]
    assert len(only_false) == np.count_nonzero(labelled.confusion[-1])
    matrix = Results(labelled).static_html()
    assert "not shown" in matrix
    assert "no object" not in labelled.to_html() + matrix


def test_many_classes_are_drawn_and_listed():
    probabilities, truth = answers(n=60, n_classes=40)
    scores = multilabel_scores(probabilities, truth, [f"c{i}" for i in range(40)], n_bootstrap=20)

    assert "the other 28 classes" in Page(scores.to_html()).text
    assert pixels(scores.figure("confusion")).size
    assert pixels(scores.figure("ap")).size


def test_curves_of_a_class(labelled):
    curve = labelled.pr("cat")
    assert curve.recall[0] == 1.0
    assert np.array_equal(labelled.pr(0).precision, curve.precision)
    with pytest.raises(UnknownClassError, match="'wolf' is not one of the 6 classes"):
        labelled.pr("wolf")


def test_worst_images_are_wrong_and_the_most_surprising_first(labelled):
    losses = [image.loss for image in labelled.worst]
    assert losses == sorted(losses, reverse=True)
    assert all(image.missed or image.false for image in labelled.worst)
    for image in labelled.worst:
        row = labelled.image_ids.index(image.image_id)
        assert image.truth == tuple(labelled.class_names[k] for k in np.flatnonzero(labelled.truth[row]))
        scores = [label.score for label in image.false]
        assert scores == sorted(scores, reverse=True)


def test_scores_are_frozen_and_take_thumbnails(labelled):
    with pytest.raises(dataclasses.FrozenInstanceError):
        labelled.map = 1.0
    assert labelled.with_thumbnails({"image-0": b"x"}).thumbnails == {"image-0": b"x"}
    assert multilabel_scores(*answers(n=5, n_classes=3), NAMES, n_bootstrap=0).intervals["map"] == pytest.approx(
        (np.nan, np.nan), nan_ok=True
    )


@pytest.mark.parametrize("which", ["labelled", "no_labels"])
def test_every_cell_of_the_confusion_is_found_in_the_gallery(which, request):
    scores = request.getfixturevalue(which)
    gallery = scores.gallery()

    assert len(gallery) == scores.n_images
    items = gallery.items(range(len(gallery)))
    assert [item.tone for item in items] == ["bad"] * scores.n_wrong + ["good"] * (scores.n_images - scores.n_wrong)
    cells = gallery.facet(CONFUSION)
    counts = dict(zip(cells.values, cells.counts(), strict=True))
    rows, columns = (*scores.class_names, "not shown"), (*scores.class_names, MISSED)
    expected = {
        pair_text(rows[i], columns[j]): int(scores.confusion[i, j]) for i, j in np.argwhere(scores.confusion).tolist()
    }
    assert counts == expected
