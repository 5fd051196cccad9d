"""Class folders and tables: read as a user lays them out, and written and read back, on every kind of storage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from calls import calls_of
from late import Late
from onlineml.data.formats.parts import naturally_sorted
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.manifest.splits import stable_split
from onlineml.errors import AlreadyExistsError, ConfigError, DataError, NotFoundError
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

pd = Late("pandas")


def _fill(store: Store, *names: str) -> str:
    """Files whose content is their name: an import must not look into them."""
    for name in names:
        store.raw_write(name, name.encode())
    return store.url


# ------------------------------------------------------------------------------------------------------ class folders


def test_an_empty_folder_is_an_error_that_says_what_was_expected(store: Store):
    with pytest.raises(DataError, match=r"no images in .*found no files at all"):
        Manifest.from_folders(store.url, storage_options=store.storage_options)
    _fill(store, "notes.txt")
    with pytest.raises(DataError, match=r"found 1 other file, such as 'notes.txt'"):
        Manifest.from_folders(store.url, storage_options=store.storage_options)


def test_class_folders(store: Store):
    names = ["10/a.JPG", "2/deep/er/b.png", "2/c.jpeg", "loose.webp"]
    url = _fill(store, *names, "2/notes.txt", ".hidden/d.jpg", "10/._a.JPG", "Thumbs.db")
    manifest = Manifest.from_folders(url, storage_options=store.storage_options)
    assert manifest.class_names == ("2", "10")
    assert manifest.n_ignored == 4
    assert dict(zip(manifest.column("uri"), manifest.column("label"), strict=True)) == {
        "10/a.JPG": "10",
        "2/deep/er/b.png": "2",
        "2/c.jpeg": "2",
        "loose.webp": None,
    }
    assert manifest.column("split").tolist() == stable_split(manifest.column("uri").tolist()).tolist()
    assert [io.read_bytes(u, storage_options=store.storage_options).decode() for u in manifest.urls()] == sorted(names)
    assert Manifest.from_folders(url + "/", storage_options=store.storage_options) == manifest


def test_the_users_own_split_folders(store: Store):
    url = _fill(store, "Train/cat/1.jpg", "Train/dog/1.jpg", "valid/cat/2.jpg", "test/dog/x/3.jpg", "test/4.jpg")
    manifest = Manifest.from_folders(url, storage_options=store.storage_options)
    rows = set(zip(manifest.column("uri"), manifest.column("split"), manifest.column("label"), strict=True))
    assert rows == {
        ("Train/cat/1.jpg", "train", "cat"),
        ("Train/dog/1.jpg", "train", "dog"),
        ("valid/cat/2.jpg", "val", "cat"),
        ("test/dog/x/3.jpg", "test", "dog"),
        ("test/4.jpg", "test", None),
    }


def test_a_class_may_be_called_train(tmp_path: Path):
    for name in ("train/1.jpg", "bus/2.jpg", "test/3.jpg"):
        io.write_bytes(tmp_path / name, b"")
    with pytest.raises(DataError, match=r"'test', 'train' of .*set split='folders' if .*, or split='hash' if all"):
        Manifest.from_folders(tmp_path)
    assert Manifest.from_folders(tmp_path, split="hash").class_names == ("bus", "test", "train")
    for name in ("deep/train/red/1.jpg", "deep/bus/red/2.jpg"):
        io.write_bytes(tmp_path / name, b"")
    assert Manifest.from_folders(tmp_path / "deep").class_names == ("bus", "train")


def test_folders_that_are_splits_and_more_are_refused(tmp_path: Path):
    for name in ("train/cat/1.jpg", "test/cat/2.jpg", "extra/cat/3.jpg"):
        io.write_bytes(tmp_path / name, b"")
    with pytest.raises(DataError, match="look like splits, but there are also the folders 'extra'"):
        Manifest.from_folders(tmp_path)


def test_an_overwritten_file_is_another_image(tmp_path: Path):
    for name in ("a/1.jpg", "a/2.jpg"):
        io.write_bytes(tmp_path / name, b"first")
    before = Manifest.from_folders(tmp_path)
    io.write_bytes(tmp_path / "a/2.jpg", b"second")
    after = Manifest.from_folders(tmp_path)
    assert (before.column("image_id") == after.column("image_id")).tolist() == [True, False]
    assert before.column("split").tolist() == after.column("split").tolist()


def test_names_that_cannot_be_kept_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="found ''"):
        Manifest.from_folders("")
    io.write_bytes(tmp_path / "a/ok é#?%20.jpg", b"content")
    (url,) = Manifest.from_folders(tmp_path).urls()
    assert io.read_bytes(url) == b"content"
    (tmp_path / "a" / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(b"")
    with pytest.raises(DataError, match=r"1 file name .* is not UTF-8 text"):
        Manifest.from_folders(tmp_path)


def test_class_names_may_be_given(tmp_path: Path):
    io.write_bytes(tmp_path / "b/1.jpg", b"")
    assert Manifest.from_folders(tmp_path, class_names=["c", "b"]).label_ids().tolist() == [1]
    with pytest.raises(DataError, match="'b'"):
        Manifest.from_folders(tmp_path, class_names=["c"])


def test_relative_roots_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    io.write_bytes(tmp_path / "photos/b/1.jpg", b"")
    monkeypatch.chdir(tmp_path)
    manifest = Manifest.from_folders("photos")
    monkeypatch.chdir("/")
    assert manifest.urls() == [str(tmp_path / "photos/b/1.jpg")]


def test_split_table(store: Store):
    url = _fill(store, "a/1.jpg", "a/2.jpg", "b/3.jpg", "b/4.jpg")
    table = "path,split,label,group\na/1.jpg,Train,,g1\n./a/2.jpg,valid,NA,g1\nb/3.jpg,test,01,\n"
    store.raw_write("split.csv", b"\xef\xbb\xbf" + table.encode())  # with the mark that spreadsheets write
    manifest = Manifest.from_folders(url, split="split.csv", storage_options=store.storage_options)
    assert manifest.column("split").tolist() == ["train", "val", "test", None]
    assert manifest.column("label").tolist() == ["a", "NA", "01", "b"]
    assert manifest.column("group").tolist()[:2] == ["g1", "g1"]
    assert len(set(manifest.column("group").tolist())) == 3
    assert manifest.n_ignored == 0


def test_all_bad_rows_of_a_split_table_are_named(tmp_path: Path):
    for name in ("a/1.jpg", "a/2.jpg"):
        io.write_bytes(tmp_path / name, b"")
    rows = "path,split\na/1.jpg,train\na/9.jpg,train\na/1.jpg,test\n,val\na/2.jpg,holdout\n../x.jpg,train\n"
    io.write_bytes(tmp_path / "s.csv", rows.encode())
    with pytest.raises(DataError) as caught:
        Manifest.from_folders(tmp_path, split="s.csv")
    for part in ("3: a/9.jpg", "4: a/1.jpg", "line 5", "6: holdout", "7: ../x.jpg"):
        assert part in str(caught.value)
    with pytest.raises(NotFoundError):
        Manifest.from_folders(tmp_path, split="missing.csv")
    io.write_bytes(tmp_path / "s.csv", b"path,split\na/1.jpg,train,extra\na/2.jpg\n")
    with pytest.raises(DataError, match=r"(?s)2 rows .* malformed.*line 2: 3 columns.*line 3: 1 columns"):
        Manifest.from_folders(tmp_path, split="s.csv")
    io.write_bytes(tmp_path / "s.csv", b"where,split\nx,train\n")
    with pytest.raises(DataError, match=r"has no column 'path', nor one such as 'paths'.*; it has 'where', 'split'"):
        Manifest.from_folders(tmp_path, split="s.csv")


def test_real_photos_with_their_split(data_dir: Path | None):
    if data_dir is None:
        pytest.skip("no real images here; the layouts above are the same")
    folder = data_dir / "photos" / "sign_digits"
    manifest = Manifest.from_folders(folder, split="split.csv")
    oracle = pd.read_csv(folder / "split.csv", dtype=str).set_index("path").sort_index()
    frame = manifest.to_pandas().set_index("uri").sort_index()
    assert frame["split"].to_dict() == oracle["split"].to_dict()
    assert frame["label"].to_dict() == oracle["label"].to_dict()
    assert manifest.class_names == tuple("0123456789")
    assert Manifest.from_table(folder / "split.csv") == manifest


def test_importing_takes_little_for_each_file(tmp_path: Path):
    def work(name: str, n: int) -> int:
        for c in range(10):
            folder = tmp_path / name / f"class {c}"
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"{i}.jpg").touch()
        made = []
        calls = calls_of(lambda: made.append(Manifest.from_folders(tmp_path / name)))
        assert len(made[0]) == 10 * n
        assert made[0].class_names == tuple(f"class {c}" for c in range(10))
        return calls

    work("first", 1)  # what is imported when it is first used
    assert (work("large", 110) - work("small", 10)) / 1000 < 50  # 32 for a file; 100,000 take 1.4 s on two idle cores


def test_folders_written_and_read_back(store: Store):
    url = _fill(store, "train/cat/1.jpg", "train/cat/x/1.jpg", "val/dog/1.jpg", "test/2.png")
    manifest = Manifest.from_folders(url, storage_options=store.storage_options).with_column("group", list("ggxy"))
    target = manifest.to_folders(f"{store.url}-copy", storage_options=store.storage_options)
    back = Manifest.from_folders(target, split="split.csv", storage_options=store.storage_options)
    contents = {
        (io.read_bytes(where, storage_options=store.storage_options), label, split, group)
        for m in (manifest, back)
        for where, label, split, group in zip(
            m.urls(), m.column("label"), m.column("split"), m.column("group"), strict=True
        )
    }
    assert len(contents) == len(manifest) == len(back)  # the same four rows, byte for byte
    assert (
        back.counts()
        == manifest.counts()
        == Manifest.from_folders(target, storage_options=store.storage_options).counts()
    )
    with pytest.raises(AlreadyExistsError, match="new folder"):
        manifest.to_folders(target, storage_options=store.storage_options)


def test_folders_without_splits_written_and_read_back(tmp_path: Path):
    for name in ("in/cat/1.jpg", "in/dog/1.jpg"):
        io.write_bytes(tmp_path / name, name.encode())
    manifest = Manifest.from_folders(tmp_path / "in").with_column("split", ["train", None])
    manifest.to_folders(tmp_path / "out")
    assert [info.path for info in io.list_files(tmp_path / "out")] == ["cat/1.jpg", "dog/1.jpg", "split.csv"]
    back = Manifest.from_folders(tmp_path / "out", split="split.csv")
    assert back.column("split").tolist() == ["train", None]
    with pytest.raises(DataError, match="cannot be folder names"):
        manifest.with_class_names(["cat", "dog", "a/b"]).to_folders(tmp_path / "other")


# ------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_written_and_read_back(store: Store, kind: str):
    url = _fill(store, "a/1.jpg", "a/2.jpg", "b/3, with comma.jpg", 'b/4 "quoted".jpg')
    manifest = Manifest.from_folders(url, storage_options=store.storage_options)
    manifest = manifest.with_column("group", list("ggxy")).with_column("weight", [0.5, None, 2.0, 3.0])
    manifest = manifest.with_column("split", ["train", None, "val", "test"]).with_labels(
        {manifest.column("image_id")[1]: None}
    )
    where = manifest.to_table(f"{store.url}/table.{kind}", storage_options=store.storage_options)
    back = Manifest.from_table(where, class_names=manifest.class_names, storage_options=store.storage_options)
    assert back == manifest
    assert back.urls() == manifest.urls()
    assert back.table.equals(manifest.table)


def test_tables_elsewhere_name_absolute_paths(tmp_path: Path):
    io.write_bytes(tmp_path / "photos/a/1.jpg", b"")
    manifest = Manifest.from_folders(tmp_path / "photos")
    where = manifest.to_table(tmp_path / "tables/t.csv")
    assert pd.read_csv(where)["path"].tolist() == [str(tmp_path / "photos/a/1.jpg")]
    assert Manifest.from_table(where, root=tmp_path / "photos") == manifest
    assert Manifest.from_table(where, root="").urls() == manifest.urls()
    with pytest.raises(DataError, match=r"1 path is outside the root .*expected paths below .*tables; set root="):
        Manifest.from_table(where)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_users(tmp_path: Path, delimiter: str):
    for name in ("img/1.jpg", "img/2.jpg"):
        io.write_bytes(tmp_path / name, b"")
    rows = [["file", "species", "width", "site"], ["img/1.jpg", "007", "5", "north"], ["img/2.jpg", "", "6", ""]]
    io.write_bytes(tmp_path / "t.csv", "\r\n".join(delimiter.join(row) for row in rows).encode())
    manifest = Manifest.from_table(tmp_path / "t.csv", path="file", label="species")
    assert manifest.column("label").tolist() == ["007", None]
    assert manifest.column("table_width").tolist() == [5, 6]
    assert manifest.column("site").tolist() == ["north", None]
    assert manifest.table["width"].null_count == 2
    assert manifest.column("split").tolist() == stable_split(["img/1.jpg", "img/2.jpg"]).tolist()


def test_labels_that_are_numbers_stay_as_they_are_written(tmp_path: Path):
    for i in range(3):
        io.write_bytes(tmp_path / f"{i}.jpg", b"")
    frame = pd.DataFrame({"path": ["0.jpg", "1.jpg", "2.jpg"], "label": [7, None, 10], "group": ["g", "g", "g"]})
    frame.to_parquet(tmp_path / "t.parquet")  # pandas makes floats of integers beside a null
    manifest = Manifest.from_table(tmp_path / "t.parquet")
    assert manifest.column("label").tolist() == ["7", None, "10"]
    assert manifest.class_names == ("7", "10")
    assert len(set(manifest.column("split").tolist())) == 1


def test_all_bad_rows_of_a_table_are_named(tmp_path: Path):
    io.write_bytes(tmp_path / "a.jpg", b"")
    rows = "path,split\na.jpg,train\n./a.jpg,test\n,val\n../secret.jpg,train\n/etc/passwd,train\ns3://b/x.jpg,x\n"
    io.write_bytes(tmp_path / "t.csv", rows.encode())
    with pytest.raises(DataError) as caught:
        Manifest.from_table(tmp_path / "t.csv")
    for part in ("3: a.jpg", "line 4", "5: ../secret.jpg", "6: /etc/passwd", "7: s3://b/x.jpg", "7: x"):
        assert part in str(caught.value)
    with pytest.raises(DataError, match=r"5: \.\./secret\.jpg"):
        Manifest.from_table(tmp_path / "t.csv", root="")


def test_a_wrong_root_is_noticed_and_a_missing_image_is_left_to_the_check(tmp_path: Path):
    io.write_bytes(tmp_path / "img/a.jpg", b"")
    io.write_bytes(tmp_path / "tables/t.csv", b"path\na.jpg\ngone.jpg\n")
    with pytest.raises(DataError, match="none of the 2 images"):
        Manifest.from_table(tmp_path / "tables/t.csv")
    manifest = Manifest.from_table(tmp_path / "tables/t.csv", root=tmp_path / "img")
    assert "1 image is named but not there: 'gone.jpg'" in manifest.notes
    assert [version != "" for version in manifest.column("version")] == [True, False]


def test_not_a_table(tmp_path: Path):
    io.write_bytes(tmp_path / "t.parquet", b"nothing")
    with pytest.raises(DataError, match="not a readable table"):
        Manifest.from_table(tmp_path / "t.parquet")
    io.write_bytes(tmp_path / "t.csv", b"")
    with pytest.raises(DataError, match="not a readable table"):
        Manifest.from_table(tmp_path / "t.csv")
    io.write_bytes(tmp_path / "t.csv", b"path,label\n")
    assert len(Manifest.from_table(tmp_path / "t.csv")) == 0


def test_natural_order():
    assert naturally_sorted(["b", "a10", "a2", "A3", "10", "9", "01", "1", "x²"]) == (
        *("01", "1", "9", "10", "a2", "A3", "a10", "b", "x²"),
    )
