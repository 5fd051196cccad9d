"""The life of a label in a project: suggested, accepted, corrected, undone; classes and splits; what is frozen."""

from __future__ import annotations

import io as _io
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from late import Late
from onlineml.data.annotations import log
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.project.project import Project
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

pd = Late("pandas")


def _image(seed: int) -> bytes:
    sink = _io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)).save(sink, "PNG")
    return sink.getvalue()


@dataclass
class _Prediction:
    """As `onlineml.predict` gives them."""

    uri: str
    label: str | None
    score: float
    top: tuple[tuple[str, float], ...] = ()
    error: str | None = None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "p", class_names=["cat", "dog", "owl"])


@pytest.fixture
def boxes(tmp_path: Path) -> Project:
    return Project.create(tmp_path / "q", task="detection", class_names=["cat", "dog"])


def _labels(project: Project) -> dict[str, str | None]:
    return {row["image_id"]: row["label"] for row in project.labels.state().table.to_pylist()}


def _other(project: Project) -> Project:
    """The project as another process has it."""
    return Project.open(project.location)


def test_from_a_guess_to_a_dataset(store: Store) -> None:
    project = Project.create(f"{store.url}/p", class_names=["cat", "dog"], storage_options=store.storage_options)
    a, b, c, d = project.images.upload([_image(number) for number in range(4)], author="ann")
    uris = dict(zip(project.labels.state().table["image_id"].to_pylist(), project.freeze().urls(), strict=True))
    guesses = [
        _Prediction(uris[a], "cat", 0.9, (("cat", 0.9), ("dog", 0.1))),
        _Prediction(uris[b], "cat", 0.6, (("cat", 0.6),)),
        _Prediction(uris[c], "dog", 0.5, (("dog", 0.5),)),
        _Prediction(uris[d], None, float("nan"), (), "truncated"),
    ]
    entry = project.labels.suggest(iter(guesses), model="7-3fa9c1", author="nightly")
    shown = project.labels.suggestions().set_index("image_id")
    assert shown["label"].to_dict() == {a: "cat", b: "cat", c: "dog"}
    assert (shown.loc[a, "score"], list(shown.loc[a, "top_labels"]), shown.loc[a, "model"]) == (
        0.9,
        ["cat", "dog"],
        "7-3fa9c1",
    )
    assert set(_labels(project).values()) == {None}  # nobody has said anything
    assert project.freeze().column("label").tolist() == [None] * 4
    project.labels.accept(a, author="ann")
    project.labels.set(b, "dog", author="ann")
    project.labels.skip([c, d], author="ann")
    assert _labels(project) == {a: "cat", b: "dog", c: None, d: None}
    assert project.labels.suggestions()[["image_id", "skipped"]].to_numpy().tolist() == [[c, True]]
    html = project._repr_html_()
    assert "4 images, 2 labelled, 1 corrected, 1 accepted, 1 suggested, 0 conflicts, 0 deleted; 2 classes" in html
    history = _other(project).labels.history(a)
    assert history["event"].tolist() == ["uploaded", "suggested", "accepted"]
    assert history["says"].tolist() == ["no label", "cat (0.90) by model 7-3fa9c1", "cat"]
    assert history["author"].tolist() == ["ann", "nightly", "ann"]
    assert isinstance(history["time"].dtype, pd.DatetimeTZDtype)
    data = project.freeze()
    told = project.datasets.provenance(data).set_index("image_id")
    assert told["event"].to_dict() == {a: "accepted", b: "corrected", c: "uploaded", d: "uploaded"}
    assert told.loc[a, "model"] == "7-3fa9c1"
    project.labels.undo(str(entry))
    assert len(project.labels.suggestions()) == 0
    assert _labels(project)[a] == "cat"  # ann said so


