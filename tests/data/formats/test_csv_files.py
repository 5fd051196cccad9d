"""CSV as spreadsheets and people save it: encodings, marks, delimiters, names given twice."""

from __future__ import annotations

import pyarrow as pa
import pytest

from onlineml.data.formats.csv import TableFile
from onlineml.errors import DataError

WANTED = {"path": "path", "label": "label"}
TEXT = "path,label,size\nä.png,Käse,3\nb.png,,4\n"
EXPECTED = {"path": ["ä.png", "b.png"], "label": ["Käse", None]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_encodings(encoding: str, ends: str) -> None:
    read = TableFile("t.csv", TEXT.replace("\n", ends).encode(encoding)).read(WANTED)
    assert read.texts == EXPECTED
    assert read.others.to_pydict() == {"size": [3, 4]}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_delimiters(mark: str) -> None:
    assert TableFile("t.csv", TEXT.replace(",", mark).encode()).read(WANTED).texts == EXPECTED


def test_another_encoding_is_refused_with_its_byte() -> None:
    with pytest.raises(DataError, match=r"t\.csv, line 2: the byte 0xE4 at 16 is not UTF-8"):
        TableFile("t.csv", TEXT.encode("cp1252"))
    with pytest.raises(DataError, match=r"t\.csv, line 3: a zero byte"):
        TableFile("t.csv", TEXT.replace("b.png", "\0.png").encode())
    with pytest.raises(DataError, match="it is empty"):
        TableFile("t.csv", b"")


def test_a_name_given_twice_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match=r"several columns of the same name: 'label'"):
        TableFile("t.csv", b"path,label, label\na.png,1,2\n").read(WANTED)
    with pytest.raises(DataError, match=r"'path'"):
        TableFile("frame", pa.table([["a"], ["b"]], names=["path", "path"])).read(WANTED)


def test_the_unnamed_index_of_a_data_frame_is_passed_over() -> None:
    assert TableFile("t.csv", b",path\n0,a.png\n").read(WANTED).others.column_names == []


def test_malformed_rows_are_named_by_their_line() -> None:
    with pytest.raises(DataError, match=r"line 3: 3 columns instead of 2"):
        TableFile("t.csv", b"path,label\na,b\na,b,c\n").read(WANTED)
    with pytest.raises(DataError, match=r"line 2: 3 columns instead of 2"):
        TableFile("t.csv", b"a,b\na,b,c\n").without_header(["path", "label"]).read(WANTED)


def test_a_table_without_header() -> None:
    file = TableFile("t.csv", b"a.png,1\nb.png,2\n")
    assert file.first_row == ["a.png", "1"]
    assert file.without_header(["path", "label"]).read(WANTED).texts == {
        "path": ["a.png", "b.png"],
        "label": ["1", "2"],
    }


def test_types_of_arrow() -> None:
    table = pa.table({"path": pa.array(["a", "b"]).dictionary_encode(), "label": [1.0, float("nan")]})
    assert TableFile("frame", table).read(WANTED).texts == {"path": ["a", "b"], "label": ["1", None]}
    with pytest.raises(DataError, match=r"the column 'label' of frame holds struct"):
        TableFile("frame", pa.table({"path": ["a"], "label": [{"x": 1}]})).read(WANTED)
