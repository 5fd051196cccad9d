"""Sets of labels: in manifests, in logs where people add and remove labels at once, in a project up to a dataset."""

from __future__ import annotations

import io as buffers
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from log_entries import WrittenLog
from onlineml.data.annotations.copies import propagate_to_duplicates
from onlineml.data.annotations.label_sets import as_sets
from onlineml.data.kinds import LABELS
from onlineml.data.kinds.labels import multi_hot
from onlineml.data.manifest.changes import changes
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, StorageError, UnknownClassError
from onlineml.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("cat", "dog", "owl")
LISTS = pa.list_(pa.string())


def manifest_of(labels: list[Any], **columns: Any) -> Manifest:
    ids = [f"i{number}" for number in range(len(labels))]
    table = {"image_id": ids, "uri": [f"{one}.jpg" for one in ids], "labels": pa.array(labels, LISTS)}
    return Manifest(pa.table(table | columns), CLASSES, task="multilabel")


# ---- manifests ----


@given(st.lists(st.none() | st.lists(st.text("abc\0é", max_size=2), max_size=4), max_size=8))
def test_lists_become_sets(lists: list[list[str] | None]):
    expected = [None if one is None else sorted(set(one), key=str.encode) for one in lists]
    found = as_sets(pa.array(lists, LISTS))
    assert found.to_pylist() == expected
    assert as_sets(found).to_pylist() == expected
    assert as_sets(pa.array([None, *lists], LISTS).slice(1)).to_pylist() == expected


def test_a_manifest_keeps_sets_and_its_hash_sees_nothing_else(tmp_path: Path):
    manifest = manifest_of([["dog", "cat", "dog"], [], None], split=["train", "test", None])
    assert manifest.column("labels").tolist() == [["cat", "dog"], [], None]
    assert manifest.hash == manifest_of([["cat", "dog"], [], None], split=["train", "test", None]).hash
    assert len({manifest_of(lists).hash for lists in ([["cat"]], [["dog"]], [["cat", "dog"]], [[]], [None])}) == 5
    manifest.save(tmp_path / "saved")
    loaded = Manifest.load(tmp_path / "saved")
    assert (loaded, loaded.task, loaded.kind) == (manifest, "multilabel", LABELS)
    assert loaded.table.schema.field("labels").type == LISTS
    assert manifest.select(split="train").column("labels").tolist() == [["cat", "dog"]]
    assert manifest.take([2, 0]).column("labels").tolist() == [None, ["cat", "dog"]]
    assert pa.types.is_string(manifest.table.schema.field("label").type)


def test_counts_and_words():
    manifest = manifest_of([["dog", "cat"], ["cat"], [], None], split=["train", "test", "test", None])
    none = {"train": 0, "val": 0, "test": 0, "(no split)": 0}
    assert manifest.counts() == {
        "cat": none | {"train": 1, "test": 1},
        "dog": none | {"train": 1},
        "owl": none,
        "(no labels)": none | {"test": 1},
        "(unlabelled)": none | {"(no split)": 1},
    }
    assert manifest_of([]).counts() == {name: {"train": 0, "val": 0, "test": 0} for name in CLASSES}
    assert str(manifest).startswith("Manifest of 4 images, 3 labels, 3 classes (1 train, 2 test, 1 without split)")
    shown = manifest._repr_html_()
    assert "all labels" in shown
    assert shown.index("all labels") < shown.index("(no labels)")


def test_multi_hot():
    manifest = manifest_of([["owl", "cat"], [], None])
    assert multi_hot(manifest.table, CLASSES).tolist() == [[True, False, True], [False] * 3, [False] * 3]
    assert multi_hot(manifest.table, ("dog", "owl")).tolist() == [[False, True], [False] * 2, [False] * 2]
    assert multi_hot(manifest_of([]).table, CLASSES).shape == (0, 3)