def test_guesses_by_image_id_and_of_former_classes(project: Project) -> None:
    a, b = project.images.upload([_image(1), _image(2)])
    assert project.labels.suggest({}, model="1") is None
    project.classes.rename("cat", "tiger")
    project.labels.suggest(
        {a: ("cat", 0.5), b: _Prediction("elsewhere", "dog", 0.25)}, model="1"
    )  # a model from before
    assert project.labels.suggestions().set_index("image_id")["label"].to_dict() == {a: "tiger", b: "dog"}
    with pytest.raises(UnknownClassError, match="fox"):
        project.labels.suggest({a: ("fox", 0.5)}, model="1")
    with pytest.raises(DataError, match="1 image of these predictions is not in the project"):
        project.labels.suggest([_Prediction("s3://nowhere/x.jpg", "dog", 0.5)], model="1")
    with pytest.raises(DataError, match="not in the project"):
        project.labels.suggest({"nobody": ("dog", 0.5)}, model="1")
    with pytest.raises(DataError, match="between 0 and 1"):
        project.labels.suggest({a: ("dog", float("nan"))}, model="1")
    with pytest.raises(DataError, match="must be a prediction"):
        project.labels.suggest({a: "dog"}, model="1")
    project.labels.suggest({b: ("tiger", 1.0)}, model="2")
    assert project.labels.suggestions().set_index("image_id")["model"].to_dict() == {a: "1", b: "2"}
    assert len(io.list_files(f"{project.url}/log/suggestions")) == 2


def test_accepting_what_an_image_has_says_that_it_is_right(project: Project) -> None:
    a, b = project.images.upload([_image(1), _image(2)], label="cat")
    assert project.labels.accept([a], author="bob") == [project.labels.state().revision(a)]
    project.labels.set(b, "cat", author="bob")  # the same in other words
    assert project.labels.state().counts()["accepted"] == 2
    (c,) = project.images.upload(_image(3))
    with pytest.raises(DataError, match="nothing to accept"):
        project.labels.accept([a, c])
    with pytest.raises(DataError, match="not in the project"):
        project.labels.accept("nobody")


def test_guesses_of_boxes_are_accepted_whole_or_in_part(boxes: Project) -> None:
    a, b, c = boxes.images.upload(
        [_image(number) for number in range(3)], boxes=[([[0, 0, 4, 4]], ["cat"]), None, None]
    )
    guess = ([[1, 1, 5, 5], [6, 2, 9, 7], [3, 3, 3, 8]], ["dog", "cat", "dog"], [0.9, 0.8, 0.7])
    boxes.labels.suggest({a: guess, b: guess, c: ([], [], [])}, model="1")
    shown = boxes.labels.suggestions().set_index("image_id")
    assert shown["labels"].map(list).to_dict() == {a: ["dog", "cat"], b: ["dog", "cat"], c: []}  # one had no area
    with pytest.raises(DataError, match="2 boxes, numbered from 0"):
        boxes.labels.accept(a, indices=[2])
    boxes.labels.accept(a, indices=[1])  # it, too
    boxes.labels.accept([b, c])
    rows = {row["image_id"]: row for row in boxes.labels.state().table.to_pylist()}
    assert rows[a]["boxes_xyxy"] == [[0, 0, 4, 4], [6, 2, 9, 7]]
    assert (rows[a]["labels"], rows[b]["labels"], rows[c]["labels"]) == (["cat", "cat"], ["dog", "cat"], [])
    assert len(boxes.labels.suggestions()) == 0
    boxes.labels.set(b, (rows[b]["boxes_xyxy"], ["dog", "cat"]))
    assert boxes.labels.history(b)["event"].tolist()[-1] == "accepted"
    (d,) = boxes.images.upload(_image(9))
    for wrong in (([[0, 0, 1, 1]], ["cat"], []), ([[0, 0, 1]], ["cat"], [1]), ("dog", 0.5), 7):
        with pytest.raises(DataError, match=d):
            boxes.labels.suggest({d: wrong}, model="1")
    with pytest.raises(DataError, match="nothing to accept"):
        boxes.labels.accept(d)


