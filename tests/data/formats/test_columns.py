"""Columns of tables as people name them, and what their cells may hold."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from late import Late
from onlineml.data.formats.boxes import safe_name
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    from pathlib import Path

pd = Late("pandas")

A, B = "a.jpg", "b.jpg"


def imported(folder: Path, content: str | bytes, *, name: str = "t.csv", **options: str) -> Manifest:
    for image in (A, B):
        io.write_bytes(folder / image, b"")
    io.write_bytes(folder / name, content.encode() if isinstance(content, str) else content)
    return Manifest.from_table(folder / name, **options)


def rows(found: Manifest) -> list[tuple[str, str | None]]:
    return list(zip(found.column("uri"), found.column("label"), strict=True))


def splits(found: Manifest) -> list[str]:
    return list(found.column("split"))


@pytest.mark.parametrize(
    "header",
    [
        "path,label",
        " path , label ",
        "PATH,Label",
        "filename,class",
        "File Name,Class Name",
        "image_path,target",
        "filepaths,labels",
        "image,category",
        "img,classname",
        "Image_ID,breed",
        "id,tag",
        "id_code,diagnosis",
        "fname,species",
    ],
)
def test_names_of_columns(header: str, tmp_path: Path):
    assert rows(imported(tmp_path, f"{header}\na.jpg, cat\nb.jpg,\n")) == [(A, "cat"), (B, None)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,filename,label\n1,a.jpg,cat\n2,b.jpg,dog\n", [(A, "cat"), (B, "dog")]),
        (",path,label\n0,a.jpg,cat\n1,b.jpg,dog\n", [(A, "cat"), (B, "dog")]),
        ("Unnamed: 0,path,label\n0,a.jpg,cat\n1,b.jpg,dog\n", [(A, "cat"), (B, "dog")]),
        ("label,label_name,filename\n0,cat,a.jpg\n1,dog,b.jpg\n", [(A, "cat"), (B, "dog")]),
        ("class_id,class_name,path\n0,cat,a.jpg\n1,dog,b.jpg\n", [(A, "cat"), (B, "dog")]),
        ("a.jpg,007\nb.jpg,7\n", [(A, "007"), (B, "7")]),
        ("path|label\na.jpg|1\nb.jpg|01\n", [(A, "1"), (B, "01")]),
        ("where,label\na.jpg,cat\nb.jpg,dog\n", [(A, "cat"), (B, "dog")]),
        ("path,label,\na.jpg,cat,\nb.jpg,dog,\n", [(A, "cat"), (B, "dog")]),
        ("path,label\na.jpg,nan\nb.jpg,None\n", [(A, "nan"), (B, "None")]),
    ],
)
def test_the_column_that_is_meant(text: str, expected: list, tmp_path: Path):
    assert rows(imported(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("subset\na.jpg,Training\nb.jpg,VAL", ["train", "val"]),
        ("set\na.jpg,test\nb.jpg,dev", ["test", "val"]),
        (" split\na.jpg, train\nb.jpg,validation ", ["train", "val"]),
        ("data set\na.jpg,valid\nb.jpg,train", ["val", "train"]),
        ("is_valid\na.jpg,True\nb.jpg,False", ["val", "train"]),
        ("is_test\na.jpg,0\nb.jpg,1", ["train", "test"]),
    ],
)
def test_splits(column: str, expected: list[str], tmp_path: Path):
    assert splits(imported(tmp_path, f"path,{column}\n")) == expected


def test_numbered_folds_are_no_splits(tmp_path: Path):
    found = imported(tmp_path, "path,label,fold\na.jpg,cat,0\nb.jpg,dog,4\n")
    assert found.column("fold").tolist() == [0, 4]


@pytest.mark.parametrize("parameter", ["path", "label", "split", "group"])
def test_a_column_that_was_named_must_be_there(parameter: str, tmp_path: Path):
    with pytest.raises(DataError, match=rf"has no column 'kind', as {parameter}= names it; its columns are 'path', 'l"):
        imported(tmp_path, "path,label\na.jpg,cat\n", **{parameter: "kind"})
    named = {"path": "path", "label": "label", "split": "split", "group": "site"} | {parameter: "Kind"}
    text = ",".join(named.values()) + "\na.jpg,train,train,g\n"
    if parameter != "path":
        assert len(imported(tmp_path, text, **{parameter: " kind"})) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "filename,file,label\na.jpg,b.jpg,cat\n",
            r"could be the path: 'filename', 'file'; .*path='filename' or",
        ),
        ("path,class,category\na.jpg,1,0\nb.jpg,1,1\n", r"could be the label: 'class', 'category'; .*label='class' or"),
        ("path,label,label\na.jpg,1,0\n", r"several columns of the same name: 'label'; rename"),
        ("where,label\na,b\n", r"has no column 'path', nor one such as .*; it has 'where', 'label'; .*path="),
        ("a.jpg,1,0\nb.jpg,1,1\n", r"first line of .* is no header but names an image: 'a.jpg', '1', '0'; add a line"),
        ("path,label\né.jpg,a\n".encode("latin-1"), r"line 2: the byte 0xE9 at 11 is not UTF-8"),
    ],
)
def test_what_is_refused(text: str | bytes, message: str, tmp_path: Path):
    with pytest.raises(DataError, match=message):
        imported(tmp_path, text)


def test_utf_16_with_its_mark_is_read(tmp_path: Path):
    io.write_bytes(tmp_path / "é.jpg", b"")
    found = imported(tmp_path, "path\tlabel\né.jpg\tkäfer\n".encode("utf-16"))
    assert rows(found) == [("é.jpg", "käfer")]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([1.0, float("nan")]), ["1", None]),
        (pa.array([7, 10], pa.int8()), ["7", "10"]),
        (pa.array([Decimal("1.00"), Decimal("12.00")]), ["1", "12"]),
        (pa.array([1.5, 2.0]), ["1.5", "2"]),
        (pa.array(["x", None]).dictionary_encode(), ["x", None]),
        (pa.array(["x ", ""], pa.large_string()), ["x", None]),
        (pa.array(["x", "y"], pa.string_view()), ["x", "y"]),
        (pa.array([dt.date(2020, 1, 2), None]), ["2020-01-02", None]),
        (pa.array([True, False]), ["true", "false"]),
    ],
)
def test_types_of_labels(labels: pa.Array, expected: list[str | None], tmp_path: Path):
    try:
        pq.write_table(pa.table({"path": [A, B], "label": labels}), tmp_path / "t.parquet")
    except pa.ArrowNotImplementedError:
        pytest.skip("older releases of Arrow store no such column")
    for image in (A, B):
        io.write_bytes(tmp_path / image, b"")
    assert rows(Manifest.from_table(tmp_path / "t.parquet")) == list(zip([A, B], expected, strict=True))


def test_types_that_are_no_texts(tmp_path: Path):
    pq.write_table(pa.table({"image": [{"bytes": b"x", "path": A}], "label": ["cat"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'image' of .*struct.*images inside a table cannot be read, save them"):
        Manifest.from_table(tmp_path / "t.parquet")
    pq.write_table(pa.table({"path": [A], "label": [b"\xff"]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"column 'label' of .* holds binary, expected texts or numbers"):
        Manifest.from_table(tmp_path / "t.parquet")


def test_data_frames_are_read_like_tables(tmp_path: Path):
    frame = pd.DataFrame({"File Name": [A, B], "Class": ["cat ", None], "is_valid": [True, False]}, index=[5, 9])
    found = Manifest.from_pandas(frame, root=imported(tmp_path, "path\na.jpg\n").root)
    assert rows(found) == [(A, "cat"), (B, None)]
    assert splits(found) == ["val", "train"]
    with pytest.raises(DataError, match="label= names it"):
        Manifest.from_pandas(frame, root=tmp_path, label="label")


def test_backslashes_are_separators(tmp_path: Path):
    io.write_bytes(tmp_path / "img/cat/1.jpg", b"")
    io.write_bytes(tmp_path / "t.csv", b"path,label\nimg\\cat\\1.jpg,cat\n")
    assert rows(Manifest.from_table(tmp_path / "t.csv")) == [("img/cat/1.jpg", "cat")]
    io.write_bytes(tmp_path / "t.csv", b"path,label\n..\\cat\\1.jpg,cat\n")
    with pytest.raises(DataError, match="outside the root"):
        Manifest.from_table(tmp_path / "t.csv")
    assert safe_name("a\\b.jpg") == "a/b.jpg"
    assert [safe_name(name) for name in ("..\\b.jpg", "C:\\b.jpg", "\\b.jpg", "\\\\host\\b.jpg")] == [None] * 4