def test_what_a_manifest_refuses():
    with pytest.raises(UnknownClassError, match=r"1 label is not among the 3 class names.*'cow'"):
        manifest_of([["cat", "cow"]])
    with pytest.raises(DataError, match=r"null among their labels.*'i1'"):
        manifest_of([["cat"], ["dog", None]])
    with pytest.raises(DataError, match="1 image has a label, but the task is multilabel"):
        manifest_of([["cat"]], label=["cat"])
    with pytest.raises(DataError, match="the column 'labels' must be list<"):
        Manifest(pa.table({"image_id": ["a"], "uri": ["a"], "labels": ["cat"]}), CLASSES, task="multilabel")
    with pytest.raises(ConfigError, match="has no boxes"):
        manifest_of([["cat"]]).boxes()


def test_labels_are_corrected():
    manifest = manifest_of([["cat"], None]).with_labels({"i1": ["owl", "dog"], "i0": None})
    assert manifest.column("labels").tolist() == [None, ["dog", "owl"]]
    assert manifest.with_labels({"i0": "cat"}).column("labels").tolist() == [["cat"], ["dog", "owl"]]
    with pytest.raises(UnknownClassError, match="cow"):
        manifest.with_labels({"i0": ["cow"]})
    with pytest.raises(DataError, match="not in this manifest"):
        manifest.with_labels({"i9": []})
    for wrong in (3, [3], [" "]):
        with pytest.raises(DataError, match="label"):
            manifest.with_labels({"i0": wrong})


def test_changes():
    before = manifest_of([["cat"], ["cat", "dog"], [], None])
    after = manifest_of([["cat", "dog"], ["cat", "dog"], None, []])
    found = changes(before, after)
    assert found.images("relabelled") == ["i0", "i2", "i3"]
    row = found.table.to_pylist()[0]
    assert (row["before"], row["after"]) == ("cat", "cat, dog")
    assert [row["after"] for row in found.table.to_pylist()[1:]] == ["not annotated", "no labels"]
    merged = changes(before, manifest_of([["cat"], ["cat"], [], None]), lineage={"dog": "cat"})
    assert merged.images("relabelled") == []


def test_copies_of_the_same_bytes():
    labels = [["cat"], ["dog"], None, ["owl"], ["owl"]]
    manifest = manifest_of(labels, sha256=["1", "1", "1", "2", "3"])
    differ = LABELS.contradiction(manifest)
    assert differ([0, 1, 2]) == "labels 'cat' or 'dog'"
    assert differ([0, 2]) == differ([3, 4]) == ""
    assert LABELS.contradiction(manifest_of([["cat", "dog"], []]))([0, 1]) == "labels none or 'cat', 'dog'"
    told = propagate_to_duplicates(manifest, np.array([True, False, False, False, False]))
    assert told.column("labels").tolist() == [["cat"], ["cat"], ["cat"], ["owl"], ["owl"]]


# ---- logs ----


def log_of(**labels: list[str] | None) -> tuple[WrittenLog, str]:
    log = WrittenLog("multilabel")
    return log, log.imported(labels, *CLASSES)


def test_two_people_who_add_different_labels_are_no_conflict():
    log, first = log_of(x=["owl"])
    one = log.say("added", "x", ["cat"], base=first)
    two = log.say("added", "x", ["dog"], base=first)
    state = log.state()
    assert log.said() == {"x": ["cat", "dog", "owl"]}
    assert dict(state.conflicts) == {}
    assert state.revision("x") == f"{one} {two}"
    log.say("removed", "x", ["cat"], base=state.revision("x"))
    assert log.said() == {"x": ["dog", "owl"]}
    assert dict(log.state().conflicts) == {}


def test_two_people_who_give_different_sets_are_a_conflict():
    log, first = log_of(x=[])
    one = log.say("corrected", "x", ["cat", "owl"], base=first)
    two = log.say("corrected", "x", ["dog", "owl"], base=first, author="bob")
    state = log.state()
    assert log.said() == {"x": ["dog", "owl"]}
    assert dict(state.conflicts) == {"x": (one, two)}
    assert state.disputed_labels("x") == ("cat", "dog")
    shown = state.conflict_table()
    assert shown["says"].tolist() == ["cat, owl", "dog, owl"]
    assert shown["prevails"].tolist() == [False, True]
    log.say("corrected", "x", ["cat"], base=state.revision("x"))
    assert (log.said(), dict(log.state().conflicts)) == ({"x": ["cat"]}, {})


