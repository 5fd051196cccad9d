"""Projects whose images have boxes, on every kind of storage: the same objects and rules as for labels."""

from __future__ import annotations

import io as _io
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from onlineml.data.manifest.manifest import Manifest
from onlineml.data.samples.samples import CLASS_NAMES, make_samples
from onlineml.errors import ConfigError, DataError, StorageError, TooManyBadImagesError, UnknownClassError
from onlineml.project.project import Project

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

CAT: Any = ([[1, 2, 5, 6]], ["cat"])
TWO: Any = ([[1, 2, 5, 6], [0.5, 0, 12, 8]], ["cat", "dog"])
NONE: Any = ([], [])


def _image(seed: int, *, size: tuple[int, int] = (12, 8), turn: int = 1) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    sink, exif = _io.BytesIO(), Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(pixels).save(sink, "PNG", exif=exif)
    return sink.getvalue()


def _create(store: Store, **arguments: Any) -> Project:
    return Project.create(f"{store.url}/p", task="detection", storage_options=store.storage_options, **arguments)


def _manifest(store: Store, boxes: dict[str, Any], **columns: Any) -> Manifest:
    """A manifest of photos that are written now, by name: boxes and labels, or None."""
    for number, name in enumerate(boxes):
        store.raw_write(f"photos/{name}.png", _image(1000 + number))
    table = pa.table(
        {
            "image_id": [f"id-{name}" for name in boxes],
            "uri": [f"{name}.png" for name in boxes],
            "split": ["train"] * len(boxes),
            "boxes_xyxy": pa.array([said and said[0] for said in boxes.values()], pa.list_(pa.list_(pa.float64()))),
            "labels": pa.array([said and said[1] for said in boxes.values()], pa.list_(pa.string())),
            **columns,
        }
    )
    root, options = f"{store.url}/photos", store.storage_options
    return Manifest(table, ("cat", "dog"), root=root, task="detection", storage_options=options)


def _boxes(manifest: Manifest) -> dict[str, Any]:
    return {
        row["image_id"]: None if row["boxes_xyxy"] is None else (row["boxes_xyxy"], row["labels"])
        for row in manifest.table.to_pylist()
    }


def test_an_empty_project(store: Store) -> None:
    project = _create(store)
    again = Project.open(project.url, storage_options=store.storage_options)
    data = again.freeze()
    assert (len(data), data.class_names, data.task, again.task) == (0, (), "detection", "detection")
    assert len(data.boxes()) == 0
    assert "none yet" in project._repr_html_()


def test_one_folder_has_one_task(store: Store) -> None:
    _create(store)
    with pytest.raises(ConfigError, match="'detection'"):
        Project.create(f"{store.url}/p", exist_ok=True, storage_options=store.storage_options)
    assert _create(store, exist_ok=True).task == "detection"
    facts = json.loads(store.raw_read("p/project.json"))
    store.raw_write("p/project.json", json.dumps({**facts, "task": "juggling"}).encode())
    with pytest.raises(StorageError, match="juggling"):
        Project.open(f"{store.url}/p", storage_options=store.storage_options)


def test_what_belongs_to_the_other_task_is_refused(store: Store) -> None:
    project = _create(store, class_names=["cat"])
    (image_id,) = project.images.upload(_image(1))
    with pytest.raises(ConfigError, match="boxes="):
        project.images.upload(_image(2), label="cat")
    with pytest.raises(DataError, match="boxes"):
        project.labels.set(image_id, "cat")
    other = Project.create(f"{store.url}/q", storage_options=store.storage_options)
    with pytest.raises(ConfigError, match="label="):
        other.images.upload(_image(1), boxes=CAT)
    other.images.upload(_image(1), label="cat")
    with pytest.raises(DataError, match="a class name"):
        other.labels.set(image_id, CAT)
    with pytest.raises(ConfigError, match="the manifest's is 'classification'"):
        project.add(other.freeze())
    assert len(project.labels.state()) == 1


