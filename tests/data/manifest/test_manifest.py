"""The manifest: what it refuses, what its hash sees, and that it survives storage."""

from __future__ import annotations

import copy
import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import calls_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import AlreadyExistsError, ConfigError, DataError, NotFoundError, UnknownClassError
from onlineml.storage import io

if TYPE_CHECKING:
    from stores import Store


def _manifest(**columns: Any) -> Manifest:
    rows = {
        "image_id": ["a", "b", "c", "d"],
        "uri": ["x/1.jpg", "x/2.jpg", "s3://other/3.jpg", "/data/4.jpg"],
        "split": ["train", "train", "test", None],
        "label": ["cat", "dog", "dog", None],
        **columns,
    }
    return Manifest(pa.table(rows), ("cat", "dog"), root="s3://bucket/photos")


def _empty() -> Manifest:
    return Manifest(pa.table({"image_id": pa.array([], pa.string()), "uri": pa.array([], pa.string())}))


def test_an_empty_manifest_works_everywhere(store: Store):
    empty = _empty()
    assert len(empty) == 0
    assert empty.urls() == []
    assert empty.label_ids().tolist() == []
    assert empty.counts() == {}
    assert empty.column("width").tolist() == []
    assert len(empty.hash) == 64
    assert "0 images" in str(empty)
    assert "0 images" in empty._repr_html_()
    assert empty.select(split="train") == empty.take([]) == empty.with_splits() == empty.with_labels({}) == empty
    empty.save(f"{store.url}/empty", storage_options=store.storage_options)
    assert Manifest.load(f"{store.url}/empty", storage_options=store.storage_options) == empty


def test_columns_are_completed_and_typed():
    manifest = _manifest(width=[1, 2, 3, 4], colour=["r", "g", "b", None])
    assert manifest.table.column_names == [
        *("image_id", "uri", "version", "sha256", "width", "height", "split", "group", "label"),
        "colour",
    ]
    assert manifest.table["width"].type == pa.int32()
    assert manifest.column("group").tolist() == ["a", "b", "c", "d"]  # a group of its own
    assert manifest.column("sha256").tolist() == [None] * 4
    assert manifest.column("colour").tolist() == ["r", "g", "b", None]
    with pytest.raises(ConfigError, match="no column 'color'; the columns are image_id"):
        manifest.column("color")


def test_urls_labels_and_counts_by_hand():
    manifest = _manifest()
    assert manifest.urls() == [
        "s3://bucket/photos/x/1.jpg",
        "s3://bucket/photos/x/2.jpg",
        "s3://other/3.jpg",
        "/data/4.jpg",
    ]
    assert manifest.label_ids().dtype == np.int64
    assert manifest.label_ids().tolist() == [0, 1, 1, -1]
    assert manifest.counts() == {
        "cat": {"train": 1, "val": 0, "test": 0, "(no split)": 0},
        "dog": {"train": 1, "val": 0, "test": 1, "(no split)": 0},
        "(unlabelled)": {"train": 0, "val": 0, "test": 0, "(no split)": 1},
    }
    assert manifest.to_pandas()["label"].isna().tolist() == [False, False, False, True]


def test_all_problems_are_named_at_once():
    with pytest.raises(DataError) as caught:
        Manifest(
            pa.table(
                {
                    "image_id": ["a", "a", "", "d"],
                    "uri": ["1.jpg", None, "../3.jpg", "4.jpg"],
                    "split": ["train", "holdout", "val", "test"],
                    "label": ["cat", "cow", "cat", "cat"],
                    "width": [1, 0, 3, 4],
                }
            ),
            ("cat", "cat"),
        )
    message = str(caught.value)
    for part in ("no image_id", "no uri", "'a'", "'holdout'", "'cow'", "class names occur more", "width", "'..'"):
        assert part in message
    assert not isinstance(caught.value, UnknownClassError)


def test_missing_and_mistyped_columns():
    with pytest.raises(DataError, match="'uri' is missing"):
        Manifest(pa.table({"image_id": ["a"]}))
    with pytest.raises(DataError, match="'width' must be int32"):
        _manifest(width=["wide", "1", "2", "3"])