def test_two_people_who_give_the_same_set_are_no_conflict():
    log, first = log_of(x=None)
    log.say("corrected", "x", ["cat"], base=first)
    log.say("accepted", "x", ["cat"], base=first)
    assert (log.said(), dict(log.state().conflicts)) == ({"x": ["cat"]}, {})


def test_a_conflict_is_about_one_label_and_settled_by_who_speaks_of_it():
    log, first = log_of(x=["owl"])
    one = log.say("added", "x", ["cat"], base=first)
    two = log.say("removed", "x", ["cat", "owl"], base=first)
    three = log.say("added", "x", ["owl"], base=first)
    state = log.state()
    assert (log.said(), state.disputed_labels("x")) == ({"x": ["owl"]}, ("cat", "owl"))
    assert dict(state.conflicts) == {"x": (one, two, three)}
    assert state.conflict_table()["prevails"].tolist() == [False, True, True]  # of cat, and of owl
    log.say("added", "x", ["cat"], base=state.revision("x"))
    state = log.state()
    assert (log.said(), state.disputed_labels("x")) == ({"x": ["cat", "owl"]}, ("owl",))
    log.say("added", "x", ["dog"], base=state.revision("x"))  # says nothing of owls
    assert log.state().disputed_labels("x") == ("owl",)
    log.say("corrected", "x", ["dog"], base=log.state().revision("x"))
    assert (log.said(), dict(log.state().conflicts)) == ({"x": ["dog"]}, {})


def test_who_gives_a_set_contradicts_an_addition_that_was_not_seen():
    log, first = log_of(x=["owl"])
    log.say("added", "x", ["cat"], base=first)
    log.say("corrected", "x", ["owl"], base=first)
    assert (log.said(), log.state().disputed_labels("x")) == ({"x": ["owl"]}, ("cat",))


def test_one_after_the_other_and_taken_back():
    log, first = log_of(x=["owl"], y=None, z=["cat"])
    one = log.say("added", "x", ["cat"], base=first)
    two = log.say("removed", "x", ["owl"], base=one)
    three = log.say("added", "x", ["dog"], base=two)
    log.say("added", "y", ["cat"], base=first)
    assert log.said() == {"x": ["cat", "dog"], "y": ["cat"], "z": ["cat"]}
    undone = log.say("undone", undoes=[two])
    assert log.said()["x"] == ["cat", "dog", "owl"]
    assert log.said(without=[undone, three])["x"] == ["cat"]
    assert dict(log.state().conflicts) == {}
    log.imported({"x": ["cow"], "z": ["cow"]}, "cow")  # what a person said of a label outlasts it
    assert log.said() == {"x": ["cat", "cow", "dog"], "y": ["cat"], "z": ["cow"]}


def test_nothing_applies_is_something_else_than_not_annotated():
    log, first = log_of(x=None, y=["cat"])
    none = log.say("removed", "x", ["cat"], base=first)
    assert log.said()["x"] is None
    log.say("corrected", "x", [], base=none)
    assert log.said()["x"] == []
    log.say("corrected", "y", None, base=first)
    assert log.said()["y"] is None
    assert log.state().counts()["labelled"] == 1
    log.say("uploaded", "z", None)
    log.say("uploaded", "w", [])
    assert log.said() == {"x": [], "y": None, "z": None, "w": []}


def test_classes_that_are_renamed_and_merged():
    log, first = log_of(x=["cat", "dog"], y=["dog"])
    log.say("class_merged", label="dog", into="cat", base=None)
    assert log.said() == {"x": ["cat"], "y": ["cat"]}
    log.say("removed", "y", ["dog"], base=first)  # by who had not seen that
    log.say("class_renamed", label="cat", new="pet", base=None)
    assert log.said() == {"x": ["pet"], "y": []}
    log.say("added", "x", ["cat"], base=first)
    assert log.said() == {"x": ["pet"], "y": []}
    assert log.state().class_names == ("pet", "owl")


