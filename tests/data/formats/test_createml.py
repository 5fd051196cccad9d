"""Create ML: centres by hand, both spellings, split files, round trip, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from box_files import box_manifest
from format_files import lay, read_boxes
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path


def box(label: Any = "cat", **sides: Any) -> dict[str, Any]:
    return {"label": label, "coordinates": {"x": 30, "y": 40, "width": 20, "height": 10, **sides}}


BOX = [20.0, 35.0, 40.0, 45.0]  # 30 - 20/2, 40 - 10/2, 30 + 20/2, 40 + 10/2


@pytest.mark.parametrize(
    "entries",
    [
        [{"image": "a.png", "annotations": [box()]}, {"image": "b.png", "annotations": []}],
        [{"imagefilename": "a.png", "annotation": [box()]}, {"imagefilename": "b.png", "annotation": []}],
        [{"annotations": [box(y="40")], "image": "photos\\a.png"}, {"annotations": [], "image": "/x/b.png"}],
    ],
)
def test_spellings(tmp_path: Path, entries: Any) -> None:
    lay(tmp_path, {"annotations.json": entries, "a.png": None, "b.png": None})
    assert {path: found for path, (_, found) in read_boxes(tmp_path).items()} == {"a.png": [BOX], "b.png": []}


def test_files_of_splits(tmp_path: Path) -> None:
    for folder in ("train", "valid"):  # Roboflow
        entries = [{"image": "1.jpg", "annotations": [box(), box("dog", x=50)]}]
        lay(tmp_path / folder, {"_annotations.createml.json": entries, "1.jpg": None})
    boxes = [BOX, [40.0, 35.0, 60.0, 45.0]]
    assert read_boxes(tmp_path) == {"train/1.jpg": ("train", boxes), "valid/1.jpg": ("val", boxes)}


def test_a_text_is_the_label_of_the_image(tmp_path: Path) -> None:
    entries = [{"image": "a.png", "annotation": "cat"}, {"image": "b.png", "annotation": "dog"}]
    lay(tmp_path, {"x.json": entries, "a.png": None, "b.png": None})
    assert Manifest.from_any(tmp_path, task="classification").table["label"].to_pylist() == ["cat", "dog"]


def test_labels_that_look_like_other_values(tmp_path: Path) -> None:
    labels = ["null", "1", "true", 7, ""]
    lay(tmp_path, {"x.json": [{"image": "a.png", "annotations": [box(label) for label in labels]}], "a.png": None})
    assert Manifest.from_any(tmp_path).table["labels"].to_pylist() == [["null", "1", "true", "7", None]]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"image": "a.png", "annotations": [box(x="left")]}], r"x\.json cannot be read: .*coordinates\.x`"),
        ([{"image": "a.png", "annotations": [{"label": "cat"}]}], r"missing required field `coordinates`"),
        (
            [{"image": "a.png", "annotations": []}, {"image": "", "annotations": []}],
            "1 entry of .* has no 'image': 1",
        ),
    ],
)
def test_refusals_name_the_entry(tmp_path: Path, entries: Any, message: str) -> None:
    lay(tmp_path, {"x.json": entries, "a.png": None})
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


def test_round_trip(tmp_path: Path) -> None:
    boxes = {"a b.png": ([[1.5, 2, 30.25, 40], [0, 0, 5, 5]], ["cat", "dog"]), "b.png": ([], []), "c.png": None}
    for number, name in enumerate(boxes):
        (tmp_path / name).write_bytes(png(noise(number, (48, 64))))
    given = box_manifest(boxes, split=["train", "val", "test"])
    manifest = Manifest(given.table, given.class_names, root=str(tmp_path), task="detection")
    expected = {"a b.png": ("train", boxes["a b.png"][0]), "b.png": ("val", [])}
    manifest.export(tmp_path, format="createml")
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["train.createml.json", "val.createml.json"]
    assert read_boxes(tmp_path) == expected
    single = Manifest.from_any(manifest.export(tmp_path / "all.json", format="createml"))
    assert single.table["labels"].to_pylist() == [["cat", "dog"], []]
