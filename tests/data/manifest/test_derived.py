"""Manifests filtered, joined, and made of data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from late import Late
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, UnknownClassError

if TYPE_CHECKING:
    from pathlib import Path

pd = Late("pandas")


def made(rows: list[dict[str, Any]], names: tuple[str, ...] = ("cat", "dog"), **facts: Any) -> Manifest:
    return Manifest(pa.Table.from_pylist(rows), names, **{"root": "/photos", **facts})


def ids(found: Manifest) -> list[str]:
    return found.table["image_id"].to_pylist()


# --------------------------------------------------------------------------------------------------------------- filter

PHOTOS = made(
    [
        {"image_id": name, "uri": f"{name}.jpg", "split": split, "label": label, "width": width}
        for name, split, label, width in [
            ("a", "train", "cat", 100), ("b", "train", "dog", 200), ("c", "val", "cat", 300), ("d", None, None, 400),
        ]
    ]
)  # fmt: skip


def test_filter_by_split_class_and_mask():
    assert ids(PHOTOS.filter()) == ["a", "b", "c", "d"]
    assert ids(PHOTOS.filter(split="train")) == ["a", "b"]
    assert ids(PHOTOS.filter(split=["train", "val"], class_names="cat")) == ["a", "c"]
    assert ids(PHOTOS.filter(class_names=["dog", "cat"])) == ["a", "b", "c"]
    assert ids(PHOTOS.filter([True, False, False, True])) == ["a", "d"]
    assert ids(PHOTOS.filter([False, True, True, True], split="train")) == ["b"]
    assert ids(PHOTOS.filter(lambda frame: frame["width"] > 150, class_names="cat")) == ["c"]
    assert PHOTOS.filter(class_names="dog").class_names == ("cat", "dog")
    assert len(PHOTOS.filter(lambda frame: frame["width"] > 1000)) == 0


def test_filter_by_one_of_several_labels_or_boxes():
    sets = made(
        [{"image_id": n, "uri": n, "labels": own} for n, own in [("a", ["cat", "dog"]), ("b", []), ("c", None)]],
        task="multilabel",
    )
    assert ids(sets.filter(class_names="dog")) == ["a"]
    box = [0.0, 0.0, 5.0, 5.0]
    rows = [("a", [box, box], ["cat", "cat"]), ("b", [box], ["dog"]), ("c", [], [])]
    boxes = made(
        [{"image_id": n, "uri": n, "boxes_xyxy": own, "labels": names} for n, own, names in rows], task="detection"
    )
    assert ids(boxes.filter(class_names="cat")) == ["a"]
    assert boxes.filter(class_names="cat").boxes().boxes_xyxy.tolist() == [box, box]


def test_wrong_filters():
    with pytest.raises(ConfigError, match="unknown classes 'cow'; expected some of 'cat', 'dog'"):
        PHOTOS.filter(class_names="cow")
    with pytest.raises(ConfigError, match="unknown split 'holdout'"):
        PHOTOS.filter(split="holdout")
    with pytest.raises(ConfigError, match="one value per image, 4; found 1"):
        PHOTOS.filter([True])
    with pytest.raises(ConfigError, match="needs one boolean per image; found values of the type int32"):
        PHOTOS.filter(lambda frame: frame["width"])


# --------------------------------------------------------------------------------------------------------------- concat


def test_joined_manifests_have_all_images_and_classes():
    more = made([{"image_id": "e", "uri": "e.jpg", "label": "cow", "note": "new"}], ("cow", "cat"), n_ignored=2)
    found = Manifest.concat([PHOTOS, more])
    assert ids(found) == ["a", "b", "c", "d", "e"]
    assert found.class_names == ("cat", "dog", "cow")
    assert found.urls()[-1] == "/photos/e.jpg"
    assert (found.n_ignored, found.root) == (2, "/photos")
    assert found.column("note").tolist() == [None] * 4 + ["new"]
    assert Manifest.concat([PHOTOS]) == PHOTOS
    assert Manifest.concat([PHOTOS, PHOTOS]) == PHOTOS


def test_an_address_stands_for_one_image():
    """The id, split and group of the first; the last annotation that there is."""
    again = made(
        [
            {"image_id": "x", "uri": "a.jpg", "split": "test", "label": "dog"},
            {"image_id": "y", "uri": "b.jpg", "label": None},
        ],
        root="/photos/",
    )
    found = Manifest.concat([PHOTOS, again])
    assert ids(found) == ["a", "b", "c", "d"]
    assert found.column("label").tolist() == ["dog", "dog", "cat", None]
    assert found.column("split").tolist() == ["train", "train", "val", None]
    assert found.column("group").tolist() == ["a", "b", "c", "d"]


def test_other_images_get_other_ids():
    rows = [{"image_id": "a", "uri": "a.jpg", "version": ""}]
    found = Manifest.concat([made(rows, root="/one"), made(rows, root="/two")])
    assert len(set(ids(found))) == 2
    assert found.urls() == ["/one/a.jpg", "/two/a.jpg"]
    assert found.column("group").tolist() == ids(found)
    tagged = [{"image_id": "a", "uri": "a.jpg", "version": "the same bytes"}]
    assert len(Manifest.concat([made(tagged, root="/one"), made(tagged, root="/two")])) == 1


def test_sets_of_labels_are_joined():
    one, two = (
        made([{"image_id": n, "uri": n, "labels": [name]}], (name,), task="multilabel")
        for n, name in (("a", "cat"), ("b", "dog"))
    )
    assert Manifest.concat([one, two]).column("labels").tolist() == [["cat"], ["dog"]]


def test_what_cannot_be_joined():
    with pytest.raises(ConfigError, match="at least one manifest"):
        Manifest.concat([])
    with pytest.raises(ConfigError, match="of the tasks classification, detection"):
        Manifest.concat([PHOTOS, made([{"image_id": "e", "uri": "e"}], task="detection")])
    secret = made([{"image_id": "e", "uri": "e"}], storage_options={"key": "mine"})
    assert Manifest.concat([PHOTOS, secret]).storage_options == {"key": "mine"}
    with pytest.raises(ConfigError, match="different storage_options") as caught:
        Manifest.concat([secret, made([{"image_id": "e", "uri": "e"}], storage_options={"key": "other"})])
    assert "mine" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- data frames


def test_a_frame_of_labels(tmp_path: Path):
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(b"")
    frame = pd.DataFrame({"path": ["a.jpg", "b.jpg"], "label": ["cat", float("nan")], "split": "val", "note": [1.5, 2]})
    found = Manifest.from_pandas(frame.set_index(pd.Index([7, 8])), root=tmp_path)
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert found == Manifest.from_table(tmp_path / "t.csv")
    assert found.column("note").tolist() == [1.5, 2]
    frame["path"] = [f"{tmp_path}/{name}" for name in frame["path"]]
    assert Manifest.from_pandas(frame).urls() == found.urls()
    with pytest.raises(UnknownClassError, match="'cat'"):
        Manifest.from_pandas(frame, class_names=["dog"])
    with pytest.raises(DataError, match=r"the data frame has bad rows:\n.*1 row repeats an image \(line: path\)"):
        Manifest.from_pandas(pd.concat([frame, frame.iloc[:1]]))


def test_a_frame_of_label_sets():
    frame = pd.DataFrame({"path": ["/a.jpg", "/b.jpg", "/c.jpg"], "label": [["dog", "cat"], [], None]})
    found = Manifest.from_pandas(frame, task="multilabel")
    assert found.column("labels").tolist() == [["cat", "dog"], [], None]
    hot = pd.DataFrame({"path": ["/a.jpg", "/b.jpg"], "cat": [1, 0], "dog": [True, False]})
    assert Manifest.from_pandas(hot, task="multilabel").column("labels").tolist() == [["cat", "dog"], []]


def test_a_frame_of_boxes():
    frame = pd.DataFrame(
        {"path": ["/a.jpg"] * 2, "label": ["cat", "dog"], "l": [1, 2], "t": [1, 2], "r": [5, 6], "b": [5, 6]}
    )
    found = Manifest.from_pandas(frame, box=("l", "t", "r", "b"), task="detection")
    assert found.boxes().boxes_xyxy.tolist() == [[1, 1, 5, 5], [2, 2, 6, 6]]
