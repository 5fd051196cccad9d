"""One address, one present truth: what importing again makes of new, same, changed, moved and removed photos."""

from __future__ import annotations

import io as _io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError, TooManyBadImagesError
from onlineml.project.project import Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from stores import Store

pytestmark = pytest.mark.parametrize(
    "store", ["memory", "local", pytest.param("s3", marks=pytest.mark.s3)], indirect=True
)


def picture(seed: int) -> bytes:
    """A PNG; all are of one size in bytes, so that sizes tell nothing."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    sink = _io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG", compress_level=0)
    return sink.getvalue()


class Scene:
    """A folder of photos at ``in/`` and a project that imports it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fs, self.root = fsspec.url_to_fs(store.url, **(store.storage_options or {}))
        self.project = Project.create(f"{store.url}/p", storage_options=store.storage_options)

    def write(self, path: str, seed: int) -> None:
        self.store.raw_write(path, picture(seed))

    def touch(self, path: str) -> None:
        data = self.store.raw_read(path)
        self.store.raw_write(path, data)
        if self.store.kind == "local":
            os.utime(f"{self.root}/{path}", ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))

    def move(self, path: str, new: str) -> None:
        old, target = f"{self.root}/{path}", f"{self.root}/{new}"
        if self.store.kind == "local":
            self.fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            Path(old).rename(target)
            return
        self.fs.invalidate_cache()
        for file in self.fs.find(old):
            self.fs.cp_file(file, target + file.removeprefix(old))
            self.fs.rm_file(file)

    def remove(self, path: str) -> None:
        self.fs.rm(f"{self.root}/{path}")

    def add(self, folder: str = "in") -> int:
        self.fs.invalidate_cache()
        options = self.store.storage_options
        return self.project.add(Manifest.from_folders(f"{self.store.url}/{folder}", storage_options=options))

    def add_moved(self, folder: str = "in") -> None:
        """Import photos of which most were never read; moved in memory they are new files of the same content."""
        assert self.add(folder) == 0 or (self.store.kind == "memory" and not self.project.datasets.list())

    def id_of(self, path: str) -> str:
        table = self.project.labels.state().table
        (found,) = [row["image_id"] for row in table.to_pylist() if row["uri"].endswith(f"/{path}")]
        return str(found)

    def labels(self) -> dict[str, str]:
        """Labels by path below the store's folder; an address that occurs twice fails."""
        rows = self.project.labels.state().table.to_pylist()
        found = {row["uri"].partition("/store/")[2]: row["label"] for row in rows}
        assert len(found) == len(rows)
        return found


def _same(scene: Scene) -> None:
    assert scene.add() == 0


def _touched(scene: Scene) -> None:
    for name in "abc":
        scene.touch(f"in/cat/{name}.png")
    assert scene.add() == 0
    assert scene.add() == 0


def _touched_after_words(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "dog"})
    scene.project.images.delete(scene.id_of("b.png"))
    for name in "abc":
        scene.touch(f"in/cat/{name}.png")
    scene.add()
    assert scene.add() == 0


def _overwritten(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "dog"})  # of the picture that was there
    scene.write("in/cat/a.png", 91)
    assert scene.add() == 1


def _overwritten_and_back(scene: Scene) -> None:
    _overwritten(scene)
    scene.project.freeze(max_bad=1.0)
    scene.write("in/cat/a.png", 1)
    scene.add()


def _deleted_and_overwritten(scene: Scene) -> None:
    scene.project.images.delete(scene.id_of("a.png"))
    scene.write("in/cat/a.png", 91)
    assert scene.add() == 1


def _to_another_class(scene: Scene) -> None:
    scene.move("in/cat/a.png", "in/dog/a.png")
    scene.add_moved()


def _to_another_class_after_words(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "cat"})
    scene.move("in/cat/a.png", "in/dog/a.png")
    assert scene.add() == 0


def _another_name(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "dog"})
    scene.move("in/cat/a.png", "in/cat/z.png")
    assert scene.add() == 0


def _exchanged(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "dog"})
    scene.write("in/cat/a.png", 2)
    scene.write("in/cat/b.png", 1)
    assert scene.add() == 0


def _removed(scene: Scene) -> None:
    scene.remove("in/cat/a.png")
    assert scene.add() == 0
    assert scene.add() == 0


def _removed_and_back(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "dog"})
    _removed(scene)
    scene.write("in/cat/a.png", 1)
    scene.add()


def _copied(scene: Scene) -> None:
    scene.write("in/cat/copy.png", 1)
    assert scene.add() == 1