def test_who_wrote_without_having_looked_contradicts(project: Project) -> None:
    (a,) = project.images.upload(_image(1), label="cat")
    ann, bob = _other(project), _other(project)
    for person in (ann, bob):
        person.labels.state()
    first = ann.labels.set(a, "dog", author="ann")[0]
    second = bob.labels.set(a, "owl", author="bob")[0]  # as far as bob has seen, it was a cat
    shown = project.labels.conflicts()
    assert shown[["name", "says", "author", "prevails"]].to_numpy().tolist() == [
        [a, "dog", "ann", False],
        [a, "owl", "bob", True],
    ]
    assert shown["entry"].tolist() == [first, second]
    assert _labels(project) == {a: "owl"}
    assert project.freeze().column("label").tolist() == ["owl"]
    project.labels.set(a, "dog", author="cem")  # has seen both
    assert len(_other(project).labels.conflicts()) == 0
    bob.labels.set(
        a, "cat", expected_revision=project.labels.state().revision(a)
    )  # bob's widget showed him the present state
    assert len(project.labels.conflicts()) == 0


def test_who_writes_twice_does_not_contradict_himself(project: Project) -> None:
    a, b = project.images.upload([_image(1), _image(2)], label="cat")
    project.labels.state()
    project.labels.set(a, "dog")
    project.labels.set({a: "owl", b: "dog"})
    project.images.delete(b)
    project.images.restore(b)
    project.images.upload(_image(1), label="cat")
    assert len(project.labels.conflicts()) == 0
    assert _labels(project) == {a: "cat", b: "dog"}


def test_two_people_who_upload_the_same_photo(project: Project) -> None:
    project.images.upload(_image(1), label="cat")
    _other(project).images.upload(_image(1), label="cat")
    assert len(project.labels.conflicts()) == 0
    _other(project).images.upload(_image(1), label="dog")
    assert project.labels.conflicts()["says"].tolist() == ["cat", "cat", "dog"]


def test_undoing_step_by_step(project: Project) -> None:
    (a,) = project.images.upload(_image(1), label="cat")
    project.labels.set(a, "dog")
    project.images.delete(a)
    first = project.labels.undo(a)
    assert _labels(project) == {a: "dog"}
    second = project.labels.undo(a)
    assert _labels(project) == {a: "cat"}
    with pytest.raises(DataError, match="no entry since its upload"):
        project.labels.undo(a)
    with pytest.raises(ConfigError, match="undone already"):
        project.labels.undo(project.labels.history(a)["entry"].tolist()[1])
    project.labels.undo(second)
    project.labels.undo(first)
    assert _labels(project) == {}
    with pytest.raises(DataError, match="neither"):
        project.labels.undo("nobody")
    data = project.freeze()
    frozen = project.labels.state().folded.frozen[data.hash]
    with pytest.raises(ConfigError, match="frozen dataset"):
        project.labels.undo(frozen)
    project.images.upload(_image(2), label="cat")
    entry = str(project.labels.state().provenance["entry"][0])
    project.labels.undo(entry)  # a wrong upload
    assert _labels(project) == {}


def test_deleted_and_restored(project: Project) -> None:
    a, b = project.images.upload([_image(1), _image(2)], label="cat")
    other = _other(project)
    other.labels.state()
    project.images.delete([a, b])
    assert project.labels.state().deleted["image_id"].to_pylist() == [a, b]
    other.labels.set(a, "dog", author="bob")  # did not know
    assert _labels(project) == {}
    assert set(project.labels.conflicts()["says"]) == {"dog", "deleted"}
    project.images.delete(a)  # it stays deleted
    assert len(project.labels.conflicts()) == 0
    project.images.restore(a)
    assert _labels(project) == {a: "dog"}
    with pytest.raises(DataError, match="not among the deleted ones"):
        project.images.restore([a])
    with pytest.raises(DataError, match="not in the project"):
        project.images.delete(b)