def test_upload_with_boxes(store: Store) -> None:
    project = _create(store)
    pictures = [_image(number) for number in range(4)]
    ids = project.images.upload(pictures[:3], boxes=[TWO, NONE, None], split="val")
    assert project.images.upload(pictures[3], boxes=CAT, group="video") == project.images.upload(
        [pictures[3]]
    )  # says no more
    data = project.freeze()
    assert _boxes(data) == {
        ids[0]: ([[1.0, 2.0, 5.0, 6.0], [0.5, 0.0, 12.0, 8.0]], ["cat", "dog"]),
        ids[1]: ([], []),
        ids[2]: None,
        data.column("image_id")[3]: ([[1.0, 2.0, 5.0, 6.0]], ["cat"]),
    }
    assert (data.class_names, data.task) == (("cat", "dog"), "detection")
    assert data.boxes().label_ids.tolist() == [0, 1, 0]
    assert data.boxes().annotated.tolist() == [True, True, False, True]
    assert data.column("label").tolist() == [None] * 4
    again = project.images.upload((picture for picture in [pictures[2]] * 3), boxes=[CAT, TWO, None])
    assert again == [ids[2]] * 3
    assert _boxes(project.freeze())[ids[2]] == _boxes(data)[ids[0]]  # the last that was said about it
    project.images.upload(pictures[0], boxes=([], []), author="ann")  # a correction
    assert _boxes(project.freeze())[ids[0]] == ([], [])
    assert project.datasets.get(data.hash) == data
    assert "cat" in project._repr_html_()


def test_boxes_that_cannot_be_are_refused_and_nothing_is_added(store: Store) -> None:
    project = _create(store)
    turned = _image(1, size=(12, 8), turn=6)  # 8 wide and 12 high, upright
    with pytest.raises(DataError, match="8 x 12"):
        project.images.upload(turned, boxes=([[9, 1, 11, 3]], ["cat"]))
    with pytest.raises(DataError, match="for each of 2 images; found 1"):
        project.images.upload([_image(1), _image(2)], boxes=[CAT])
    with pytest.raises(DataError, match="n labels"):
        project.images.upload(_image(1), boxes=([[1, 2, 3]], ["cat"]))
    assert len(project.labels.state()) == 0
    (image_id,) = project.images.upload(turned, boxes=([[1, 1, 9, 11]], ["cat"]))
    for wrong, message in (
        ([[5, 5, 5, 9]], "no width"),
        ([[0, 0, 1, np.nan]], "not a number"),
        ([[9, 9, 10, 10]], "outside"),
    ):
        with pytest.raises(DataError, match=message):
            project.labels.set(image_id, (wrong, ["cat"]))
    with pytest.raises(UnknownClassError, match=r"classes\.add\('owl'\)"):
        project.labels.set(image_id, ([[0, 0, 1, 1]], ["owl"]))
    with pytest.raises(DataError, match="not in the project"):
        project.labels.set("nobody", ([[0, 0, 1, 1]], ["cat"]))
    data = project.freeze()
    assert _boxes(data) == {image_id: ([[1.0, 1.0, 8.0, 11.0]], ["cat"])}  # cut at the edge, and said so
    assert "box_clipped" in project.datasets.findings(data).counts()


def test_a_corrected_box_is_always_in_the_next_dataset(store: Store) -> None:
    project = _create(store)
    crowd = pa.array([[False, True], None, None])
    source = _manifest(store, {"a": TWO, "b": NONE, "c": None}, crowd=crowd)
    assert project.add(source) == 3
    assert project.add(source) == 0
    before = project.freeze()
    assert _boxes(before) == _boxes(source)
    assert before.boxes().crowd.tolist() == [False, True]
    entry = project.labels.set("id-a", (np.array([[0.5, 0, 12, 8], [3, 3, 6, 7]]), ["dog", "cat"]), author="ann")[0]
    project.labels.set("id-c", ([], []))
    project.add(source.with_column("note", ["x", "y", "z"]))  # brings the old boxes again
    after = project.freeze()
    assert _boxes(after) == {
        "id-a": ([[0.5, 0.0, 12.0, 8.0], [3.0, 3.0, 6.0, 7.0]], ["dog", "cat"]),
        "id-b": ([], []),
        "id-c": ([], []),
    }
    assert after.boxes().crowd.tolist() == [True, False]  # the region that was not moved is one still
    assert after.hash != before.hash
    assert project.datasets.get(before.hash) == before
    assert project.labels.state().revision("id-a") == entry
    project.labels.set({"id-a": None, "id-b": CAT})
    assert _boxes(project.freeze()) == {"id-a": None, "id-b": ([[1.0, 2.0, 5.0, 6.0]], ["cat"]), "id-c": ([], [])}


