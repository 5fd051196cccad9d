"""The table of kinds, and what all of them answer alike."""

from __future__ import annotations

import pickle
from importlib import metadata

import numpy as np
import pyarrow as pa
import pytest

from onlineml.data import kinds
from onlineml.data.kinds import BOXES, KINDS, LABEL, AnnotationKind, kind_of, tasks
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError


@pytest.mark.parametrize("kind", KINDS)
def test_no_images(kind: AnnotationKind):
    empty = Manifest(
        pa.table({"image_id": pa.array([], pa.string()), "uri": pa.array([], pa.string())}), task=kind.task
    )
    assert (empty.kind, len(empty), len(empty.hash)) == (kind, 0, 64)
    assert kind.names_used(empty.table) == set()
    assert kind.is_annotated(empty.table).tolist() == kind.differ(empty.table, empty.table).tolist() == []
    assert "classes" in str(empty)
    assert kind.key in kind.value_columns(empty.table)


@pytest.mark.parametrize("kind", KINDS)
def test_images_that_nobody_annotated(kind: AnnotationKind):
    bare = Manifest(pa.table({"image_id": ["a", "b"], "uri": ["a.jpg", "b.jpg"]}), ("cat",), task=kind.task)
    assert kind.is_annotated(bare.table).tolist() == [False, False]
    assert bare.counts()["(unlabelled)"] == {"train": 0, "val": 0, "test": 0, "(no split)": 2}
    assert kind.in_words(bare.table.to_pylist()[0]) in {"no label", "not annotated"}
    assert kind.parsed(None, name="a") == dict.fromkeys(kind.parsed(None, name="a"))
    assert kind.labels_in(kind.parsed(None, name="a")) == []
    names, rows = kind.names_by_row(bare.table)
    assert (len(names), rows.tolist()) == (0, [])
    assert kind.contradiction(bare)([0, 1]) == ""
    assert kind.of_label(None) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_itself_wherever_it_is_unpickled(kind: AnnotationKind):
    assert pickle.loads(pickle.dumps(kind)) is kind  # noqa: S301 (our own bytes)
    assert kind_of(kind.task) is kind
    assert kind.task in repr(kind)


def test_names_by_row():
    table = pa.table({"label": ["cat", None, "dog"], "labels": [["cat", "dog"], None, ["cat", None]]})
    names, rows = LABEL.names_by_row(table)
    assert (names.to_pylist(), rows.tolist()) == (["cat", "dog"], [0, 2])
    names, rows = BOXES.names_by_row(table)
    assert (names.to_pylist(), rows.tolist()) == (["cat", "dog", "cat"], [0, 0, 2])
    assert rows.dtype == np.int64


def test_an_argument_of_another_kind_is_refused():
    assert LABEL.argument_of({"label": "cat", "boxes": None}, of="upload") == "cat"
    assert LABEL.argument_of({"boxes": None}, of="upload") is None
    with pytest.raises(ConfigError, match=r"pass upload\(boxes=\), not label="):
        BOXES.argument_of({"label": "cat", "boxes": None}, of="upload")


def test_a_value_of_another_kind_is_refused():
    with pytest.raises(DataError, match="the label of a must be a class name"):
        LABEL.parsed(([[0, 0, 1, 1]], ["cat"]), name="a")
    with pytest.raises(DataError, match="the boxes of a"):
        BOXES.parsed("cat", name="a")


def test_an_unknown_task():
    with pytest.raises(ConfigError, match="task='juggling': expected one of classification, detection"):
        kind_of("juggling")


def test_a_kind_of_another_package(monkeypatch: pytest.MonkeyPatch):
    class Masks(type(BOXES)):
        task = "masks"

    masks = Masks()
    found = metadata.EntryPoints(
        [
            metadata.EntryPoint("masks", "onlineml_masks:MASKS", kinds._GROUP),
            metadata.EntryPoint("broken", "onlineml_masks:BROKEN", kinds._GROUP),
        ]
    )
    loaded = {"onlineml_masks:MASKS": masks, "onlineml_masks:BROKEN": "no kind"}
    monkeypatch.setattr(kinds, "entry_points", found.select)
    monkeypatch.setattr(metadata.EntryPoint, "load", lambda entry: loaded[entry.value])
    kind_of.cache_clear()
    try:
        assert kind_of("masks") is masks
        assert {"classification", "detection", "masks"} <= set(tasks())
        manifest = Manifest(pa.table({"image_id": ["a"], "uri": ["a.jpg"]}), task="masks")
        assert len(manifest.boxes()) == 0
        with pytest.raises(ConfigError, match=r"'broken'.*onlineml_masks:BROKEN gives 'no kind'"):
            kind_of("broken")
    finally:
        kind_of.cache_clear()
