"""Which classes an image's annotator could know, against histories worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

import onlineml as oml
from onlineml.improving.challenger.known_classes import known_classes
from tiny_boxes import boxes_manifest, drawn

RED, BLUE = [("red", (5, 5, 30, 30))], [("blue", (40, 40, 60, 60))]


@pytest.fixture
def project(tmp_path):
    project = oml.Project.create(str(tmp_path / "project"), task="detection", class_names=("blue",))
    photos = [("train", drawn((64, 64), RED, seed=i), RED) for i in range(3)]
    project.add(boxes_manifest(tmp_path / "photos", photos))  # brings green and red
    return project


def known(project):
    data = project.freeze()
    table = known_classes(project.labels.state(), data)
    ids = data.column("image_id").tolist()
    return {
        image_id: {data.class_names[c] for c in np.flatnonzero(row)} for image_id, row in zip(ids, table, strict=True)
    }


def test_of_an_empty_project(tmp_path):
    empty = oml.Project.create(str(tmp_path / "empty"), task="detection", class_names=("a",))
    data = oml.Manifest(empty.labels.state().table, ("a",), task="detection")

    assert known_classes(empty.labels.state(), data).shape == (0, 1)


def test_a_class_that_came_later_is_unknown_to_images_that_nobody_saw_since(project):
    assert set(map(frozenset, known(project).values())) == {frozenset({"blue", "green", "red"})}

    project.classes.add("yellow")
    project.labels.set("image-0", ([[5, 5, 30, 30], [40, 40, 60, 60]], ["red", "yellow"]))
    project.labels.accept("image-1")

    everything = {"blue", "green", "red", "yellow"}
    assert known(project) == {"image-0": everything, "image-1": everything, "image-2": everything - {"yellow"}}


def test_a_class_that_was_renamed_is_as_old_as_before(project):
    project.classes.rename("red", "scarlet")

    assert set(map(frozenset, known(project).values())) == {frozenset({"blue", "green", "scarlet"})}


def test_a_dataset_that_was_frozen_between_changes_nothing(project):
    project.classes.add("yellow")
    project.labels.set("image-0", ([[40, 40, 60, 60]], ["yellow"]))
    before = known(project)
    project.labels.compact()

    assert known(oml.Project.open(project.url)) == before
    assert "yellow" not in before["image-1"]