def test_guesses_of_merged_classes_keep_the_best_score():
    log, _ = log_of(x=None)
    log.suggested("1-abc", image_id=["x"], labels=[["cat", "owl", "dog"]], scores=[[0.2, 0.5, 0.7]])
    log.say("class_merged", label="dog", into="cat", base=None)
    (row,) = log.state().suggestions.to_pylist()
    assert (row["labels"], row["scores"]) == (["cat", "owl"], [0.7, 0.5])


def test_the_history_in_words():
    log, first = log_of(x=["owl"])
    log.suggested("1-abc", image_id=["x"], labels=[["cat"]], scores=[[0.25]])
    added = log.say("added", "x", ["cat", "dog"], base=first)
    log.say("removed", "x", ["dog"], base=added)
    log.say("corrected", "x", [], base=added)
    log.say("class_added", label="cow")
    says = log.state().history("x")["says"].tolist()
    assert says == ["owl", "cat (0.25) by model 1-abc", "with cat, dog", "without dog", "no labels"]


@pytest.mark.parametrize("labels", [3, ["cat", None], "missing"])
def test_a_damaged_entry_is_named(labels: Any):
    log, _ = log_of(x=None)
    facts = {} if labels == "missing" else {"labels": labels}
    wrong = log.say("corrected", "x", **facts)
    with pytest.raises(StorageError, match=wrong):
        log.state()


def test_adding_nothing_is_damage():
    log, _ = log_of(x=None)
    wrong = log.say("added", "x", None)
    with pytest.raises(StorageError, match=wrong):
        log.state()


# ---- a project ----


def image(seed: int) -> bytes:
    sink = buffers.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "p", task="multilabel", class_names=CLASSES)


def sets(project: Project) -> dict[str, list[str] | None]:
    return {row["image_id"]: row["labels"] for row in project.labels.state().table.to_pylist()}


def test_from_uploads_to_a_dataset(project: Project):
    a, b = project.images.upload([image(0), image(1)], labels=["dog", "cow", "dog"])
    (c,) = project.images.upload(image(2))
    assert sets(project) == {a: ["cow", "dog"], b: ["cow", "dog"], c: None}
    assert project.classes.names() == (*CLASSES, "cow")
    project.labels.set({a: ["owl"], b: ["dog", "cow"], c: []})
    project.labels.add({a: "cat", c: ["cat"]})
    project.labels.remove(a, "owl")
    assert sets(project) == {a: ["cat"], b: ["cow", "dog"], c: ["cat"]}
    events = project.labels.state().provenance["event"].to_pylist()
    assert events == ["removed", "accepted", "added"]
    assert project.labels.state().human_annotated.all()
    data = project.freeze()
    assert {row["image_id"]: row["labels"] for row in data.table.to_pylist()} == sets(project)
    assert project.freeze().hash == data.hash == project.datasets.get(data.hash).hash
    assert len(project.datasets.findings(data)) == 0
    project.labels.add({b: "owl"})
    assert project.datasets.changes(data).images("relabelled") == [b]
    project.labels.undo(b)
    assert not project.datasets.changes(data)
    assert "labels" in project._repr_html_() or "cow" in project._repr_html_()
    assert Project.open(project.url).labels.state().table.equals(project.labels.state().table)


def test_what_is_said_of_images_must_be_so(project: Project):
    (a,) = project.images.upload(image(0))
    with pytest.raises(UnknownClassError, match="cow"):
        project.labels.add({a: "cow"})
    with pytest.raises(DataError, match="expected labels to be removed"):
        project.labels.remove({a: []})
    with pytest.raises(DataError, match="not in the project"):
        project.labels.add({"zz": "cat"})
    with pytest.raises(ConfigError, match=r"pass upload\(labels=\), not label="):
        project.images.upload(image(1), label="cat")
    plain = Project.create(f"{project.url}-plain", class_names=CLASSES)
    with pytest.raises(ConfigError, match="no set of labels"):
        plain.labels.add({a: "cat"})