def test_classes_are_renamed_merged_and_split(project: Project) -> None:
    a, b, c = project.images.upload([_image(number) for number in range(3)], label="cat")
    before = project.freeze()
    assert (before.class_names, before.class_ids) == (("cat", "dog", "owl"), ())
    project.classes.rename("cat", "tiger")
    after = project.freeze()
    assert (after.class_names, set(_labels(project).values())) == (("tiger", "dog", "owl"), {"tiger"})
    assert after.hash != before.hash
    assert not project.datasets.changes(before, after)  # a name is no change of what is on a photo
    merged = project.classes.merge(["owl", "dog"], into="bird")
    data = project.freeze()
    assert (data.class_names, data.class_ids) == (("tiger", "bird"), (1, 4))
    assert project.datasets.get(data.hash).class_ids == (1, 4)
    changed = project.datasets.changes(before, data)
    assert (changed.new_classes, changed.gone_classes) == ((), ())
    project.labels.undo(merged)
    assert project.classes.names() == ("tiger", "dog", "owl")
    split = project.classes.split("tiger", {a: "lynx", b: "dog"})
    assert _labels(project) == {a: "lynx", b: "dog", c: "tiger"}
    assert dict(zip(project.classes.names(), project.labels.state().class_ids, strict=True))["lynx"] == 5
    project.labels.undo(b)
    assert _labels(project) == {a: "lynx", b: "tiger", c: "tiger"}
    project.labels.undo(split)
    assert _labels(project) == dict.fromkeys((a, b, c), "tiger")
    project.labels.set(a, "cat")  # an old script
    assert _labels(project)[a] == "tiger"


def test_what_cannot_become_of_classes(project: Project) -> None:
    (a,) = project.images.upload(_image(1), label="cat")
    project.classes.rename("cat", "tiger")
    for name in ("cat", " ", 7):
        with pytest.raises(ConfigError):
            project.classes.add(name)
    with pytest.raises(ConfigError, match="renamed to 'tiger'"):
        project.classes.rename("cat", "lion")
    with pytest.raises(ConfigError, match=r"classes\.merge"):
        project.classes.rename("tiger", "dog")
    with pytest.raises(ConfigError, match="called 'tiger' already"):
        project.classes.rename("tiger", "tiger")
    with pytest.raises(UnknownClassError, match="fox"):
        project.classes.rename("fox", "wolf")
    with pytest.raises(ConfigError, match="besides"):
        project.classes.merge(["dog"], into="dog")
    with pytest.raises(ConfigError, match="former name"):
        project.classes.merge(["dog"], into="cat")
    with pytest.raises(DataError, match="images of the class to split"):
        project.classes.split("dog", {a: "poodle"})
    with pytest.raises(ConfigError, match="former name"):
        project.classes.split("tiger", {a: "cat"})
    with pytest.raises(ConfigError, match="labels is empty"):
        project.classes.split("tiger", {})
    project.classes.rename("tiger", "cat")
    assert project.classes.names() == ("cat", "dog", "owl")


def test_a_class_of_boxes_is_split(boxes: Project) -> None:
    two = ([[0, 0, 4, 4], [5, 0, 9, 4], [1, 1, 2, 2]], ["cat", "dog", "cat"])
    a, b = boxes.images.upload([_image(1), _image(2)], boxes=[two, two])
    boxes.classes.split("cat", {a: "lynx", b: ["lynx", "cat"]})
    rows = {row["image_id"]: row["labels"] for row in boxes.labels.state().table.to_pylist()}
    assert rows == {a: ["lynx", "dog", "lynx"], b: ["lynx", "dog", "cat"]}
    with pytest.raises(DataError, match="1 box of 'cat'"):
        boxes.classes.split("cat", {b: ["lynx", "lynx"]})
    with pytest.raises(DataError, match="0 boxes of 'cat'"):
        boxes.classes.split("cat", {a: "lynx"})


