"""Tables of labels as people have them: where their images lie, which splits they tell, what their labels are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from late import Late
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

pd = Late("pandas")

# Files, and what is read: "label/split" of each image; "~" where a hash decides the split. The sources are issues of
# fastai (1155, 1169, 3538), keras (12214), keras-preprocessing (92, 164, 169), autogluon (1109), and sets of Kaggle.
FOUND: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "names without extension": (
        {"labels.csv": "id,breed\n000bec,boston\n001513,dingo\n", "train/000bec.jpg": "", "train/001513.jpg": ""},
        {"train/000bec.jpg": "boston/~", "train/001513.jpg": "dingo/~"},
    ),
    "numbers, and a test without labels": (
        {
            "trainLabels.csv": "id,label\n1,frog\n2,truck\n", "sampleSubmission.csv": "id,label\n1,cat\n",
            "train/1.png": "", "train/2.png": "", "test/1.png": "",
        },
        {"train/1.png": "frog/~", "train/2.png": "truck/~"},
    ),
    "a table for each split": (
        {
            "train.csv": "filename,label\n1.jpg,cat\n2.jpg,dog\n", "test.csv": "filename,label\n1.jpg,dog\n",
            "train/1.jpg": "", "train/2.jpg": "", "test/1.jpg": "",
        },
        {"train/1.jpg": "cat/train", "train/2.jpg": "dog/train", "test/1.jpg": "dog/test"},
    ),
    "a table for each split, one folder": (
        {
            "train_labels.csv": "image,class\na.jpg,1\n", "val_labels.csv": "image,class\nb.jpg,02\n",
            "images/a.jpg": "", "images/b.jpg": "",
        },
        {"images/a.jpg": "1/train", "images/b.jpg": "02/val"},
    ),
    "images in parts": (
        {
            "meta.csv": "lesion_id,image_id,dx,label\nL1,I1,nv,nv\nL2,I2,mel,mel\n",
            "part_1/I1.jpg": "", "part_2/I2.jpg": "",
        },
        {"part_1/I1.jpg": "nv/~", "part_2/I2.jpg": "mel/~"},
    ),
    "splits by folder": (
        {"labels.csv": "image,label\na.jpg,x\nb.jpg,y\n", "train/a.jpg": "", "test/b.jpg": ""},
        {"train/a.jpg": "x/train", "test/b.jpg": "y/test"},
    ),
    "a flag of validation": (
        {"data.csv": "fname,label,is_valid\na.png,x,False\nb.png,x,True\n", "imgs/a.png": "", "imgs/b.png": ""},
        {"imgs/a.png": "x/train", "imgs/b.png": "x/val"},
    ),
    "one column a class, one of them 1": (
        {"train.csv": "image_id,healthy,rust\nT0,1,0\nT1,0,1\n", "images/T0.jpg": "", "images/T1.jpg": ""},
        {"images/T0.jpg": "healthy/~", "images/T1.jpg": "rust/~"},
    ),
    "written on Windows": (
        {"labels.csv": "path;label\nimg\\a.jpg;cat\nimg\\b.jpg;dog\n", "img/a.jpg": "", "img/b.jpg": ""},
        {"img/a.jpg": "cat/~", "img/b.jpg": "dog/~"},
    ),
    "blanks everywhere": (
        {"labels.csv": " label, path ,split \n cat , a.jpg , train\ncat,b.jpg,test\n", "a.jpg": "", "b.jpg": ""},
        {"a.jpg": "cat/train", "b.jpg": "cat/test"},
    ),
    "class folders say the same": (
        {
            "birds.csv": "class id,filepaths,labels,data set\n0,train/OWL/1.jpg,OWL,train\n1,test/EMU/1.jpg,EMU,test\n",
            "train/OWL/1.jpg": "", "test/EMU/1.jpg": "",
        },
        {"train/OWL/1.jpg": "OWL/train", "test/EMU/1.jpg": "EMU/test"},
    ),
    "a table of something else": (
        {"stats.csv": "class,n\ncat,1\ndog,1\n", "cat/1.jpg": "", "dog/2.jpg": ""},
        {"cat/1.jpg": "cat/~", "dog/2.jpg": "dog/~"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_tables_in_a_folder(name: str, tmp_path: Path):
    files, expected = FOUND[name]
    for path, text in files.items():
        io.write_bytes(tmp_path / path, text.encode())
    found = Manifest.from_any(tmp_path)
    assert found.task == "classification"
    told = {row["uri"]: f"{row['label'] or '-'}/{row['split']}" for row in found.table.to_pylist()}
    hashed = {path: own.replace("~", told.get(path, "/").partition("/")[2]) for path, own in expected.items()}
    assert told == hashed


def test_several_labels_are_recognised(store: Store):
    texts = {
        "labels.csv": b"path,cat,dog\n1.jpg,1,1\n2.jpg,0,0\n3.jpg,,\n",
        "img/1.jpg": b"1", "img/2.jpg": b"2", "img/3.jpg": b"3",
    }  # fmt: skip
    for path, content in texts.items():
        store.raw_write(path, content)
    for url in (store.url, f"{store.url}/labels.csv"):
        found = Manifest.from_any(url, storage_options=store.storage_options)
        assert found.task == "multilabel"
        told = dict(zip(found.column("uri"), found.column("labels"), strict=True))
        assert told == {"img/1.jpg": ["cat", "dog"], "img/2.jpg": [], "img/3.jpg": None}


def test_a_column_of_lists_is_recognised(tmp_path: Path):
    io.write_bytes(tmp_path / "a.jpg", b"")
    pq.write_table(pa.table({"image": ["a.jpg"], "tags": [["x", "y"]]}), tmp_path / "t.parquet")
    assert Manifest.from_any(tmp_path / "t.parquet").column("labels").tolist() == [["x", "y"]]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.csv": "path,label\n1.jpg,x\n", "b.csv": "path,label\n1.jpg,y\n", "1.jpg": ""}, "several tables"),
        ({"t.csv": "path,label\n1.jpg,x\n", "a/1.jpg": "", "b/1.jpg": ""}, r"'1.jpg: a/1.jpg or b/1.jpg'; set root="),
        ({"train.csv": "path,label\n1.jpg,x\n", "test.csv": "path,label\n1.jpg,y\n", "1.jpg": ""}, "in several of"),
    ],
)  # fmt: skip
def test_what_is_ambiguous(files: dict[str, str], message: str, tmp_path: Path):
    for path, text in files.items():
        io.write_bytes(tmp_path / path, text.encode())
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


@pytest.mark.parametrize("prefix", ["/home/bob/data/", "C:\\\\data\\\\", "s3://bucket/data/"])
def test_absolute_paths_of_another_machine(prefix: str, tmp_path: Path):
    for path in ("img/cat/1.jpg", "img/dog/1.jpg"):
        io.write_bytes(tmp_path / path, b"")
    io.write_bytes(tmp_path / "t.csv", f"path,label\n{prefix}img/cat/1.jpg,c\n{prefix}img/dog/1.jpg,d\n".encode())
    found = Manifest.from_table(tmp_path / "t.csv")
    assert dict(zip(found.column("uri"), found.column("label"), strict=True)) == {
        "img/cat/1.jpg": "c",
        "img/dog/1.jpg": "d",
    }
    assert any("by the ends of their names" in note for note in found.notes)
    io.write_bytes(tmp_path / "t.csv", f"path,label\n{prefix}img/cat/1.jpg,c\n{prefix}img/cow/9.jpg,d\n".encode())
    if "C:" not in prefix:
        with pytest.raises(DataError, match="outside the root"):
            Manifest.from_table(tmp_path / "t.csv")


def test_images_that_the_table_does_not_name_are_told(tmp_path: Path):
    for path in ("img/1.jpg", "img/2.jpg", "notes.txt"):
        io.write_bytes(tmp_path / path, b"")
    io.write_bytes(tmp_path / "t.csv", b"path,label\nimg/1.jpg,x\n")
    found = Manifest.from_any(tmp_path)
    assert (len(found), found.n_ignored) == (1, 2)
    assert "1 image is not in t.csv, and left out" in found.notes


def test_boxes_are_no_labels_and_labels_no_boxes(tmp_path: Path):
    for path in ("images/1.jpg", "cat/2.jpg", "dog/3.jpg"):
        io.write_bytes(tmp_path / path, b"")
    io.write_bytes(tmp_path / "t.csv", b"filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,9,9,x,1,1,2,2\n")
    with pytest.raises(DataError, match=r"is a table of boxes: leave task= out, or read a label of each row by"):
        Manifest.from_any(tmp_path / "t.csv", task="classification")
    with pytest.raises(DataError, match=r"looks like boxes .*leave task= out to read it as that"):
        Manifest.from_any(tmp_path, task="classification")
    (tmp_path / "t.csv").unlink()
    with pytest.raises(DataError, match=r"looks like folders \(leave task= out to read it as that\): expected"):
        Manifest.from_any(tmp_path, task="detection")


def test_labels_that_are_one(tmp_path: Path):
    for number in range(5):
        io.write_bytes(tmp_path / f"{number}.jpg", b"")
    text = "path,label\n0.jpg,caf\u00e9\n1.jpg,cafe\u0301 \n2.jpg,Caf\u00e9\n3.jpg,nan\n4.jpg,\n"
    io.write_bytes(tmp_path / "t.csv", text.encode())
    found = Manifest.from_table(tmp_path / "t.csv")
    assert found.column("label").tolist() == ["caf\u00e9", "caf\u00e9", "Caf\u00e9", "nan", None]
    notes = " ".join(found.notes)
    assert "blanks or Unicode form" in notes
    assert "differ only in case" in notes
    assert "'nan' is a class like any other" in notes


def test_what_is_absent_and_where_images_were_found_is_told(tmp_path: Path):
    for path in ("img/1.jpg", "img/2.jpg"):
        io.write_bytes(tmp_path / path, b"")
    io.write_bytes(tmp_path / "t.csv", b"path,label\n1.jpg,a\n2.jpg,b\n3.jpg,c\n")
    found = Manifest.from_table(tmp_path / "t.csv")
    assert found.column("uri").tolist() == ["img/1.jpg", "img/2.jpg", "3.jpg"]
    assert "read as table from t.csv" in found.notes
    assert any("such as img/1.jpg for '1.jpg'" in note for note in found.notes)
    assert any("1 image is named but not there: '3.jpg'" in note for note in found.notes)


def test_data_frames_find_their_images_too(tmp_path: Path):
    for path in ("img/1.jpg", "img/2.jpg"):
        io.write_bytes(tmp_path / path, b"")
    frame = pd.DataFrame({"ID": ["1", "2"], "Class ": [" a", float("nan")]})
    found = Manifest.from_pandas(frame, root=tmp_path)
    assert found.column("uri").tolist() == ["img/1.jpg", "img/2.jpg"]
    assert found.column("label").tolist() == ["a", None]
    mixed = pd.DataFrame({"path": [tmp_path / "img/1.jpg", tmp_path / "img/2.jpg"], "label": [1, "b"]})
    assert Manifest.from_pandas(mixed).column("label").tolist() == ["1", "b"]
    with pytest.raises(DataError, match="several columns of the same name: 'label'"):
        Manifest.from_pandas(pd.DataFrame([["1", "a", "b"]], columns=["path", "label", "label"]), root=tmp_path)


def test_a_folder_says_why_its_table_is_not_read(tmp_path: Path):
    for path, content in {"1.jpg": b"", "2.jpg": b"", "t.csv": b"path,label,label\n1.jpg,a,b\n2.jpg,b,b\n"}.items():
        io.write_bytes(tmp_path / path, content)
    with pytest.raises(DataError, match=r"'t\.csv' \(.*t\.csv has several columns of the same name: 'label'; rename"):
        Manifest.from_any(tmp_path)


def test_joined_manifests_with_classes_in_other_orders(tmp_path: Path):
    for path in ("x/1.jpg", "y/2.jpg"):
        io.write_bytes(tmp_path / path, b"")
        io.write_bytes(tmp_path / path.replace("jpg", "csv"), f"path,label\n{path[2:]},{path[0]}\n".encode())
    one = Manifest.from_table(tmp_path / "x/1.csv", class_names=["x", "y"])
    two = Manifest.from_table(tmp_path / "y/2.csv", class_names=["y", "x", "z"])
    both = Manifest.concat([one, two])
    assert both.class_names == ("x", "y", "z")
    assert sorted(zip(both.column("label"), both.label_ids().tolist(), strict=True)) == [("x", 0), ("y", 1)]
