"""Sets of labels: read from what people have, written, and read back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onlineml.data.formats.tables.label_lists import format_labels, parse_labels
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, UnknownClassError
from onlineml.project.project import Project
from onlineml.storage import io
from picture_files import png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

import numpy as np

SETS = {"a.png": ["cat", "dog"], "b.png": [], "c.png": None, "d.png": ["dog"], "e.png": ["cat", "salt; pepper"]}


def labels_of(found: Manifest) -> dict[str, list[str] | None]:
    assert found.task == "multilabel"
    rows = found.table.select(["uri", "labels"]).to_pylist()
    return {row["uri"].rpartition("/")[2]: row["labels"] for row in rows}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Five images: with several labels, with none, one that nobody annotated, and a name with a separator in it."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number, name in enumerate(SETS):
        (folder / name).write_bytes(png(np.full((8, 10, 3), 40 * number, np.uint8)))
    splits = ["train", "val", "test", "train", "train"]
    rows = [
        {
            "image_id": name[0],
            "uri": name,
            "split": split,
            "group": "g" if name in "a.pngd.png" else None,
            "labels": own,
        }
        for (name, own), split in zip(SETS.items(), splits, strict=True)
    ]
    return Manifest(pa.Table.from_pylist(rows), ("cat", "dog", "salt; pepper"), root=str(folder), task="multilabel")


# ---------------------------------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, None),
        ("cat", ["cat"]),
        (" cat ; dog;", ["cat", "dog"]),
        ('["cat", "salt; pepper"]', ["cat", "salt; pepper"]),
        ("['cat', 'dog']", ["cat", "dog"]),
        ("[]", []),
        ("[draft]", ["[draft]"]),
        ("[1, 2]", ["[1, 2]"]),
        ("[" * 5000, ["[" * 5000]),
    ],
)
def test_a_cell(text: str | None, names: list[str] | None):
    assert parse_labels(text, ";") == names


@pytest.mark.parametrize("names", [None, [], ["cat"], ["a", "b"], ["a;b"], [" a"], ["[]"], ["é", '"']])
def test_a_cell_written_and_read_back(names: list[str] | None):
    assert parse_labels(format_labels(names), ";") == names


# --------------------------------------------------------------------------------------------------------------- tables


def table(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in "xyz":
        (folder / f"{name}.jpg").write_bytes(b"")
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("path,label\nx.jpg,cat;dog\ny.jpg,[]\nz.jpg,\n", {}),
        ("path,labels\nx.jpg,cat; dog\ny.jpg,;\nz.jpg,\n", {}),
        ("path,tags\nx.jpg,cat|dog\ny.jpg,[]\nz.jpg,\n", {"label": "tags", "separator": "|"}),
        ("path,label\nx.jpg,cat|dog\nx.jpg,dog|cat\ny.jpg,[]\nz.jpg,\n", {}),
        ('path,label\nx.jpg,"cat, dog"\nx.jpg,cat\nx.jpg,dog\ny.jpg,[]\nz.jpg,\n', {}),
        ("path,cat,dog\nx.jpg,1,1\ny.jpg,0,0\nz.jpg,,\n", {}),
        ("path,cat,dog\nx.jpg,true,true\ny.jpg,false,false\nz.jpg,,\n", {}),
        ("path,cat,dog,night\nx.jpg,1,1,1\ny.jpg,0,0,0\nz.jpg,,,1\n", {"class_names": ["cat", "dog"]}),
        ("path,label\nx.jpg,cat\nx.jpg,dog\ny.jpg,[]\nz.jpg,\n", {}),
    ],
)
def test_tables_as_people_have_them(text: str, options: dict, tmp_path: Path):
    found = Manifest.from_table(table(tmp_path, text), task="multilabel", **options)
    assert labels_of(found) == {"x.jpg": ["cat", "dog"], "y.jpg": [], "z.jpg": None}
    assert found.class_names == ("cat", "dog")
    assert ("night" in found.table.column_names) == ("night" in text)


def test_a_column_of_lists(tmp_path: Path):
    url = table(tmp_path, "").with_suffix(".parquet")
    pq.write_table(pa.table({"path": ["x.jpg", "y.jpg", "z.jpg"], "labels": [["dog", "cat", "dog"], [], None]}), url)
    found = Manifest.from_any(url, task="multilabel")
    assert labels_of(found) == {"x.jpg": ["cat", "dog"], "y.jpg": [], "z.jpg": None}
    lists = pa.table({"path": ["x.jpg", "y.jpg"], "label": [["dog", "cat"], ["dog"]]})
    pq.write_table(lists, url)
    with pytest.raises(DataError, match=r'are lists of names.*task="multilabel"'):
        Manifest.from_table(url)


def test_rows_of_one_image_must_agree_on_the_rest(tmp_path: Path):
    text = "path,label,split,note\nx.jpg,cat,train,n\nx.jpg,dog,test,n\ny.jpg,cat,train,n\ny.jpg,dog,train,m\n"
    with pytest.raises(DataError, match=r"(?s)1 row differs in split.*line 3.*1 row differs in note.*line 5"):
        Manifest.from_table(table(tmp_path, text), task="multilabel")


def test_bad_columns_of_classes(tmp_path: Path):
    with pytest.raises(DataError, match=r"1 row has a 0 or 1 for some classes only: line 3"):
        Manifest.from_table(table(tmp_path, "path,cat,dog\nx.jpg,1,0\ny.jpg,1,\n"), task="multilabel")
    with pytest.raises(DataError, match=r"columns 'dog', 'cow' for the classes are missing or hold other values"):
        Manifest.from_table(
            table(tmp_path, "path,cat,dog\nx.jpg,1,2\n"), task="multilabel", class_names=["cat", "dog", "cow"]
        )


@pytest.mark.parametrize("separator", [";", "|", ","])
def test_lists_of_names_are_no_class_of_a_classifier(separator: str, tmp_path: Path):
    lists = f'path,label\nx.jpg,"cat{separator}dog"\ny.jpg,cat\nz.jpg,"dog{separator} cat"\n'
    with pytest.raises(DataError, match=r'2 labels .* are lists of names.*task="multilabel"'):
        Manifest.from_table(table(tmp_path, lists))
    with pytest.raises(DataError, match="task="):
        Manifest.from_any(tmp_path / "t.csv", task="classification")
    names = [f"cat{separator}dog", "cat", f"dog{separator} cat"]
    assert Manifest.from_table(tmp_path / "t.csv", class_names=names).counts()[names[0]]["train"] <= 1
    found = Manifest.from_any(tmp_path / "t.csv", task="multilabel")
    assert labels_of(found) == {"x.jpg": ["cat", "dog"], "y.jpg": ["cat"], "z.jpg": ["cat", "dog"]}
    assert any(f"separated by {separator!r}" in note for note in found.notes) == (separator != ";")
    assert Manifest.from_table(tmp_path / "t.csv", task="multilabel", separator="/").class_names == tuple(sorted(names))


def test_a_name_with_a_separator_is_a_class(tmp_path: Path):
    one = "path,label\nx.jpg,salt;pepper\ny.jpg,salt\nz.jpg,sugar\n"
    assert Manifest.from_table(table(tmp_path, one)).class_names == ("salt", "salt;pepper", "sugar")
    one = 'path,label\nx.jpg,"tench, Tinca"\ny.jpg,"tench, Tinca"\nz.jpg,"eel, Conger"\n'
    assert Manifest.from_table(table(tmp_path, one), task="multilabel").class_names == ("eel, Conger", "tench, Tinca")


# -------------------------------------------------------------------------------------------------------- class folders


def test_copies_in_several_class_folders(store: Store):
    contents = {
        "cat/1.jpg": b"both", "dog/other.jpg": b"both", "dog/1.jpg": b"dogs", "cat/2.jpg": b"a cat", "3.jpg": b"none",
        "cat/empty.jpg": b"", "dog/empty.jpg": b"",
    }  # fmt: skip
    for name, content in contents.items():
        store.raw_write(name, content)
    found = Manifest.from_folders(store.url, task="multilabel", storage_options=store.storage_options)
    assert dict(zip(found.column("uri"), found.column("labels"), strict=True)) == {
        "3.jpg": None,
        "cat/1.jpg": ["cat", "dog"],
        "cat/2.jpg": ["cat"],
        "cat/empty.jpg": ["cat"],
        "dog/1.jpg": ["dog"],
        "dog/empty.jpg": ["dog"],
    }
    assert found.class_names == ("cat", "dog")
    assert Manifest.from_any(store.url, task="multilabel", storage_options=store.storage_options) == found


def test_a_copy_in_the_test_split_takes_the_image_there(tmp_path: Path):
    for name in ("train/cat/1.jpg", "test/dog/1.jpg", "val/cow/2.jpg"):
        io.write_bytes(tmp_path / name, b"same" if "1" in name else b"else")
    found = Manifest.from_folders(tmp_path, task="multilabel")
    rows = set(zip(found.column("split"), map(tuple, found.column("labels")), strict=True))
    assert rows == {("test", ("cat", "dog")), ("val", ("cow",))}


# ------------------------------------------------------------------------------------------ written and read back


def facts(found: Manifest) -> list[tuple]:
    own = found.table.select(["uri", "split", "group"]).to_pylist()
    return sorted((row["uri"].rpartition("/")[2], row["split"], row["group"] == "g") for row in own)


@pytest.mark.parametrize("format", ["folders", "t.csv", "t.parquet", "coco.json"])
def test_exported(format: str, manifest: Manifest, tmp_path: Path):  # noqa: A002
    if format == "folders":
        manifest.export(tmp_path / "out", format="folders")
        found = Manifest.from_folders(tmp_path / "out", split="split.csv", task="multilabel")
        assert len(list((tmp_path / "out").rglob("*.png"))) == 7
    else:
        name = "coco" if format.endswith("json") else "table"
        manifest.export(f"{manifest.root}/{format}", format=name)
        found = Manifest.from_any(f"{manifest.root}/{format}", task="multilabel")
    assert labels_of(found) == SETS
    assert facts(found) == facts(manifest)
    assert found.class_names == manifest.class_names


def test_folders_without_the_list(manifest: Manifest, tmp_path: Path):
    manifest.to_folders(tmp_path / "out")
    found = Manifest.from_folders(tmp_path / "out", task="multilabel")
    assert labels_of(found) == SETS  # from the table of splits beside them
    found = Manifest.from_folders(tmp_path / "out", task="multilabel", split="folders")
    assert labels_of(found) == {**SETS, "b.png": None}  # folders do not tell "none" from "nobody looked"


def test_boxes_cannot_be_written_from_labels(manifest: Manifest, tmp_path: Path):
    for name in ("voc", "yolo"):
        with pytest.raises(ConfigError, match="no boxes"):
            manifest.export(tmp_path / "out", format=name)
    with pytest.raises(ConfigError, match="expected"):
        manifest.export(tmp_path / "out", format="boxes")


# ----------------------------------------------------------------------------------------------------------- from boxes


def test_coco_annotations_without_boxes(tmp_path: Path):
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2)],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 7}, {"id": 2, "image_id": 1, "category_id": 3}],
        "categories": [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}],
    }
    (tmp_path / "1.jpg").write_bytes(b"")
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    found = Manifest.from_any(tmp_path, task="multilabel")
    assert labels_of(found) == {"1.jpg": ["cat", "dog"], "2.jpg": []}
    assert (found.class_names, found.class_ids) == (("dog", "cat"), (3, 7))
    document["annotations"].append({"id": 3, "image_id": 2, "category_id": 9})
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(UnknownClassError, match="category 9"):
        Manifest.from_coco(tmp_path / "annotations.json", task="multilabel")


@pytest.mark.parametrize("format", ["coco", "voc"])
def test_the_classes_of_boxes(format: str, tmp_path: Path):  # noqa: A002
    (tmp_path / "a.png").write_bytes(png(np.zeros((8, 10, 3), np.uint8)))
    boxes = [[1.0, 2.0, 5.0, 6.0], [0.0, 0.0, 8.0, 8.0], [2.0, 2.0, 4.0, 7.0]]
    row = {"image_id": "a", "uri": "a.png", "split": "train", "boxes_xyxy": boxes, "labels": ["dog", "cat", "dog"]}
    drawn = Manifest(pa.Table.from_pylist([row]), ("cat", "dog"), root=str(tmp_path), task="detection")
    url = tmp_path / "annotations.json" if format == "coco" else tmp_path / "voc"
    drawn.export(url, format=format)
    found = Manifest.from_any(url, task="multilabel")
    assert labels_of(found) == {"a.png": ["cat", "dog"]}
    assert "boxes_xyxy" not in found.table.column_names
    for write in (drawn.to_folders, drawn.to_table):
        with pytest.raises(ConfigError, match="expected, for the task 'detection', one of coco, "):
            write(tmp_path / "without-boxes.csv")
    with pytest.raises(ConfigError, match="'coco' has no annotations for task='classification'"):
        Manifest.from_coco(url, task="classification")


# ------------------------------------------------------------------------------------------------------------- projects


def test_into_a_project_and_out_again(manifest: Manifest, tmp_path: Path):
    project = Project.create(tmp_path / "project", task="multilabel", class_names=[])
    assert project.add(manifest) == 5
    assert project.add(manifest) == 0
    frozen = project.freeze()
    assert labels_of(frozen) == SETS
    project.labels.add("d", ["cat"])
    frozen = project.freeze()
    frozen.to_table(tmp_path / "out.csv")
    again = Manifest.from_table(tmp_path / "out.csv", task="multilabel")
    assert labels_of(again) == {**SETS, "d.png": ["cat", "dog"]}


def test_labels_made_of_other_labels_are_told(tmp_path: Path):
    table = tmp_path / "tags.csv"
    for name in "abcde":
        (tmp_path / f"{name}.png").write_bytes(b"")
    table.write_text("path,label\na.png,haze road\nb.png,road\nc.png,haze\nd.png,polar bear\ne.png,bear\n")
    told = "'haze road' are other labels together; "
    told += 'Manifest.from_table(task="multilabel", separator=" ") reads sets of labels'
    assert told in Manifest.from_table(table).notes
    sets = Manifest.from_table(table, task="multilabel", separator=" ").column("labels")
    assert [sorted(own) for own in sets[:3]] == [["haze", "road"], ["road"], ["haze"]]
    names = ("haze road", "haze", "road", "polar bear", "bear")
    assert not any("together" in note for note in Manifest.from_table(table, class_names=names).notes)