def test_images_move_with_their_group_and_scores_say_so(project: Project) -> None:
    ids = project.images.upload([_image(number) for number in range(3)], label="cat", group="video", split="train")
    alone, rest = project.images.upload([_image(7), _image(8)], label="dog", split="val")
    before = project.freeze()
    entries = project.images.move_to_split({ids[0]: "test", alone: "val"}, reason="an unseen camera", author="ann")
    assert len(entries) == 1  # the other one is there already
    after = project.freeze()
    splits = dict(zip(after.column("image_id"), after.column("split"), strict=True))
    assert splits == {**dict.fromkeys(ids, "test"), alone: "val", rest: "val"}
    changed = project.datasets.changes(before, after)
    assert changed.images("moved") == sorted(ids, key=after.column("image_id").tolist().index)
    assert not changed.comparable
    assert "cannot be compared" in str(changed)
    assert project.labels.history(ids[2])["says"].tolist()[-1] == "test: an unseen camera"
    assert project.images.upload(_image(9), group="video")
    assert project.labels.state().splits_of_groups(["video"]) == {"video": "test"}
    project.images.move_to_split({alone: "train"}, reason="more to learn from")
    assert project.datasets.changes(after).comparable
    project.labels.undo(entries[0])
    assert project.labels.state().splits_of_groups(["video"]) == {"video": "train"}
    with pytest.raises(ConfigError, match="reason"):
        project.images.move_to_split({alone: "train"}, reason=" ")
    with pytest.raises(ConfigError, match="train, val, test"):
        project.images.move_to_split({alone: "exam"}, reason="why")
    with pytest.raises(DataError, match="stay together"):
        project.images.move_to_split({ids[0]: "val", ids[1]: "test"}, reason="why")
    with pytest.raises(DataError, match="not in the project"):
        project.images.move_to_split({"nobody": "val"}, reason="why")


def test_the_state_of_a_moment(project: Project) -> None:
    (a,) = project.images.upload(_image(1), label="cat")
    time.sleep(0.02)
    moment = datetime.now(UTC)
    time.sleep(0.02)
    project.labels.set(a, "dog")
    assert project.labels.state(at=moment).row(a)["label"] == "cat"
    assert project.labels.state(at=moment.astimezone().replace(tzinfo=None)).row(a)["label"] == "cat"  # local time
    assert len(project.labels.state(at=datetime(2020, 1, 1, tzinfo=UTC))) == 0
    assert project.labels.state().row(a)["label"] == "dog"


def test_changes_tell_what_a_correction_changed(project: Project) -> None:
    a, b, c = project.images.upload([_image(number) for number in range(3)], label="cat", split="train")
    before = project.freeze()
    assert not project.datasets.changes(before)
    assert str(project.datasets.changes(before)) == "Changes: none"
    project.labels.set(a, "dog")
    project.labels.accept(b)
    project.images.delete(c)
    (d,) = project.images.upload(_image(9), label="fox", split="train")
    changed = project.datasets.changes(before, project.freeze())
    assert {kind: changed.images(kind) for kind in ("relabelled", "gone", "new", "moved")} == {
        "relabelled": [a],
        "gone": [c],
        "new": [d],
        "moved": [],
    }
    assert changed.new_classes == ("fox",)
    assert changed.to_frame().set_index("image_id").loc[a].tolist() == ["relabelled", "cat", "dog"]
    assert "1 relabelled" in changed._repr_html_()
    assert changed.comparable
    assert bool(changed)