def test_an_unknown_label_is_its_own_error():
    with pytest.raises(UnknownClassError, match="'cow'"):
        _manifest(label=["cat", "cow", "dog", "dog"])
    with pytest.raises(UnknownClassError, match="'cow'"):
        _manifest().with_labels({"a": "cow"})
    with pytest.raises(DataError, match="'zebra-1'"):
        _manifest().with_labels({"zebra-1": "cat"})


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.with_labels({"a": "dog"}),
        lambda m: m.with_labels({"a": None}),
        lambda m: m.with_column("split", ["train", "test", "test", None]),
        lambda m: m.with_column("group", ["a", "b", "c", "c"]),
        lambda m: m.with_column("colour", ["r", "g", "b", "b"]),
        lambda m: m.with_column("image_id", ["a", "b", "c", "e"]),
        lambda m: m.with_class_names(["dog", "cat"]),
        lambda m: m.with_class_names(["cat", "dog", "cow"]),
        lambda m: m.take([0, 1, 2]),
    ],
)
def test_the_hash_sees_what_is_trained_on(change: Any):
    manifest = _manifest()
    assert change(manifest).hash != manifest.hash
    assert change(manifest) != manifest


def test_the_hash_sees_the_task():
    table = pa.table({"image_id": ["a"], "uri": ["a.jpg"]})
    assert Manifest(table, ("cat",)).hash != Manifest(table, ("cat",), task="detection").hash


def test_the_hash_does_not_see_where_images_lie():
    manifest = _manifest()
    moved = manifest.with_column("uri", ["1", "2", "3", "4"]).with_column("sha256", ["x", "y", "z", "w"])
    moved = moved.with_column("width", [9, 9, 9, 9]).with_column("version", ["1", "2", "3", "4"])
    moved = Manifest(moved.table, moved.class_names, root="elsewhere", storage_options={"key": "secret"}, n_ignored=7)
    assert moved == manifest
    assert hash(moved) == hash(manifest)
    assert manifest != "a text"


@given(st.permutations(range(4)))
def test_the_order_of_rows_does_not_matter(order: list[int]):
    boxes = [[[1.0, 2.0]], [], None, [[3.0, 4.0], [5.0, 6.0]]]
    manifest = _manifest(score=[0.5, None, float("nan"), -0.0], boxes=boxes)
    assert manifest.take(order).hash == manifest.hash


def test_values_do_not_run_into_each_other():
    def two(first: list[Any], second: list[Any]) -> str:
        return _manifest(a=first, b=second).hash

    assert two(["ab", "c", "", ""], [None] * 4) != two(["a", "bc", "", ""], [None] * 4)
    assert two(["", None, "", ""], [None] * 4) != two([None, "", "", ""], [None] * 4)
    assert _manifest(a=[[1], [2], [], []]).hash != _manifest(a=[[1, 2], [], [], []]).hash
    assert _manifest(a=[1, 2, 3, 4]).hash == _manifest(a=pa.array([1, 2, 3, 4], pa.int16())).hash
    assert _manifest(a=[1, 2, 3, 4]).hash != _manifest(a=[1.0, 2.0, 3.0, 4.0]).hash
    texts = pa.array(["1", "2", "3", "4"])
    assert _manifest(a=texts).hash == _manifest(a=texts.dictionary_encode()).hash


def test_chunks_and_slices_do_not_matter():
    table = pa.concat_tables([_manifest().table.slice(0, 1), _manifest().table.slice(1)])
    assert Manifest(table, ("cat", "dog")) == _manifest()
    assert Manifest(pa.concat_tables([_manifest().table] * 2).slice(4), ("cat", "dog")) == _manifest()


