"""The format at a URL is found by the names there, on a disk and in a bucket alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError, NotFoundError
from onlineml.storage import io
from picture_files import png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store

BOXES = {"a": [[1.0, 2.0, 5.0, 6.0]], "b": [], "c": [[0.0, 0.0, 8.0, 8.0], [2.0, 2.0, 4.0, 7.0]]}
SPLITS = {"a": "train", "b": "val", "c": "test"}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Three images of 10 x 8 pixels, one in each split, without, with one and with two boxes."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number, name in enumerate(BOXES):
        (folder / f"{name}.png").write_bytes(png(np.full((8, 10, 3), 40 * number, np.uint8)))
    rows = [
        {"image_id": n, "uri": f"{n}.png", "split": SPLITS[n], "boxes_xyxy": boxes, "labels": ["cat"] * len(boxes)}
        for n, boxes in BOXES.items()
    ]
    return Manifest(pa.Table.from_pylist(rows), ("cat",), root=str(folder), task="detection")


def boxes_by_name(found: Manifest) -> dict[str, tuple[str, list[list[float]]]]:
    rows = found.table.select(["uri", "split", "boxes_xyxy"]).to_pylist()
    return {row["uri"].rpartition("/")[2][0]: (row["split"], row["boxes_xyxy"]) for row in rows}


EXPECTED = {name: (SPLITS[name], BOXES[name]) for name in BOXES}


@pytest.mark.parametrize("kind", ["voc", "yolo"])
def test_folders_of_a_format(kind: str, manifest: Manifest, store: Store) -> None:
    write = {"voc": manifest.to_voc, "yolo": manifest.to_yolo}[kind]
    write(store.url, storage_options=store.storage_options)

    found = Manifest.from_any(store.url, task="detection", storage_options=store.storage_options)

    assert boxes_by_name(found) == EXPECTED


@pytest.mark.parametrize("file", ["annotations.json", "boxes.csv", "boxes.parquet"])
def test_single_files(file: str, manifest: Manifest, tmp_path: Path) -> None:
    target = tmp_path / "source" / file
    (manifest.to_coco if file.endswith("json") else manifest.to_boxes)(str(target))

    assert boxes_by_name(Manifest.from_any(target, task="detection")) == EXPECTED
    if file == "annotations.json":
        assert boxes_by_name(Manifest.from_any(target.parent, task="detection")) == EXPECTED


def coco_by_split(manifest: Manifest, store: Store, *, image: str, file: str) -> None:
    """Writes a COCO file and the images of each split, where ``image`` and ``file`` put them."""
    for split, word in (("train", "train"), ("val", "valid" if "Roboflow" in image else "val"), ("test", "test")):
        name = next(name for name, own in SPLITS.items() if own == split)
        picture = image.format(split=word, name=name).removeprefix("Roboflow ")
        data = io.read_bytes(f"{manifest.root}/{name}.png")
        io.write_bytes(io.join(store.url, picture), data, storage_options=store.storage_options)
        annotations = [
            {"id": i, "image_id": 1, "category_id": 3, "bbox": [x1, y1, x2 - x1, y2 - y1], "area": 1.0, "iscrowd": 0}
            for i, (x1, y1, x2, y2) in enumerate(BOXES[name])
        ]
        images = [{"id": 1, "file_name": f"{name}.png", "width": 10, "height": 8}]
        document = {"images": images, "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]}
        target = io.join(store.url, file.format(split=word))
        io.write_bytes(target, json.dumps(document).encode(), storage_options=store.storage_options)


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("{split}2017/{name}.png", "annotations/instances_{split}2017.json"),
        ("images/{split}/{name}.png", "annotations/instances_{split}.json"),
        ("Roboflow {split}/{name}.png", "{split}/_annotations.coco.json"),
    ],
)
def test_a_coco_file_for_each_split(image: str, file: str, manifest: Manifest, store: Store) -> None:
    coco_by_split(manifest, store, image=image, file=file)

    found = Manifest.from_any(store.url, task="detection", storage_options=store.storage_options)

    assert boxes_by_name(found) == EXPECTED


def test_images_with_a_label(manifest: Manifest, tmp_path: Path) -> None:
    labelled = Manifest(
        manifest.table.drop_columns(["boxes_xyxy", "labels"]).set_column(
            manifest.table.column_names.index("label"), "label", pa.array(["x", "y", "x"])
        ),
        ("x", "y"),
        root=manifest.root,
    )
    folders, table = tmp_path / "folders", tmp_path / "source" / "labels.csv"
    labelled.to_folders(folders)
    labelled.to_table(table)

    assert Manifest.from_any(folders, task="classification").counts() == labelled.counts()
    assert Manifest.from_any(folders, task="classification", split="split.csv").counts() == labelled.counts()
    assert Manifest.from_any(table, task="classification").counts() == labelled.counts()
    with pytest.raises(ConfigError, match="split"):
        Manifest.from_any(table, task="classification", split="split.csv")


def test_what_is_no_format_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a folder for each class, .*coco, .*voc, .*yolo"):
        Manifest.from_any(tmp_path, task="detection")
    with pytest.raises(ConfigError, match="segmentation"):
        Manifest.from_any(tmp_path, task="segmentation")


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(np.zeros((8, 10, 3), np.uint8)))


def test_the_task_is_that_of_the_format(tmp_path: Path, manifest: Manifest):
    assert boxes_by_name(Manifest.from_any(manifest.to_voc(tmp_path / "voc"))) == EXPECTED
    write_image(tmp_path / "photos" / "cat" / "a.png")
    assert Manifest.from_any(tmp_path / "photos").task == "classification"


def test_boxes_are_not_read_as_class_folders(tmp_path: Path):
    write_image(tmp_path / "JPEGImages" / "a.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation><object><name>cat</name></object></annotation>")
    with pytest.raises(DataError, match=r"looks like voc .* set format='folders' to read the names of its folders"):
        Manifest.from_any(tmp_path, task="classification")
    assert Manifest.from_any(tmp_path, task="classification", format="folders").class_names == ()


def test_nothing_there(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"gone does not exist"):
        Manifest.from_any(tmp_path / "gone")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"which holds 0 images and 1 \.txt file: expected .*coco"):
        Manifest.from_any(tmp_path)


@pytest.mark.parametrize("url", [None, 5, b"photos", {"train": "a.json"}])
def test_what_is_no_url(url: Any) -> None:
    with pytest.raises(ConfigError, match="expected the URL or path"):
        Manifest.from_any(url)


def test_a_word_that_is_no_table_of_splits(tmp_path: Path):
    write_image(tmp_path / "cat" / "a.png")
    write_image(tmp_path / "dog" / "a.png")
    for read in (Manifest.from_any, Manifest.from_folders):
        with pytest.raises(ConfigError, match=r"split='random': expected 'folders', 'hash', or the path of a table"):
            read(tmp_path, split="random")


def test_an_import_is_summed_up(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for name in ("train/cat/a.png", "train/dog/b.png", "test/cat/c.png"):
        write_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("nothing")
    with caplog.at_level("INFO", logger="onlineml"):
        found = Manifest.from_any(tmp_path)
    lines = ["2 + 1 images (train, test), 2 classes", "- read as folders", "- 1 other file passed over"]
    assert found.summary().splitlines() == lines
    assert found.summary() in caplog.text
    assert "<li>read as folders</li>" in found._repr_html_()
    assert Manifest.load(found.save(tmp_path / "saved")).notes == found.notes


def test_classes_that_train_does_not_show_are_told(tmp_path: Path):
    for name in ("train/cat/a.png", "train/dog/b.png", "test/unknown/c.png"):
        write_image(tmp_path / name)
    assert "- no image of train shows 'unknown'" in Manifest.from_any(tmp_path).summary().splitlines()
    for split in ("train", "val"):  # nothing to tell where train shows all, or nothing
        found = Manifest.from_any(tmp_path).with_column("split", [split] * 3)
        assert "no image of train" not in found.summary()


def test_spreadsheets_and_archives_have_a_remedy(tmp_path: Path):
    for name in ("photos/a.png", "photos/b.png", "photos/c.png"):
        write_image(tmp_path / name)
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"several class folders, .*'labels\.xlsx'; pass the one that does .*as CSV"):
        Manifest.from_any(tmp_path)
    noted = Manifest.from_any(tmp_path, format="folders").notes
    assert "1 .xlsx file was not read; if they hold labels, save them as CSV" in noted
    with pytest.raises(DataError, match=r"a single file \(save the spreadsheet as CSV\)"):
        Manifest.from_any(tmp_path / "labels.xlsx")
    (tmp_path / "photos.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"a single file \(unpack the archive, and pass its folder\)"):
        Manifest.from_any(tmp_path / "photos.zip")


@pytest.mark.parametrize("name", ["table", "table.xlsx", "table.json"])
def test_a_table_is_not_written_under_another_extension(name: str, tmp_path: Path):
    write_image(tmp_path / "cat" / "a.png")
    with pytest.raises(ConfigError, match=rf"{name}: expected .* ends in \.csv or \.parquet"):
        Manifest.from_any(tmp_path).to_table(tmp_path / name)
    assert not (tmp_path / name).exists()
