"""A project without any label: what is asked for first, and what a head of the answers makes of the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import onlineml as oml
from late import Late
from onlineml.improving.review import few_labels
from onlineml.improving.review.queue import review_queue
from tiny import CLASSES, make_photos
from tiny_projects import FACTORY

linear_model = Late("sklearn.linear_model")


def colour_embedder():
    made = oml.MultilabelClassifier(class_names=("anything",), backbone=FACTORY)
    made.size_hw = (32, 32)
    return made.eval()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(few_labels, "embedder", colour_embedder)


def unlabelled(folder, *, task="classification", classes=(), splits=("train", "val", "test")):
    """A project of photos that nobody annotated, and the colour of each."""
    make_photos(folder / "photos", counts=dict.fromkeys(splits, 6))
    found = oml.Manifest.from_folders(str(folder / "photos"))
    truth = dict(zip(found.column("image_id").tolist(), found.column("label").tolist(), strict=True))
    table = found.table.drop_columns(["label"])
    project = oml.Project.create(str(folder / "project"), task=task, class_names=classes)
    project.add(oml.Manifest(table, root=found.root, task=task))
    state = project.labels.state().table
    return project, {str(i): truth[i] for i in state["image_id"].to_pylist()}


@pytest.fixture
def project_and_truth(tmp_path, decoded_photos):
    return unlabelled(tmp_path)


def splits_of(project):
    table = project.labels.state().table
    return dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))


def test_the_first_handful_shows_every_class_and_a_part_of_val_and_test_at_random(project_and_truth):
    project, truth = project_and_truth

    queue = review_queue(project, n=10)

    split = splits_of(project)
    asked = [item.image_id for item in queue if not item.is_random]
    assert len(queue) == 10
    assert {truth[image_id] for image_id in asked[:3]} == set(CLASSES)
    assert {split[image_id] for image_id in asked} == {"train"}
    assert {split[item.image_id] for item in queue if item.is_random} <= {"val", "test"}
    assert queue.n_random == 2
    assert {item.suggestion for item in queue} == {""}
    assert "many photos look like it" in str(queue)
    assert "many photos look like it" in queue._repr_html_()


def test_answers_make_classes_and_suggest_the_rest_which_stays_without_a_label(project_and_truth):
    project, truth = project_and_truth
    first = [item.image_id for item in review_queue(project, n=6, random_share=0)]
    for name in CLASSES:
        project.classes.add(name)
    project.labels.set({image_id: truth[image_id] for image_id in first})

    queue = review_queue(project, n=12, random_share=0)

    assert not {item.image_id for item in queue} & set(first)
    assert [item.suggestion for item in queue] == [truth[item.image_id] for item in queue]
    sure = queue[0].whys[0].confidence
    said = f"model of 6 answers says {queue[0].suggestion}, {sure:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    assert said in str(queue[0])
    labels = project.labels.state().table
    given = {i for i, own in zip(labels["image_id"].to_pylist(), labels["label"].to_pylist(), strict=True) if own}
    assert given == set(first)
    assert len(project.labels.state().suggestions) == 0


def test_test_answers_do_not_teach_the_head(project_and_truth):
    project, truth = project_and_truth
    for name in CLASSES:
        project.classes.add(name)
    tests = [image_id for image_id, own in splits_of(project).items() if own == "test"]
    project.labels.set({image_id: truth[image_id] for image_id in tests})

    assert {item.reason for item in review_queue(project, n=5, random_share=0)} == {"typical"}


def test_as_long_as_one_class_is_answered_nothing_is_suggested(project_and_truth):
    project, truth = project_and_truth
    for name in CLASSES:
        project.classes.add(name)
    red = [image_id for image_id, own in truth.items() if own == "red" and splits_of(project)[image_id] == "train"]
    project.labels.set(dict.fromkeys(red, "red"))

    queue = review_queue(project, n=4, random_share=0)

    assert {item.suggestion for item in queue} == {""}
    assert "red" not in {truth[item.image_id] for item in queue.items[:2]}


def test_skipped_photos_are_not_asked_for_again_and_features_are_computed_once(project_and_truth, monkeypatch):
    project, _ = project_and_truth
    first = [item.image_id for item in review_queue(project, n=4, random_share=0)]
    monkeypatch.setattr("onlineml.training.features._computed", lambda *_, **__: iter(()))  # nothing can be computed
    project.labels.skip(first)

    queue = review_queue(project, n=4, random_share=0)

    assert len(queue) == 4
    assert not {item.image_id for item in queue} & set(first)


def test_without_splits_that_measure_all_photos_are_drawn_from(tmp_path, decoded_photos):
    project, _ = unlabelled(tmp_path, splits=("train",))
    queue = review_queue(project, n=10, random_share=0.3)
    assert queue.n_random == 3
    assert len({item.image_id for item in queue}) == len(queue)


def test_sets_of_labels_are_suggested_too(tmp_path, decoded_photos):
    project, truth = unlabelled(tmp_path, task="multilabel", classes=CLASSES)
    first = [item.image_id for item in review_queue(project, n=8, random_share=0)]
    project.labels.set({image_id: [truth[image_id]] for image_id in first})

    queue = review_queue(project, n=8, random_share=0)

    right = [item.suggestion == truth[item.image_id] for item in queue]
    assert np.mean(right) > 0.8
    assert "model of 8 answers says" in str(queue[0])


def test_photos_without_boxes_are_asked_for_by_their_looks(tmp_path, decoded_photos):
    project, truth = unlabelled(tmp_path, task="detection", classes=CLASSES)
    queue = review_queue(project, n=6, random_share=0)
    assert {truth[item.image_id] for item in queue.items[:3]} == set(CLASSES)

    project.labels.set({queue[0].image_id: ([[5, 5, 20, 20]], ["red"])})
    again = review_queue(project, n=6, random_share=0)
    assert queue[0].image_id not in {item.image_id for item in again}
    assert {item.reason for item in again} == {"typical"}


def test_of_many_photos_a_part_is_looked_at_that_new_ones_hardly_change(project_and_truth, monkeypatch):
    project, truth = project_and_truth
    project.classes.add("red")
    known = next(image_id for image_id in sorted(truth) if truth[image_id] == "red")
    project.labels.set(known, "red")
    monkeypatch.setattr(few_labels, "_MOST", 20)
    data = project.freeze()
    rows = np.arange(len(data))

    part = few_labels._at_most(data, rows)
    assert len(part) == 20
    assert known in data.column("image_id")[part]
    fewer = rows[:-5]
    again = few_labels._at_most(data, fewer)
    assert len(set(part) & set(again)) >= 15  # all that are still there
    assert few_labels._at_most(data, rows[:7]).tolist() == rows[:7].tolist()


def test_the_head_is_a_logistic_regression(project_and_truth):
    """Against scikit-learn, with the same penalty of features that are standardised by all photos."""
    project, truth = project_and_truth
    for name in CLASSES:
        project.classes.add(name)
    project.labels.set(truth)
    data = project.freeze()
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(len(data), 5)) + data.label_ids()[:, None] * 0.8).astype(np.float32)
    taught = np.asarray(data.column("split") == "train")

    found = few_labels.judge(data, features, taught)

    table = (features - features.mean(0)) / features.std(0)
    strength = len(CLASSES) / (2 * 1e-2 * taught.sum())  # the mean loss + 1e-2 / C times the squared weights
    peer = linear_model.LogisticRegression(C=strength, max_iter=1000).fit(table[taught], data.label_ids()[taught])
    expected = peer.predict_proba(table)
    np.testing.assert_allclose(found.confidences, expected.max(1), atol=5e-3)
    assert [CLASSES.index(name) for name in found.names] == expected.argmax(1).tolist()
    two = np.sort(expected, axis=1)[:, -2:]
    np.testing.assert_allclose(found.doubts, 1 - (two[:, 1] - two[:, 0]), atol=1e-2)
    assert found.n_answers == taught.sum()
    assert torch.is_grad_enabled()