def test_two_people_at_once(project: Project):
    (a,) = project.images.upload(image(0), labels=[])
    other = Project.open(project.url)
    other.labels.state()
    project.labels.add({a: "cat"})
    other.labels.add({a: "dog"})
    assert sets(project) == {a: ["cat", "dog"]}
    assert len(project.labels.conflicts()) == 0


def test_suggestions(project: Project):
    a, b, c = project.images.upload([image(0), image(1), image(2)])
    project.labels.set({b: ["owl"]})
    guesses = {a: (["dog", "cat", "dog"], [0.9, 0.4, 0.1]), b: (["cat", "dog"], [0.8, 0.7]), c: ([], [])}
    project.labels.suggest(guesses, model="1-abc")
    shown = {row["image_id"]: row for row in project.labels.state().suggestions.to_pylist()}
    assert (shown[a]["labels"], shown[a]["scores"]) == (["dog", "cat"], [0.9, 0.4])
    project.labels.accept(a)
    project.labels.accept(b, indices=[1])
    project.labels.accept(c)
    assert sets(project) == {a: ["cat", "dog"], b: ["dog", "owl"], c: []}
    assert len(project.labels.state().suggestions) == 0
    with pytest.raises(DataError, match=r"has 0 labels.*found \[5\]"):
        project.labels.accept(a, indices=[5])
    for wrong in ((["cat"], [0.1, 0.2]), (["cat"], [7]), "cat", 3):
        with pytest.raises(DataError, match=r"the suggestion|the scores"):
            project.labels.suggest({a: wrong}, model="1-abc")


def test_a_class_is_split(project: Project):
    (a,) = project.images.upload(image(0), labels=["cat", "owl"])
    (b,) = project.images.upload(image(1), labels=["cat"])
    project.classes.split("cat", {a: "lynx", b: ["lynx", "puma"]})
    assert sets(project) == {a: ["lynx", "owl"], b: ["lynx", "puma"]}
    assert project.classes.names() == (*CLASSES, "lynx", "puma")
    with pytest.raises(DataError, match="does not have the label 'dog'"):
        project.classes.split("dog", {a: "wolf"})


def test_folders_and_frames_say_one_label(project: Project, tmp_path: Path):
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        (folder / name / "a.png").write_bytes(image(len(name) + ord(name[0])))
    (folder / "dog" / "copy.png").write_bytes((folder / "cat" / "a.png").read_bytes())
    project.images.upload_files(str(folder), labels_from_folders=True)
    assert sorted(sets(project).values()) == [["cat", "dog"], ["dog"]]
    assert not project.labels.state().conflicts
    table, names = LABELS.with_labels(pa.table({"label": ["cat", None]}), ("cat",))
    assert (table["labels"].to_pylist(), table["label"].to_pylist(), names) == ([["cat"], None], [None, None], ("cat",))


def test_copies_that_contradict_each_other_are_left_out_of_a_dataset(project: Project, tmp_path: Path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 2)):
        (tmp_path / f"{name}.png").write_bytes(image(seed))
    table = {"image_id": list("abcde"), "uri": [f"{name}.png" for name in "abcde"], "split": ["train"] * 5}
    lists = pa.array([["cat"], ["dog"], [], ["cat"], None], LISTS)
    project.add(Manifest(pa.table(table | {"labels": lists}), CLASSES, root=str(tmp_path), task="multilabel"))
    data = project.freeze(max_bad=0.5)
    assert dict(zip(data.column("image_id"), data.column("labels"), strict=True)) == {"c": [], "d": ["cat"], "e": None}
    found = project.datasets.findings(data).counts()
    assert (found["duplicate_label_conflict"], found["duplicate"]) == (2, 1)
    project.labels.set("a", ["dog"])  # of all copies, as a person said so
    assert project.freeze().table["labels"].to_pylist()[:2] == [["dog"], ["dog"]]
