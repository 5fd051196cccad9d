"""The queue of a whole project: what is wrong comes up, what was answered does not, under the names of today."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import onlineml as oml
from onlineml.errors import ConfigError, NotFoundError
from onlineml.improving.review.labels import find_candidates
from onlineml.improving.review.queue import review_queue
from onlineml.training.features import project_store
from tiny import CLASSES
from tiny_projects import colour_model, colour_project, fitted, image_of, labels_of

FLIPS = {"train/red/000.jpg": "blue", "train/green/003.jpg": "red", "val/blue/002.jpg": "green"}


@pytest.fixture
def project(tmp_path, decoded_photos):
    return colour_project(tmp_path, labels=FLIPS)


@pytest.fixture
def model(project):
    return fitted(colour_model(CLASSES), project.freeze())


def test_wrong_labels_are_found_with_the_right_ones_suggested(project, model):
    queue = review_queue(project, model=model, n=20, random_share=0)

    found = {item.image_id: item.suggestion for item in queue}
    assert found == {image_of(project, uri): uri.split("/")[1] for uri in FLIPS}
    assert queue.counts() == {"label error": len(FLIPS)}
    red = next(item for item in queue if item.image_id == image_of(project, "train/red/000.jpg"))
    sure = red.whys[0].confidence
    assert str(red.whys[0]) == f"labelled blue, model says red, {sure:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    assert 0.5 < sure <= 1
    assert queue.n_pool == len(labels_of(project))


def test_the_table_shows_pictures_addresses_and_present_labels(project, model):
    queue = review_queue(project, model=model, n=20, random_share=0)

    frame = queue.to_frame().set_index("image_id")
    for uri, label in FLIPS.items():
        row = frame.loc[image_of(project, uri)]
        assert row["uri"].endswith(uri)
        assert (row["label"], row["suggestion"]) == (label, uri.split("/")[1])
    html = queue._repr_html_()
    assert html.count('src="data:image') == len(FLIPS)
    assert len(html) < 8_000 * len(FLIPS)
    assert all(uri.split("/")[2] in html for uri in FLIPS)
    assert not any(image_id in html for image_id in frame.index)  # nobody reads 32 hex digits


def test_no_address_with_a_signature_is_in_the_table(project, model):
    queue = review_queue(project, model=model, n=2, random_share=0)
    table = queue.data.table
    signed = [f"memory://host/{i}.jpg?X-Amz-Signature=secret" for i in range(len(table))]
    uris = table.set_column(table.column_names.index("uri"), "uri", [signed])
    gone = replace(queue, data=replace(queue.data, table=uris))

    html = gone._repr_html_()  # the pictures cannot be read
    assert "0.jpg" in html
    assert "secret" not in html


def test_only_the_wanted_splits_are_looked_at(project, model):
    queue = review_queue(project, model=model, n=20, random_share=0, splits=("val",))

    assert [item.image_id for item in queue] == [image_of(project, "val/blue/002.jpg")]
    assert queue.n_pool == 18


def test_a_share_is_drawn_at_random_from_what_nobody_answered(project, model):
    queue = review_queue(project, model=model, n=20, random_share=0.5)

    assert queue.n_random == 10
    again = review_queue(project, model=model, n=20, random_share=0.5)
    assert [item.image_id for item in again] == [item.image_id for item in queue]
    other = review_queue(project, model=model, n=20, random_share=0.5, seed=1)
    assert {i.image_id for i in other if i.is_random} != {i.image_id for i in queue if i.is_random}


def test_what_was_answered_is_not_asked_again_unless_it_is_contradicted(project, model):
    first, second, third = (image_of(project, uri) for uri in FLIPS)
    project.labels.set(first, "red")
    project.labels.accept(second)  # wrongly, but somebody looked
    project.labels.skip(third)

    assert len(review_queue(project, model=model, n=20, random_share=0)) == 0

    seen = project.labels.state().revision(second)
    project.labels.set(second, "green", expected_revision=seen, author="ann")
    project.labels.set(second, "blue", expected_revision=seen, author="ben")
    queue = review_queue(project, model=model, n=20, random_share=0)
    assert [(item.image_id, item.reason) for item in queue] == [(second, "conflict")]


def test_images_without_a_label_come_with_what_the_model_takes_them_for(tmp_path, decoded_photos):
    unlabelled = {f"train/red/{i:03}.jpg": None for i in range(4)}
    project = colour_project(tmp_path, labels=unlabelled)
    model = fitted(colour_model(CLASSES), project.freeze())

    queue = review_queue(project, model=model, n=20, random_share=0)

    assert {item.image_id for item in queue} == {image_of(project, uri) for uri in unlabelled}
    assert {item.suggestion for item in queue} == {"red"}
    assert all("uncertain" in [why.reason for why in item.whys] for item in queue)


def test_two_models_that_disagree(project, model):
    other = fitted(colour_model(CLASSES), project.freeze().with_labels({}))
    other.head.weight.data[[0, 1]] = other.head.weight.data[[1, 0]]  # blue and green exchanged
    other.head.bias.data[[0, 1]] = other.head.bias.data[[1, 0]]

    data = project.freeze()
    test = np.flatnonzero(data.column("split") == "test")
    pool = find_candidates(project, [model, other], data, test, lineage={}, seed=0, num_workers=0, max_bad=0)

    (apart,) = [one for one in pool.candidates if one.reason == "disagreement"]
    strongest = pool.rows[[why.row for why in apart.whys[:20]]]
    assert set(data.column("label")[strongest]) == {"blue", "green"}
    queue = review_queue(project, model=model, against=other, n=100, random_share=0, splits=("test",))
    assert "disagreement" in queue.counts()


def test_suggestions_are_under_the_names_that_classes_have_now(project, model):
    project.classes.rename("red", "scarlet")

    queue = review_queue(project, model=model, n=20, random_share=0)

    assert {item.image_id: item.suggestion for item in queue}[image_of(project, "train/red/000.jpg")] == "scarlet"


def test_a_copy_of_an_image_is_not_asked_for_beside_it(tmp_path, decoded_photos):
    project = colour_project(tmp_path, labels={"train/red/000.jpg": None})
    model = fitted(colour_model(CLASSES), project.freeze())
    copy = (tmp_path / "photos" / "train" / "red" / "000.jpg").read_bytes() + b"\0"  # bytes after the end say nothing
    (name,) = project.images.upload([copy], split="train")

    queue = review_queue(project, model=model, n=20, random_share=0)

    assert queue.n_alike == 1
    assert len({name, image_of(project, "train/red/000.jpg")} & {item.image_id for item in queue}) == 1


def test_features_are_computed_once(project, model, monkeypatch):
    review_queue(project, model=model, n=5)
    monkeypatch.setattr("onlineml.training.features._computed", lambda *_, **__: iter(()))  # nothing can be computed

    project.labels.set(image_of(project, "train/red/000.jpg"), "red")
    assert len(review_queue(project, model=model, n=5, random_share=0)) == 2
    assert project_store(project.location, model).folder.url.startswith(project.url)


def test_without_a_champion_the_error_says_what_to_do(project):
    with pytest.raises(NotFoundError, match="publish a model and promote it"):
        review_queue(project, model="champion")


def test_a_model_of_another_task_is_refused(project, trained):
    with pytest.raises(ConfigError, match="task is 'detection'"):
        review_queue(project, model=trained.model)


# ---- detection ----


@pytest.fixture
def boxes_project(tmp_path, trained):
    project = oml.Project.create(str(tmp_path / "project"), task="detection")
    project.add(trained.manifest.select(split=["val", "test"]))
    return project


def test_missed_and_swapped_boxes_are_found_with_their_place_in_the_image(boxes_project, trained):
    rows = boxes_project.labels.state().table.to_pylist()
    lacking, *others = [row for row in rows if len(row["labels"]) >= 2]
    wrong = {lacking["image_id"]: (lacking["boxes_xyxy"][1:], lacking["labels"][1:])}
    for row in others[:4]:
        label = next(name for name in CLASSES if name != row["labels"][1])
        wrong[row["image_id"]] = (row["boxes_xyxy"], [row["labels"][0], label, *row["labels"][2:]])
    data = boxes_project.freeze().with_boxes(wrong)

    queue = review_queue(boxes_project, model=trained.model, data=data, n=40, random_share=0)

    whys = [(item.image_id, why) for item in queue for why in item.whys]
    image_id, missed = next((image_id, why) for image_id, why in whys if why.reason == "missed box")
    assert (image_id, missed.object_row, missed.suggestion) == (lacking["image_id"], -1, lacking["labels"][0])
    assert np.abs(np.array(missed.box_xyxy) - lacking["boxes_xyxy"][0]).max() < 12
    swapped = {image_id: (why.object_row, why.suggestion) for image_id, why in whys if why.reason == "swapped box"}
    assert len(swapped) >= 2
    box = next(why for _, why in whys if why.reason == "swapped box")
    assert str(box).startswith(f"labelled {box.label}, model says {box.suggestion}, ")
    assert box.label != box.suggestion
    assert queue._repr_html_().count('src="data:image') == min(len(queue), 20)
    truth = {row["image_id"]: (1, row["labels"][1]) for row in others[:4]}
    assert swapped.items() <= truth.items()


def test_images_that_nobody_annotated_are_uncertain_and_no_error(boxes_project, trained):
    rows = boxes_project.labels.state().table.to_pylist()
    busy = next(row["image_id"] for row in rows if len(row["labels"]) >= 2)
    data = boxes_project.freeze().with_boxes({busy: None})

    queue = review_queue(boxes_project, model=trained.model, data=data, n=len(rows), random_share=0)

    (item,) = [item for item in queue if item.image_id == busy]
    assert [why.reason for why in item.whys] == ["uncertain"]


def test_a_detector_under_the_names_of_today(boxes_project, trained):
    before = review_queue(boxes_project, model=trained.model, n=40)
    boxes_project.classes.rename("red", "scarlet")

    after = review_queue(boxes_project, model=trained.model, n=40)

    as_named_now = [[replace(w, suggestion=w.suggestion.replace("red", "scarlet")) for w in i.whys] for i in before]
    assert [list(item.whys) for item in after] == as_named_now


def test_two_detectors_of_which_one_finds_nothing(boxes_project, trained):
    blind = oml.ObjectDetector(class_names=CLASSES, seed=3)
    blind.size_hw = trained.model.input_size_hw()

    queue = review_queue(boxes_project, model=trained.model, against=blind, n=100, random_share=0, splits=("test",))

    with_objects = {
        r["image_id"] for r in boxes_project.labels.state().table.to_pylist() if r["labels"] and r["split"] == "test"
    }
    apart = {item.image_id for item in queue for why in item.whys if why.reason == "disagreement"}
    assert apart == with_objects