def test_selecting_and_taking():
    manifest = _manifest()
    assert manifest.select(split="train").column("image_id").tolist() == ["a", "b"]
    assert manifest.select(split=["train", "test"]).column("image_id").tolist() == ["a", "b", "c"]
    assert manifest.take([2, 0]).column("image_id").tolist() == ["c", "a"]
    assert manifest.take(manifest.label_ids() == 1).column("image_id").tolist() == ["b", "c"]
    assert manifest.take([True, False, False, True]).column("image_id").tolist() == ["a", "d"]
    with pytest.raises(ConfigError, match="one value per image, 4; found 1"):
        manifest.take([True])
    with pytest.raises(ConfigError, match="unknown split 'dev'"):
        manifest.select(split="dev")
    with pytest.raises(ConfigError, match="needs one value per image, 4; found 1"):
        manifest.with_column("colour", ["r"])


def test_with_splits_keeps_what_is_there():
    assert _manifest().with_splits(fractions={"val": 1.0}).column("split").tolist() == ["train", "train", "test", "val"]
    anew = _manifest().with_splits(fractions={"val": 1.0}, keep=False)
    assert anew.column("split").tolist() == ["val"] * 4


def test_saved_and_loaded_without_loss(store: Store):
    manifest = _manifest(score=[0.5, None, 2.0, 3.0], boxes=[[[1.0, 2.0]], [], None, [[3.0, 4.0]]])
    url = manifest.save(f"{store.url}/data", storage_options=store.storage_options)
    assert store.raw_names() == ["data/dataset.json", "data/manifest.parquet"]
    loaded = Manifest.load(url, storage_options=store.storage_options)
    assert loaded.table.equals(manifest.table)
    assert (loaded.class_names, loaded.root, loaded.task) == (manifest.class_names, manifest.root, manifest.task)
    assert loaded == manifest
    assert Manifest.load(url, root="s3://new", storage_options=store.storage_options).urls()[0] == "s3://new/x/1.jpg"
    with pytest.raises(AlreadyExistsError):
        manifest.save(url, storage_options=store.storage_options)
    with pytest.raises(NotFoundError):
        Manifest.load(f"{store.url}/nothing", storage_options=store.storage_options)


def test_a_changed_file_is_noticed():
    _manifest().save("memory://tampered/a")
    changed = _manifest().with_labels({"a": "dog"}).files()["manifest.parquet"]
    io.write_bytes("memory://tampered/a/manifest.parquet", changed)
    with pytest.raises(DataError, match="it was saved with"):
        Manifest.load("memory://tampered/a")


def test_secrets_are_never_shown_or_saved():
    manifest = Manifest(_manifest().table, ("cat", "dog"), storage_options={"secret": "hunter2"})
    shown = repr(manifest) + str(manifest) + manifest._repr_html_() + str(manifest.files())
    assert "hunter2" not in shown
    assert b"hunter2" not in pickle.dumps(manifest)
    assert copy.deepcopy(manifest).storage_options == {"secret": "hunter2"}


def test_markup_in_names_is_escaped():
    manifest = Manifest(pa.table({"image_id": ["1"], "uri": ["1"], "label": ["<b>"]}), ("<b>",))
    assert "<th style='text-align:left'>&lt;b&gt;</th>" in manifest._repr_html_()
    many = Manifest(_empty().table, [f"class {i}" for i in range(100)])
    assert "76 more" in many._repr_html_()


def test_no_row_is_handled_in_python():
    def work(n: int) -> int:
        ids = [f"{i:032x}" for i in range(n)]
        table = pa.table({"image_id": ids, "uri": ids, "label": ["cat", "dog"] * (n // 2)})

        def change_a_label() -> None:
            manifest = Manifest(table, ("cat", "dog"))
            assert manifest.with_labels({ids[0]: "dog"}).hash != manifest.hash

        return calls_of(change_a_label)

    work(10)  # what is imported when it is first used
    few = work(100)
    assert 0 < few == work(100_000)


def test_a_hundred_thousand_names_take_no_quadratic_time():
    names = [f"class {number}" for number in range(100_000)]
    begun = time.process_time()
    with pytest.raises(DataError, match="class 7"):
        replace(_manifest(), class_names=(*names, "class 7"))
    assert time.process_time() - begun < 20  # minutes, if each name is looked for in all others
