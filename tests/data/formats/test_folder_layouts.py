"""Folders as people lay them out: the exact labels and splits of each image, or a refusal that says what settles it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from onlineml.data.formats.folders.layout import layout_of
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from onlineml.storage import io
from picture_files import png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

# Paths, and what is read from each: "label/split", with "-" where nothing is told. The sources are issues of Keras
# (3946, 14042), tf-keras (790), torchvision (109, 2831), fastai (1552), datasets (5021, 5153, 7880), Ultralytics (1677,
# 4310, 13936), roboflow-python (153), freeCodeCamp (39313) and create_tfrecords (3), and trees of Kaggle.
LAYOUTS: dict[str, dict[str, str]] = {
    "classes": {"cat/1.jpg": "cat/-", "dog/a/b/2.jpg": "dog/-"},
    "one class": {"cat/1.jpg": "cat/-"},
    "one class with subfolders": {"cat/1.jpg": "cat/-", "cat/old/2.jpg": "cat/-"},
    "no folders": {"1.jpg": "-/-", "photo of a train.jpg": "-/-"},
    "a folder that says nothing": {"data/1.jpg": "-/-", "data/2.jpg": "-/-"},
    "the words of Keras": {
        "Training/cat/1.jpg": "cat/train",
        "Validation/cat/2.jpg": "cat/val",
        "Testing/dog/3.jpg": "dog/test",
    },
    "sets": {"training_set/cats/1.jpg": "cats/train", "test_set/dogs/2.jpg": "dogs/test"},
    "upper case": {"TRAIN/A/1.JPG": "A/train", "VALID/B/1.JPG": "B/val"},
    "short words": {"trainset/a/1.jpg": "a/train", "dev/a/2.jpg": "a/val", "eval/b/3.jpg": "b/val"},
    "an outer folder": {"Dataset/train/cat/1.jpg": "cat/train", "Dataset/test/dog/2.jpg": "dog/test"},
    "two outer folders": {"archive/Data/cat/1.jpg": "cat/-", "archive/Data/dog/2.jpg": "dog/-"},
    "flowers": {"flowers/flower_photos/rose/1.jpg": "rose/-", "flowers/flower_photos/tulip/1.jpg": "tulip/-"},
    "a picture outside": {"archive/a.png": "-/-", "archive/Data/cat/1.jpg": "cat/-", "archive/Data/dog/2.jpg": "dog/-"},
    "a folder twice": {
        "train/train/cat/1.jpg": "cat/train",
        "train/train/dog/2.jpg": "dog/train",
        "test/3.jpg": "-/test",
    },
    "images inside": {"train/images/cat/1.jpg": "cat/train", "train/images/dog/2.jpg": "dog/train"},
    "only test": {"test/cat/1.jpg": "cat/test", "test/dog/2.jpg": "dog/test"},
    "val and test": {"val/cat/1.jpg": "cat/val", "test/cat/2.jpg": "cat/test"},
    "a stray picture": {"train/cat/1.jpg": "cat/train", "train/dog/2.jpg": "dog/train", "logo.png": "-/-"},
    "test without labels": {"train/cat/1.jpg": "cat/train", "validation/cat/2.jpg": "cat/val", "test/3.jpg": "-/test"},
    "splits without classes": {"train/1.jpg": "-/train", "test/2.jpg": "-/test"},
    "images of splits": {"train_images/1.jpg": "-/train", "test_images/2.jpg": "-/test"},
    "splits in images": {"images/train/1.jpg": "-/train", "images/val/2.jpg": "-/val"},
    "to be predicted": {
        "training_set/cats/1.jpg": "cats/train",
        "test_set/cats/2.jpg": "cats/test",
        "single_prediction/x.jpg": "-/-",
    },
    "scenes": {
        "seg_train/seg_train/sea/1.jpg": "sea/train",
        "seg_test/seg_test/sea/2.jpg": "sea/test",
        "seg_pred/seg_pred/3.jpg": "-/-",
    },
    "splits in classes": {"cat/train/1.jpg": "cat/train", "cat/test/2.jpg": "cat/test", "dog/valid/3.jpg": "dog/val"},
    "a class missing in a split": {
        "train/0/1.jpg": "0/train",
        "train/90/1.jpg": "90/train",
        "test/90/2.jpg": "90/test",
    },
    "a kind of vehicle": {"bus/1.jpg": "bus/-", "train/2.jpg": "train/-", "car/3.jpg": "car/-"},
    "names that begin with a split": {"train_station/1.jpg": "train_station/-", "test_tube/2.jpg": "test_tube/-"},
}


def read(found: Manifest) -> dict[str, str]:
    return {row["uri"]: f"{row['label'] or '-'}/{row['split'] or '-'}" for row in found.table.to_pylist()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str):
    expected = LAYOUTS[name]
    found = layout_of(list(expected), where="there")
    told = zip(expected, found.labels, found.splits, strict=True)
    assert {path: f"{label or '-'}/{split or '-'}" for path, label, split in told} == expected
    n_unlabelled = sum(own.startswith("-") for own in expected.values())
    assert bool(found.notes) >= (0 < n_unlabelled < len(expected))  # what is without a label is told


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ("bus/1.jpg train/2.jpg test/3.jpg", "'test', 'train' of there look like splits, but there are also .* 'bus'"),
        ("cat/1.jpg dog/2.jpg test/3.jpg", r"'test' of there look like .*split='folders' if .* or split='hash' if"),
        ("train/cat/1.jpg test/cat/2.jpg extra/cat/3.jpg", "also the folders 'extra'"),
        ("train/cat/1.jpg test/cat/2.jpg cat/3.jpg", "also the folders 'cat'"),
        ("x/train/N/1.jpg x/test/N/1.jpg x/x/train/N/1.jpg", "also the folders 'x'"),
        ("cat/train/1.jpg dog/train/2.jpg cow/3.jpg", r"'cat', 'dog' .* divided into splits, but 'cow' .*split='hash'"),
        ("images/1.jpg masks/1.png", "'images', 'masks' of there are no classes: .*task="),
        ("train/images/1.jpg train/labels/1.png", "'images', 'labels' of there are no classes"),
    ],
)
def test_what_is_ambiguous(paths: str, message: str):
    with pytest.raises(DataError, match=message):
        layout_of(paths.split(), where="there")


def test_either_reading_may_be_chosen(tmp_path: Path):
    names = ("train/cat/1.jpg", "test/cat/2.jpg", "extra/cat/3.jpg")
    for name in names:
        io.write_bytes(tmp_path / name, name.encode())
    splits = Manifest.from_any(tmp_path, split="folders")
    assert read(splits) == dict(zip(names, ("cat/train", "cat/test", "-/-"), strict=True))
    classes = Manifest.from_any(tmp_path, split="hash")
    assert classes.class_names == ("extra", "test", "train")
    assert classes.table["split"].null_count == 0
    with pytest.raises(DataError, match=r"split='folders' expects folders such as train, val, test in .*; found 'cat'"):
        Manifest.from_folders(tmp_path / "train", split="folders")


def test_junk_is_no_image(store: Store):
    junk = (
        "@eaDir/SYNOPHOTO_THUMB_M.jpg", "cat/@eaDir/1.jpg", ".thumbnails/1.jpg", "$RECYCLE.BIN/2.jpg",
        "lost+found/3.jpg", "__MACOSX/cat/._1.jpg", ".ipynb_checkpoints/cat-checkpoint.jpg", "dog/._2.jpg",
    )  # fmt: skip
    for name in ("cat/1.jpg", "dog/2.jpg", *junk):
        store.raw_write(name, name.encode())
    found = Manifest.from_folders(store.url, storage_options=store.storage_options)
    assert (sorted(found.column("uri")), found.class_names) == (["cat/1.jpg", "dog/2.jpg"], ("cat", "dog"))
    assert found.n_ignored == len(junk)


def test_labels_of_one_name(tmp_path: Path):
    for name in (
        "train/cafe\u0301/1.jpg",
        "test/caf\u00e9/2.jpg",
        "test/caf\u00e9 /3.jpg",
        "test/Cat/4.jpg",
        "test/cat/5.jpg",
    ):
        io.write_bytes(tmp_path / name, b"")
    found = Manifest.from_folders(tmp_path)
    assert found.class_names == ("caf\u00e9", "Cat", "cat")
    assert found.counts()["caf\u00e9"] == {"train": 1, "val": 0, "test": 2}
    assert any("only in blanks or Unicode form" in note for note in found.notes)
    assert any("differ only in case are several classes: ['Cat', 'cat']" in note for note in found.notes)


@pytest.mark.parametrize("splits", [["val", "test", "test"], ["test"] * 3, ["train", None, "test"]])
def test_exported_folders_are_read_back_without_being_told(splits: list, tmp_path: Path):
    for number, name in enumerate(("cat/1.png", "train/2.png", "3.png")):
        io.write_bytes(tmp_path / "in" / name, png(np.full((8, 8, 3), number, np.uint8)))
    data = Manifest.from_folders(tmp_path / "in", split="hash").with_column("split", splits)
    data = data.with_column("group", ["g", "g", "h"])
    data.to_folders(tmp_path / "out")
    found = Manifest.from_any(tmp_path / "out")
    assert found.counts() == data.counts()
    assert sorted(found.column("group")) == ["g", "g", "h"]
    assert any("splits are from split.csv" in note for note in found.notes)


def test_annotations_beside_unlabelled_images_are_told(tmp_path: Path):
    for name in ("images/1.jpg", "annotations/1.xml", "annotations/2.xml", "readme.txt"):
        io.write_bytes(tmp_path / name, b"")
    found = Manifest.from_folders(tmp_path)
    assert found.column("label").tolist() == [None]
    assert "2 .xml files were not read; if they hold boxes, name their format with format=" in found.notes
    io.write_bytes(tmp_path / "train.csv", b"StudyInstanceUID,finding\n1,x\n")
    remedy = "if they hold labels, name the columns with Manifest.from_table"
    assert f"1 .csv file was not read; {remedy}" in Manifest.from_any(tmp_path, format="folders").notes


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("cat/1.jpg", "dog/2.jpg"):
        io.write_bytes(tmp_path / name, b"")
    listed, list_files = [], io.list_files
    monkeypatch.setattr(io, "list_files", lambda url, **options: listed.append(url) or list_files(url, **options))
    assert len(Manifest.from_any(tmp_path)) == 2
    assert len(listed) == 1


def test_another_split_csv(tmp_path: Path):
    for name in ("cat/1.jpg", "dog/2.jpg"):
        io.write_bytes(tmp_path / name, b"")
    io.write_bytes(tmp_path / "split.csv", b"fold,seed\n1,2\n")
    found = Manifest.from_folders(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert any("no columns path and split" in note for note in found.notes)
    io.write_bytes(tmp_path / "split.csv", b"path,split\ncat/9.jpg,train\n")
    with pytest.raises(DataError, match=r"2: cat/9.jpg"):
        Manifest.from_folders(tmp_path)
    assert len(Manifest.from_folders(tmp_path, split="hash")) == 2