def test_two_people_who_correct_at_once_are_a_conflict_until_it_is_settled(store: Store) -> None:
    project = _create(store)
    project.add(_manifest(store, {"a": CAT, "b": TWO}))
    ann = Project.open(project.url, storage_options=store.storage_options)
    state = project.annotation_log.state()
    first = ann.labels.set("id-a", TWO, author="ann")[0]
    with pytest.MonkeyPatch.context() as patch:  # bob saw the boxes before ann corrected them
        patch.setattr(project.annotation_log, "state", lambda: state)
        second = project.labels.set("id-a", NONE, author="bob")[0]
    assert dict(project.labels.state().conflicts) == {"id-a": (first, second)}
    assert _boxes(project.freeze())["id-a"] == ([], [])
    project.labels.compact()
    assert set(ann.labels.state().conflicts) == {"id-a"}
    ann.labels.set("id-a", TWO)
    assert not project.labels.state().conflicts


def test_freezing_checks_the_boxes_of_now_and_opens_no_image_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onlineml.data.annotations import freezing

    project = _create(store)
    wrong: Any = ([[1, 2, 5, 6], [4, 4, 4, 6], [10, 1, 20, 7]], ["cat", "cat", "dog"])
    source = _manifest(store, {"a": wrong, "b": CAT})
    project.add(source)
    with pytest.raises(TooManyBadImagesError):
        project.freeze()
    opened: list[int] = []
    original = freezing.check

    def counted(manifest: Manifest, **options: Any) -> Any:
        opened.append(len(manifest))
        return original(manifest, **options)

    monkeypatch.setattr(freezing, "check", counted)
    data = project.freeze(max_bad=0.5)
    assert _boxes(data)["id-a"] == ([[1.0, 2.0, 5.0, 6.0], [10.0, 1.0, 12.0, 7.0]], ["cat", "dog"])
    assert data == source.check(max_bad=0.5).manifest
    findings = project.datasets.findings(data)
    assert {code: findings.counts()[code] for code in ("box_empty", "box_clipped")} == {
        "box_empty": 1,
        "box_clipped": 1,
    }
    assert findings.n_bad_boxes == 1
    project.labels.set("id-a", ([[4, 4, 5, 6]], ["cat"]))
    mended = project.freeze(max_bad=0)
    assert len(project.datasets.findings(mended).table) == 0
    assert opened == []


def test_samples_go_all_the_way(tmp_path: Path) -> None:
    photos = make_samples(str(tmp_path / "photos"), task="detection", n=24, seed=1, mislabelled=0.25, broken=2)
    project = Project.create(tmp_path / "p", task="detection")
    assert project.add(Manifest.from_coco(f"{photos}/annotations.json")) == 24
    data = project.freeze(max_bad=0.2)
    truth = json.loads((tmp_path / "photos" / "truth.json").read_text())
    problems = [image["problem"] for image in truth["images"]]
    counts = project.datasets.findings(data).counts()
    assert data.class_names == CLASS_NAMES
    assert len(data) == 22
    assert counts["box_empty"] == problems.count("empty box")
    assert counts["box_clipped"] == problems.count("box beyond the edge")
    shutil.move(tmp_path / "p", tmp_path / "q")
    assert Project.open(tmp_path / "q").freeze(max_bad=0.2) == data