def _folder_moved(scene: Scene) -> None:
    scene.project.labels.set({scene.id_of("a.png"): "dog"})
    scene.move("in", "in_b")
    scene.add_moved("in_b")


BEFORE = {"in/cat/a.png": "cat", "in/cat/b.png": "cat", "in/cat/c.png": "cat", "in/dog/d.png": "dog"}


def _after(*without: str, **changes: str) -> dict[str, str]:
    renamed = {f"in/{path.replace('_', '/')}.png": label for path, label in changes.items()}
    return {path: label for path, label in (BEFORE | renamed).items() if path[3:-4].replace("/", "_") not in without}


# What happens, what is present afterwards, and whether it takes that the photos were opened before.
CASES: list[tuple[Callable[[Scene], None], dict[str, str], bool]] = [
    (_same, BEFORE, False),
    (_touched, BEFORE, True),
    (_touched_after_words, _after("cat_b", cat_a="dog"), False),
    (_overwritten, BEFORE, False),
    (_overwritten_and_back, _after(cat_a="dog"), True),
    (_deleted_and_overwritten, BEFORE, False),
    (_to_another_class, _after("cat_a", dog_a="dog"), False),
    (_to_another_class_after_words, _after("cat_a", dog_a="cat"), False),
    (_another_name, _after("cat_a", cat_z="dog"), False),
    (_exchanged, _after(cat_b="dog"), True),
    (_removed, _after("cat_a"), False),
    (_removed_and_back, _after(cat_a="dog"), False),
    (_copied, _after(cat_copy="cat"), False),
    (_folder_moved, {path.replace("in/", "in_b/"): label for path, label in _after(cat_a="dog").items()}, False),
]


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(("change", "after", "needs_opened"), CASES, ids=[case[0].__name__[1:] for case in CASES])
def test_imported_again(
    store: Store, change: Callable[[Scene], None], after: dict[str, str], needs_opened: bool, opened: bool
) -> None:
    if not opened and (needs_opened or (change is _folder_moved and store.kind == "memory")):
        pytest.skip("nobody has seen the pictures that were there")
    scene = Scene(store)
    for seed, path in enumerate(BEFORE, 1):
        scene.write(path, seed)
    assert scene.add() == len(BEFORE)
    assert scene.labels() == BEFORE
    if opened:
        scene.project.freeze()
    change(scene)
    assert scene.labels() == after
    data = scene.project.freeze(max_bad=0.5)  # copies in two splits
    opened_now = {
        url.partition("/store/")[2]: label for url, label in zip(data.urls(), data.column("label"), strict=True)
    }
    assert opened_now.items() <= after.items()
    if change is not _copied:
        assert opened_now == after


# ---- frozen, and read ----


def _frozen(store: Store, n: int = 4) -> tuple[Scene, Manifest]:
    scene = Scene(store)
    for seed in range(n):
        scene.write(f"in/cat/{seed}.png", seed)
    scene.add()
    return scene, scene.project.freeze()


def _findings(scene: Scene, data: Manifest) -> dict[str, tuple[str, str]]:
    rows = scene.project.datasets.findings(data).table.to_pylist()
    return {row["uri"].rpartition("/")[2]: (row["finding"], row["outcome"]) for row in rows}


def test_what_was_overwritten_or_removed_since_the_import_is_left_out_of_the_next_dataset(store: Store) -> None:
    scene, first = _frozen(store)
    scene.write("in/cat/1.png", 77)
    scene.remove("in/cat/2.png")
    scene.touch("in/cat/3.png")
    data = scene.project.freeze(max_bad=0.5)
    assert _findings(scene, data) == {"1.png": ("changed", "quarantined"), "2.png": ("missing", "quarantined")}
    assert len(data) == 2
    assert scene.project.freeze() == data  # what was told before does not stop again
    scene.add()
    again = scene.project.freeze()
    assert len(again) == 3
    assert _findings(scene, again) == {}
    assert set(again.column("image_id")) & set(first.column("image_id")) == set(data.column("image_id"))


def test_what_was_overwritten_between_import_and_freeze_is_no_picture_that_somebody_labelled(store: Store) -> None:
    scene = Scene(store)
    for seed in range(3):
        scene.write(f"in/cat/{seed}.png", seed)
    scene.add()
    scene.write("in/cat/1.png", 77)
    assert _findings(scene, scene.project.freeze(max_bad=0.5)) == {"1.png": ("changed", "quarantined")}
    assert scene.add() == 1
    assert len(scene.project.freeze()) == 3


