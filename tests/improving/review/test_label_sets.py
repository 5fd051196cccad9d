"""The review queue of images with sets of labels: labels that are missing or wrong, doubt, and disagreement."""

from __future__ import annotations

import numpy as np
import pytest

import onlineml as oml
from onlineml.improving.review.queue import review_queue
from tiny_labels import SUBSETS, knowing_model, label_project, photo_of

# photo 3 shows red, 4 and 11 blue and red, 5 green and red
WRONG = {3: ["blue", "red"], 11: ["red"], 5: []}
SAID = {3: {"without blue"}, 11: {"with blue"}, 5: {"with green", "with red"}}
SPLITS = {"train": 56, "val": 21, "test": 21}


@pytest.fixture(scope="module")
def project(tmp_path_factory, decoded_photos):
    return label_project(tmp_path_factory.mktemp("wrong"), splits=SPLITS, labels=WRONG)


@pytest.fixture(scope="module")
def model(project):
    return knowing_model(project.freeze())


def test_missing_and_wrong_labels_are_found(project, model):
    queue = review_queue(project, model=model, n=3, random_share=0)

    found = {item.image_id: {why.suggestion for why in item.whys if why.reason == "label error"} for item in queue}
    assert found == {photo_of(project, i): said for i, said in SAID.items()}


def test_images_that_nobody_annotated_are_uncertain_and_no_error(tmp_path, decoded_photos):
    unseen = {8: None, 60: None}
    project = label_project(tmp_path, labels=unseen)
    queue = review_queue(project, model=knowing_model(project.freeze()), n=50, random_share=0)

    found = {item.image_id: [why.reason for why in item.whys] for item in queue}
    for number in unseen:
        assert "uncertain" in found[photo_of(project, number)]
        assert "label error" not in found[photo_of(project, number)]
        (item,) = [one for one in queue if one.image_id == photo_of(project, number)]
        assert item.suggestion in SUBSETS[number % len(SUBSETS)]
    others = [reasons for image_id, reasons in found.items() if image_id not in {photo_of(project, i) for i in unseen}]
    assert not any("uncertain" in reasons for reasons in others)


def test_two_models_that_disagree(project, model):
    other = knowing_model(project.freeze())
    head = other.head
    head.weight.data[0] *= -1  # it says of blue the opposite
    head.bias.data[0] *= -1
    data = project.freeze()
    queue = review_queue(project, model=model, against=other, data=data, n=98, random_share=0)

    scores = {
        item.image_id: max((w.score for w in item.whys if w.reason == "disagreement"), default=0) for item in queue
    }
    p = {row.uri: dict(row.top)["blue"] for row in oml.predict(model, data.urls())}
    expected = dict(zip(data.column("image_id"), [abs(p[url] - 0.5) for url in data.urls()], strict=True))
    ids = [image_id for image_id in scores if scores[image_id] > 0]
    order = np.argsort([-scores[i] for i in ids])
    assert [expected[ids[i]] for i in order] == pytest.approx(
        sorted((expected[i] for i in ids), reverse=True), abs=1e-3
    )


def test_suggestions_are_under_the_names_that_classes_have_now(tmp_path, decoded_photos):
    project = label_project(tmp_path, labels={3: []})
    model = knowing_model(project.freeze())
    project.classes.rename("red", "scarlet")
    queue = review_queue(project, model=model, n=1, random_share=0)

    assert [(item.image_id, item.suggestion) for item in queue] == [(photo_of(project, 3), "with scarlet")]
