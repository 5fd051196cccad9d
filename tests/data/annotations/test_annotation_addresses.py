"""What a log adds up to where several images had one address, or none any more."""

from __future__ import annotations

import pyarrow as pa

from log_entries import WrittenLog


def test_the_newest_image_of_an_address_is_there_until_its_import_is_undone() -> None:
    log = WrittenLog()
    log.imported({"x": "cat", "y": "cat"}, "cat", uri=["in/a", "in/b"])
    log.say("corrected", "x", "dog")
    second = log.imported({"z": "fox"}, "fox", uri=["in/a"])
    assert log.said() == {"y": "cat", "z": "fox"}
    state = log.state()
    assert state.folded.lost.table["image_id"].to_pylist() == ["x"]
    assert (len(state.deleted), state.conflicts, state.revision("x")) == (0, {}, None)
    assert log.said(without=[second]) == {"x": "dog", "y": "cat"}
    log.imported({"x": "cat"}, "cat", uri=["in/a"])  # the picture is back, and with it what somebody said
    assert log.said() == {"x": "dog", "y": "cat"}


def test_an_image_is_where_its_last_import_found_it_with_the_label_of_that_import() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat", uri=["in/cat/a"], version=["1"], split=["val"], group=["g"])
    log.imported({"x": "dog"}, "dog", uri=["in/dog/a"], version=["2"], split=["test"], group=["h"])
    row = log.state().row("x")
    assert (row["uri"], row["version"], row["label"], row["split"], row["group"]) == (
        "in/dog/a",
        "2",
        "dog",
        "val",
        "g",
    )
    log.imported({"x": None}, uri=["in/b"], version=["3"])
    assert (log.state().row("x")["uri"], log.state().row("x")["label"]) == ("in/b", "dog")


def test_an_image_that_was_gone_comes_back_with_a_later_import() -> None:
    log = WrittenLog()
    log.imported({"x": "cat", "y": "cat"}, "cat", uri=["in/a", "in/b"])
    log.say("deleted", "y")
    gone = log.keep(pa.table({"image_id": ["x", "y"]}))
    table = log.keep(
        pa.table({name: pa.array([], pa.string()) for name in ("image_id", "uri", "split", "group", "label")})
    )
    entry = log.say("imported", file=table, class_names=[], gone=gone)
    assert (log.said(), len(log.state().deleted)) == ({}, 0)
    assert log.said(without=[entry]) == {"x": "cat"}
    log.imported({"x": "dog", "y": "dog"}, "dog", uri=["in/a", "in/b"])
    assert (log.said(), log.state().deleted["image_id"].to_pylist()) == ({"x": "dog"}, ["y"])


def test_what_was_uploaded_too_is_there_without_its_address() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat", uri=["in/a"])
    log.say("uploaded", "x", "dog", sha256="ab")
    assert log.state().row("x")["uri"] == "in/a"
    log.imported({"z": "fox"}, "fox", uri=["in/a"])
    rows = {row["image_id"]: (row["uri"], row["label"]) for row in log.state().table.to_pylist()}
    assert rows == {"x": ("blobs/x", "dog"), "z": ("in/a", "fox")}