def test_a_touched_photo_is_read_once_more_and_its_version_noted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from onlineml.data.annotations import comparing

    scene, first = _frozen(store)
    read: list[str] = []
    original = comparing.content_digests

    def counted(urls: list[str], **options: Any) -> list[str | None]:
        read.extend(urls)
        return original(urls, **options)

    monkeypatch.setattr(comparing, "content_digests", counted)
    scene.touch("in/cat/1.png")
    for _ in range(2):
        assert scene.project.freeze() == first
    assert len(read) == (0 if store.kind == "s3" else 1)
    loaded = scene.project.datasets.get(first.hash)
    listed = Manifest.from_folders(f"{store.url}/in", storage_options=store.storage_options)
    assert sorted(loaded.column("version")) == sorted(listed.column("version"))


def test_a_frozen_dataset_is_found_where_its_photos_are_now(store: Store) -> None:
    scene, first = _frozen(store)
    scene.move("in", "there")
    scene.add("there")
    assert scene.project.freeze() == first
    assert all("/there/" in uri for uri in scene.project.datasets.get(first.hash).column("uri"))
    scene.move("there", "elsewhere")
    scene.add("elsewhere")  # an older dataset too, without a freeze
    assert [url for url in scene.project.datasets.get(first.hash).urls() if "/elsewhere/" not in url] == []


def test_readers_say_that_a_photo_is_not_the_one_that_was_frozen(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from onlineml.data.loading.classification_datamodules import ClassificationDataModule

    scene, data = _frozen(store)
    scene.write("in/cat/1.png", 77)
    if store.kind == "s3":  # the machine that froze it has it still, under the frozen version
        data.to_folders(f"{store.url}/kept", storage_options=store.storage_options)
        kept = {path.rpartition("/")[2]: store.raw_read(path) for path in store.raw_names() if path.startswith("kept/")}
        assert {kept[f"{seed}.png"] for seed in range(4)} == set(map(picture, range(4)))
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "of another machine"))
    scene.touch("in/cat/2.png")
    data = data.with_column("split", ["train"] * len(data))
    module = ClassificationDataModule(data, size_hw=(8, 8), batch_size=4, max_bad=0.5)
    batches = list(module.train_dataloader())
    assert [len(batch["image"]) for batch in batches] == [3]
    bad = [(row.finding, row.uri.rpartition("/")[2]) for batch in batches for row in batch["bad"]]
    assert bad == [("changed", "1.png")]
    for name in ("folders", "webdataset", "labelme"):
        with pytest.raises(DataError, match=r"1\.png was changed"):
            data.export(f"{store.url}/{name}", format=name, storage_options=store.storage_options)


def test_the_share_of_bad_photos_is_remembered(store: Store) -> None:
    scene, _ = _frozen(store, n=8)
    store.raw_write("in/cat/torn.png", picture(5)[:60])
    scene.add()
    with pytest.raises(TooManyBadImagesError):
        scene.project.freeze()
    scene.project.freeze(max_bad=0.2)
    assert scene.project.datasets.max_bad() == 0.2
    again = Project.open(scene.project.url, storage_options=store.storage_options)
    store.raw_write("in/cat/worn.png", picture(6)[:60])
    scene.add()
    assert len(again.freeze()) == 8
    assert again.datasets.max_bad() == 0.2
    for number in range(3):
        store.raw_write(f"in/cat/bad{number}.png", picture(number)[:50])
    scene.add()
    with pytest.raises(TooManyBadImagesError):
        again.freeze()


def test_a_moved_collection_gets_its_new_addresses_in_one_call(store: Store) -> None:
    scene, first = _frozen(store)
    scene.project.labels.set({scene.id_of("0.png"): "cat"})
    scene.project.images.delete(scene.id_of("3.png"))
    scene.move("in", "there")
    old, new = f"{store.url}/in", f"{store.url}/there"
    assert scene.project.images.moved(old, new) == 4
    assert scene.labels() == {f"there/cat/{number}.png": "cat" for number in range(3)}
    assert scene.add("there") == 0
    data = scene.project.freeze()
    assert set(data.column("image_id")) < set(first.column("image_id"))
    scene.project.images.restore(scene.project.labels.state().deleted["image_id"].to_pylist())
    assert scene.project.freeze() == first
    for wrong in (old, f"{store.url}/nowhere"):
        with pytest.raises(DataError):
            scene.project.images.moved(wrong, f"{store.url}/nowhere")
    scene.move("there", "elsewhere")
    scene.write("elsewhere/cat/1.png", 77)
    with pytest.raises(DataError, match=r"1 of 4 .*1\.png"):
        scene.project.images.moved(new, f"{store.url}/elsewhere")
    assert set(scene.labels()) == {f"there/cat/{number}.png" for number in range(4)}