def test_the_same_bytes_are_one_image_wherever_they_came_from(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
    (folder / "cat" / "1.png").write_bytes(_image(1))
    (folder / "cat" / "2.png").write_bytes(_image(2))
    project.add(Manifest.from_folders(folder))
    data = project.freeze()
    ids = {url.rpartition("/")[2]: one for url, one in zip(data.urls(), data.column("image_id"), strict=True)}
    assert project.images.upload([_image(1), _image(3)], label="dog")[0] == ids["1.png"]  # its bytes were read
    assert _labels(project)[ids["1.png"]] == "dog"
    assert len(project.labels.state()) == 3
    assert len(_other(project).freeze()) == 3


def test_what_a_person_says_holds_for_copies_that_nobody_had_opened(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (folder / "cat").mkdir(parents=True)
    (folder / "cat" / "1.png").write_bytes(_image(1))
    (folder / "cat" / "2.png").write_bytes(_image(2))
    (uploaded,) = project.images.upload(_image(1), label="dog", split="train")
    project.add(Manifest.from_folders(folder).with_column("split", ["train", "train"]))
    data = project.freeze()  # finds that the imported photo is the uploaded one
    copies = {row["image_id"]: row["label"] for row in data.table.to_pylist() if row["sha256"] == uploaded}
    assert len(copies) == 2
    assert set(copies.values()) == {"dog"}
    assert project.datasets.findings(data).counts() == {"duplicate": 1}
    (copy,) = set(copies) - {uploaded}
    project.labels.set(copy, "owl")  # two people's words about one photo
    with pytest.raises(DataError, match="duplicate_label_conflict"):
        project.freeze()


def test_what_a_person_says_of_boxes_holds_for_copies(boxes: Project, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(_image(1))
    (uploaded,) = boxes.images.upload(_image(1), boxes=([[0, 0, 4, 4], [5, 5, 7, 7]], ["cat", "dog"]), split="train")
    table = pa.table(
        {
            "image_id": ["copy"],
            "uri": [str(tmp_path / "1.png")],
            "split": ["train"],
            "boxes_xyxy": pa.array([[[1, 1, 2, 2]]], pa.list_(pa.list_(pa.float64()))),
            "labels": [["cat"]],
            "crowd": [[True]],
        }
    )
    boxes.add(Manifest(table, ["cat", "dog"], task="detection"))
    rows = {row["image_id"]: row for row in boxes.freeze().table.to_pylist()}
    assert rows["copy"]["labels"] == rows[uploaded]["labels"] == ["cat", "dog"]
    assert rows["copy"]["boxes_xyxy"] == rows[uploaded]["boxes_xyxy"]


def test_an_import_that_was_undone_can_be_imported_again(project: Project, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(_image(1))
    source = Manifest.from_folders(tmp_path)
    assert project.add(source) == 1
    project.labels.undo(str(project.labels.state().provenance["entry"][0]))
    assert len(project.labels.state()) == 0
    assert project.add(source) == 1
    assert project.add(source) == 0
    assert len(project.labels.state()) == 1


def test_small_objects_are_put_together_by_themselves(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MANY_OBJECTS", 16)
    (a,) = project.images.upload(_image(1), label="cat")
    project.labels.state()
    labels = ["dog", "cat"] * 20
    for label in labels:
        project.labels.set(a, label, expected_revision=project.labels.state().revision(a))
    files = io.list_files(f"{project.url}/log/annotations")
    assert len(files) <= 18
    assert any(file.path.startswith("checkpoint-") for file in files)
    assert _other(project).labels.history(a)["says"].tolist() == ["cat", *labels]  # every entry is there
    before = len(files)
    for _ in range(3):
        project.labels.set(a, "dog")
    project.freeze()
    assert len(io.list_files(f"{project.url}/log/annotations")) < before + 4


def test_a_store_that_forbids_deleting_stops_nobody(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_MANY_OBJECTS", 8)
    (a,) = project.images.upload(_image(1), label="cat")

    def forbidden(url: Any, **options: Any) -> None:
        raise PermissionError(url)

    monkeypatch.setattr(io, "delete", forbidden)
    for label in ["dog", "cat"] * 20:
        project.labels.set(a, label)
    assert project.freeze().column("label").tolist() == ["cat"]
    checkpoints = [file for file in io.list_files(f"{project.url}/log/annotations") if "checkpoint" in file.path]
    assert 1 < len(checkpoints) < 12  # what is in one is not put into another each time
    assert len(_other(project).labels.history(a)) == 41


def test_the_user_of_the_hub_signs_what_is_said_unless_somebody_else_is_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    (image_id,) = project.images.upload(_image(1), label="cat")
    project.labels.suggest({image_id: ("owl", 0.9)}, model="1")
    project.labels.accept(image_id)
    monkeypatch.setenv("JUPYTERHUB_USER", "ben")  # another person's server
    project.labels.set(image_id, "dog")
    project.labels.set(image_id, "owl", author="carl")

    history = project.labels.history(image_id)
    assert list(zip(history["event"], history["author"], strict=True)) == [
        ("uploaded", "ann"),
        ("suggested", "ann"),
        ("accepted", "ann"),
        ("corrected", "ben"),
        ("corrected", "carl"),
    ]
    (said,) = project.labels.state().provenance.to_pylist()
    assert said["author"] == "carl"
