"""`onlineml.project` on every kind of storage, from the first upload to a published model."""

from __future__ import annotations

import hashlib
import io as _io
import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import (
    AlreadyExistsError,
    BadImageError,
    ConfigError,
    DataError,
    NotFoundError,
    StorageError,
    TooManyBadImagesError,
    UnknownClassError,
)
from onlineml.project.project import Project
from onlineml.storage import io
from processes import FRESH

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def _image(seed: int, *, kind: str = "PNG", size: tuple[int, int] = (12, 8)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    sink = _io.BytesIO()
    Image.fromarray(pixels).save(sink, kind)
    return sink.getvalue()


def _create(store: Store, **arguments: Any) -> Project:
    return Project.create(f"{store.url}/p", storage_options=store.storage_options, **arguments)


def _folders(store: Store, *, start: int = 0, n: int = 12) -> Manifest:
    """A manifest of n photos, of which those from `start` on are written now (a file written again is another)."""
    for number in range(start, n):
        label = ("cat", "dog")[number % 2]
        store.raw_write(f"photos/{label}/{number}.png", _image(number))
    return Manifest.from_folders(f"{store.url}/photos", storage_options=store.storage_options)


def _labels(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.column("image_id"), manifest.column("label"), strict=True))


@dataclass
class _Model:
    name: str

    def export_files(self, scores: Any) -> dict[str, bytes]:
        return {"model.json": json.dumps({"name": self.name, "scores": scores}).encode(), "weights": self.name.encode()}


def test_an_empty_project(store: Store) -> None:
    project = _create(store)
    assert store.raw_names() == ["p/project.json"]
    assert project.classes.names() == ()
    assert (project.datasets.list(), project.runs.list(), project.models.list(), project.champion()) == (
        [],
        [],
        [],
        None,
    )
    assert project.labels.compact() == 0
    data = project.freeze()
    assert (len(data), data.class_names) == (0, ())
    assert project.title == "p"
    assert "none yet" in project._repr_html_()
    with pytest.raises(NotFoundError, match="0 datasets"):
        project.datasets.get("ab")


def test_created_once_and_opened_by_anyone(store: Store) -> None:
    project = _create(store, title="Pets & <b>more</b>", class_names=["cat", "dog"])
    with pytest.raises(AlreadyExistsError, match=r"Project\.open"):
        _create(store)
    again = Project.open(f"{store.url}/p/", storage_options=store.storage_options)
    assert (again.url, again.title, again.task, again.classes.names()) == (
        project.url,
        project.title,
        "classification",
        ("cat", "dog"),
    )
    same = Project.create(project.url, title="other", exist_ok=True, storage_options=store.storage_options)
    assert (same.title, same.classes.names()) == (project.title, ("cat", "dog"))
    assert "<b>more" not in again._repr_html_()
    with pytest.raises(NotFoundError, match=r"Project\.create"):
        Project.open(f"{store.url}/q", storage_options=store.storage_options)
    for text, message in (
        (b"{}", "schema_version"),
        (b"{", "is not JSON"),
        (b"[", "Expected `object`"),
        (b'{"schema_version": 9}', "schema 9"),
    ):
        store.raw_write("p/project.json", text)
        with pytest.raises(StorageError, match=message):
            Project.open(project.url, storage_options=store.storage_options)


def test_what_cannot_be_created(store: Store) -> None:
    for wrong in ({"task": "juggling"}, {"class_names": ["a", "a"]}, {"class_names": [" "]}):
        with pytest.raises(ConfigError):
            _create(store, **wrong)
    assert store.raw_names() == []


def test_upload_stores_by_content(store: Store, tmp_path: Path) -> None:
    project = _create(store)
    first, second = _image(1), _image(2, kind="JPEG", size=(30, 20))
    (tmp_path / "a.png").write_bytes(first)
    ids = project.images.upload([tmp_path / "a.png", second, first], label="cat")
    assert ids == [hashlib.sha256(data).hexdigest() for data in (first, second, first)]
    blobs = [f"p/blobs/{ids[0][:2]}/{ids[0]}.png", f"p/blobs/{ids[1][:2]}/{ids[1]}.jpg"]
    assert [name for name in store.raw_names() if "blobs" in name] == sorted(blobs)
    assert store.raw_read(blobs[1]) == second
    project.images.upload(first, label="dog", author="ann")  # as it is there, a correction
    data = project.freeze()
    assert _labels(data) == {ids[0]: "dog", ids[1]: "cat"}
    assert data.class_names == ("cat", "dog")
    rows = {row["image_id"]: row for row in data.table.to_pylist()}
    assert (rows[ids[1]]["width"], rows[ids[1]]["height"]) == (30, 20)
    assert all(row["split"] in {"train", "val", "test"} for row in rows.values())
    assert io.read_many(data.urls(), storage_options=store.storage_options) == [
        {ids[0]: first, ids[1]: second}[image_id] for image_id in data.column("image_id")
    ]


def test_a_group_stays_in_its_split(store: Store) -> None:
    project = _create(store)
    project.images.upload([_image(1), _image(2)], label="cat", group="video", split="test")
    project.images.upload([_image(3), _image(4)], label="cat", group="video")
    project.images.upload([_image(5), _image(6)], label=None, group="other")
    rows = project.freeze().table.to_pylist()
    assert {row["split"] for row in rows if row["group"] == "video"} == {"test"}
    assert len({row["split"] for row in rows if row["group"] == "other"}) == 1
    assert [row["label"] for row in rows].count(None) == 2
    with pytest.raises(ConfigError, match="train, val, test"):
        project.images.upload(_image(9), label="cat", split="exam")


def test_upload_refuses_what_is_no_image_and_adds_nothing(store: Store) -> None:
    project = _create(store)
    good = _image(1)
    with pytest.raises(BadImageError, match="2 of 3") as caught:
        project.images.upload([good, b"text", good[: len(good) // 2]], label="cat")
    assert caught.value.finding == "unreadable"
    with pytest.raises(NotFoundError, match="nowhere"):
        project.images.upload([f"{store.url}/nowhere.jpg"], label="cat")
    assert len(project.labels.state()) == 0
    assert project.classes.names() == ()
    assert project.images.upload([], label="cat") == []


def test_import_refers_and_freeze_names_the_state(store: Store) -> None:
    project = _create(store)
    source = _folders(store)
    assert project.add(source) == 12
    before = store.raw_names()
    assert project.add(source) == 0
    assert store.raw_names() == before  # the second import said nothing new
    data = project.freeze()
    assert data == source.with_column("sha256", data.column("sha256"))  # the hash leaves out what reading told
    assert _labels(data) == _labels(source)
    assert sorted(data.urls()) == sorted(source.urls())
    assert all(data.column("sha256"))
    assert project.datasets.list() == [data.hash]
    names = [name for name in store.raw_names() if name.startswith(f"p/datasets/{data.hash}/")]
    files = ["dataset.json", "findings.parquet", "manifest.parquet", "provenance.parquet"]
    assert [name.rpartition("/")[2] for name in names] == files
    again = Project.open(project.url, storage_options=store.storage_options)
    assert again.freeze() == data
    assert again.datasets.get(data.hash[:8]) == data
    assert len(again.datasets.list()) == 1


def test_a_corrected_label_is_always_in_the_next_dataset(store: Store) -> None:
    project = _create(store)
    project.add(_folders(store))
    before = project.freeze()
    image_id = before.column("image_id")[0]
    other = "dog" if before.column("label")[0] == "cat" else "cat"
    project.labels.set(image_id, other, author="ann")
    project.add(_folders(store, start=12, n=14))  # brings two images, and the old label of this one
    after = project.freeze()
    assert _labels(after)[image_id] == other
    assert {k: v for k, v in _labels(after).items() if k != image_id}.items() >= {
        k: v for k, v in _labels(before).items() if k != image_id
    }.items()
    assert after.hash != before.hash
    assert len(after) == 14
    assert project.datasets.get(before.hash) == before  # what was frozen stays
    assert sorted(project.datasets.list()) == sorted([before.hash, after.hash])
    splits = dict(zip(after.column("image_id"), after.column("split"), strict=True))
    assert {k: splits[k] for k in before.column("image_id")} == dict(
        zip(before.column("image_id"), before.column("split"), strict=True)
    )


def test_what_may_be_said_about_images(store: Store) -> None:
    project = _create(store, class_names=["cat"])
    (image_id,) = project.images.upload(_image(1), label="cat")
    with pytest.raises(UnknownClassError, match=r"classes\.add"):
        project.labels.set(image_id, "dog")
    with pytest.raises(DataError, match="not in the project"):
        project.labels.set("nobody", "cat")
    with pytest.raises(DataError, match="not in the project"):
        project.images.delete("nobody")
    for wrong in ("", "  "):
        with pytest.raises(ConfigError, match="blank"):
            project.classes.add(wrong)
    project.classes.add("dog")
    project.classes.add("cat")
    assert project.classes.names() == ("cat", "dog")
    project.labels.set(image_id, "dog")
    assert project.labels.compact() > 1
    assert _labels(project.freeze()) == {image_id: "dog"}
    project.images.delete(image_id)
    assert len(project.freeze()) == 0
    project.images.upload(_image(1), label="cat")
    assert _labels(project.freeze()) == {image_id: "cat"}


def test_bad_images_are_left_out_or_stop_the_freeze(store: Store) -> None:
    project = _create(store)
    store.raw_write("photos/cat/torn.png", _image(99)[:60])
    store.raw_write("photos/cat/copy.png", _image(1))  # the same bytes as dog/1.png
    source = _folders(store)
    project.add(source)
    with pytest.raises(TooManyBadImagesError) as caught:
        project.freeze()
    assert project.datasets.list() == []
    data = project.freeze(max_bad=0.3)
    uris = sorted(url.rpartition("photos/")[2] for url in data.urls())
    assert uris == sorted(f"{('cat', 'dog')[number % 2]}/{number}.png" for number in range(12) if number != 1)
    alone = source.check(max_bad=1.0)
    order = ["image_id", "finding"]
    assert caught.value.table.table.sort_by([(n, "ascending") for n in order]).select(order) == alone.table.sort_by(
        [(n, "ascending") for n in order]
    ).select(order)
    assert data == alone.manifest
    found = project.datasets.findings(data)
    assert (found.n_images, found.n_bad, found.counts()) == (alone.n_images, alone.n_bad, alone.counts())
    with pytest.raises(NotFoundError):
        project.datasets.findings(source)


def test_what_is_left_out_is_told_in_one_line(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p")
    project.images.upload([_image(number) for number in range(4)], label="cat")
    whole = project.freeze()
    assert not whole.notes
    for name, content in (("torn.png", _image(99)[:60]), ("empty.png", b"")):
        (tmp_path / "photos" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / "cat" / name).write_bytes(content)
    project.add(Manifest.from_folders(tmp_path / "photos"))

    data = project.freeze(max_bad=0.5)

    told = "2 of 6 images are left out: 1 empty, 1 truncated; project.datasets.findings(data) lists them"
    assert data.hash == whole.hash
    assert data.notes == (told,)
    assert told in data._repr_html_()
    assert (project.datasets.findings(data).n_images, project.datasets.findings(data).n_bad) == (6, 2)


def test_images_are_opened_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from onlineml.data.annotations import freezing

    project = _create(store)
    project.add(_folders(store))
    project.images.upload(_image(50), label="cat")
    opened: list[int] = []
    original = freezing.check

    def counted(manifest: Manifest, **options: Any) -> Any:
        opened.append(len(manifest))
        return original(manifest, **options)

    monkeypatch.setattr(freezing, "check", counted)
    monkeypatch.setattr(freezing, "_BATCH", 5)
    first = project.freeze()
    assert opened == [5, 5, 2]
    assert Project.open(project.url, storage_options=store.storage_options).freeze() == first
    project.add(_folders(store, start=12, n=15))
    assert len(project.freeze()) == 16
    assert opened == [5, 5, 2, 3]


def test_a_copied_folder_is_a_copied_project(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p")
    ids = project.images.upload([_image(1), _image(2)], label="cat")
    (tmp_path / "p" / "photos" / "dog").mkdir(parents=True)
    (tmp_path / "p" / "photos" / "dog" / "3.png").write_bytes(_image(3))
    project.add(Manifest.from_folders(tmp_path / "p" / "photos"))
    data = project.freeze()
    shutil.move(tmp_path / "p", tmp_path / "q")
    moved = Project.open(tmp_path / "q")
    again = moved.datasets.get(data.hash)
    assert again == data == moved.freeze()
    assert set(ids) < set(again.column("image_id"))
    assert all(isinstance(content, bytes) for content in io.read_many(again.urls()))


def test_a_local_project_outlasts_a_change_of_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project.create("p")
    (tmp_path / "a.png").write_bytes(_image(1))
    project.images.upload("a.png", label="cat")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(project.freeze()) == 1


def test_runs(store: Store) -> None:
    project = _create(store)
    runs = [project.runs.new(spec={"n": number}) for number in range(2)]
    runs[0].set_status("finished")
    found = project.runs.list()
    assert {run.id: run.spec for run in found} == {run.id: run.spec for run in runs}
    assert sorted(run.status()["state"] for run in found) == ["created", "finished"]


def test_models(store: Store) -> None:
    project = _create(store)
    one, two = project.publish(_Model("one"), {"accuracy": 0.5}), project.publish(_Model("two"))
    assert project.models.list() == [one, two]
    assert one.descriptor() == {"name": "one", "scores": {"accuracy": 0.5}}
    assert project.champion() is None
    project.promote(one)
    project.promote(two, reason="better")
    assert project.champion() == two
    assert f"<b>{two.version}</b>" in project._repr_html_()
    assert project.models.rollback() == one == project.champion()


def test_parts_of_a_project_show_their_place_and_their_verbs(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p")
    assert repr(project.runs) == f"ProjectRuns of {tmp_path}/p: new(), list(), get(), delete()"
    assert "move_to_split()" in repr(project.images)
    assert repr(project.jobs) == f"ProjectJobs('{tmp_path}/p')"


class _Doubtful(dict[str, float]):
    def doubt(self) -> str:
        return "no better than a model that has learned nothing"


def test_a_model_that_may_have_learned_nothing_is_published_with_a_warning(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p")
    with pytest.warns(UserWarning, match="^no better than a model that has learned nothing$") as told:
        version = project.publish(_Model("one"), _Doubtful(accuracy=0.5))
    assert told[0].filename == __file__
    assert project.promote(version) == project.champion()


def test_a_model_of_another_task_is_not_published(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "p", task="classification")
    other = _Model("other")
    other.task = "multilabel"
    with pytest.raises(ConfigError, match=r"project's task is 'classification'; the model's is 'multilabel'"):
        project.publish(other)
    assert project.models.list() == []


@pytest.mark.parametrize("step", range(10))  # blob, entry; table, entry; what was seen; 4 files of a dataset, entry
def test_killed_at_any_write_a_project_opens_and_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    project = _create(store)
    source = _folders(store, n=6)
    left = [step]
    with monkeypatch.context() as patch:
        for name in ("write_bytes", "create_bytes"):
            patch.setattr(io, name, _dying(getattr(io, name), left))
        with pytest.raises(_Killed):
            _work(project, source)
    fresh = Project.open(project.url, storage_options=store.storage_options)
    assert len(fresh.labels.state()) == [0, 0, 1, 1, 7, 7, 7, 7, 7, 7][step]
    assert len(fresh.datasets.list()) == (step == 9)
    data = _work(fresh, source)
    assert len(data) == 7
    assert fresh.datasets.get(data.hash) == data
    assert _labels(data).items() > _labels(source).items()


def _work(project: Project, source: Manifest) -> Manifest:
    project.images.upload(_image(100), label="cat")
    project.add(source)
    return project.freeze()


class _Killed(BaseException):
    """Stands for the end of the process."""


def _dying(original: Any, left: list[int]) -> Any:
    def dying(*args: Any, **options: Any) -> Any:
        if not left[0]:
            raise _Killed
        left[0] -= 1
        return original(*args, **options)

    return dying


def test_processes_upload_and_correct_at_once(store: Store) -> None:
    project = _create(store, class_names=["cat", "dog"])
    ids = project.images.upload([_image(number) for number in range(3)], label="cat")
    if store.kind == "memory":
        return  # each process's own
    with FRESH.Pool(2) as pool:
        pool.starmap(_annotate, [(project.url, store.storage_options, ids, worker) for worker in range(2)])
    state = Project.open(project.url, storage_options=store.storage_options).labels.state()
    assert len(state) == 3 + 2 * 3
    assert project.freeze() == project.freeze()
    assert set(project.classes.names()) == {"cat", "dog", "new 0", "new 1"}


def _annotate(url: str, options: dict[str, Any] | None, ids: list[str], worker: int) -> None:
    project = Project.open(url, storage_options=options)
    for number in range(3):
        project.images.upload(_image(100 + 10 * worker + number), label=f"new {worker}")
        project.labels.set(ids[number], "dog")
    project.freeze()
    project.labels.compact()


def test_options_are_neither_shown_nor_pickled_nor_stored(store: Store) -> None:
    secret = "hunter2-hunter2"  # noqa: S105
    options = {**(store.storage_options or {}), "token": secret} if store.kind == "s3" else {"token": secret}
    project = Project.create(f"{store.url}/p", storage_options=options)
    assert secret not in repr(project) + str(pickle.dumps(project))
    assert pickle.loads(pickle.dumps(project)).url == project.url  # noqa: S301 (our own)
    assert not [name for name in store.raw_names() if secret.encode() in store.raw_read(name)]


def test_importing_is_light() -> None:
    heavy = ["torch", "lightning", "matplotlib", "albumentations", "pandas", "cv2"]
    names = "onlineml.project, onlineml.registry, onlineml.runs"
    code = f"import sys, {names}\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
