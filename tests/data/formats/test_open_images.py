"""Open Images: shares worked out by hand, classes by their codes, groups as ignored regions, subsets of the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from box_files import boxes_by_name, rows_by_name
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import AlreadyExistsError, DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)
CLASSES = "/m/01yrx,Cat\n/m/0bt9lr,Dog\n"


def lay(folder: Path, files: dict[str, str], *images: str) -> Path:
    """Write tables, and images of 64 by 48 pixels."""
    for number, name in enumerate([*files, *images]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name].encode() if name in files else png(noise(number, (48, 64))))
    return folder


@pytest.mark.parametrize("header", ["", "LabelName,DisplayName\n"])
def test_shares_groups_and_images_that_are_not_there(tmp_path: Path, header: str) -> None:
    rows = (
        # of 64 by 48 pixels: x from an eighth to three eighths, y from a quarter to a half
        "0001,xclick,/m/01yrx,1,0.125,0.375,0.25,0.5,1,0,0,0,-1\n"
        "0001,xclick,/m/0bt9lr,1,0,1,0,1,0,0,1,0,0\n"
        "ffff,xclick,/m/0bt9lr,1,0,1,0,1,0,0,0,0,0\n"
    )
    files = {"train-annotations-bbox.csv": HEADER + rows, "class-descriptions-boxable.csv": header + CLASSES}
    manifest = Manifest.from_any(lay(tmp_path, files, "train/0001.jpg"))
    assert boxes_by_name(manifest) == {"0001.jpg": [([8, 12, 24, 24], "Cat"), ([0, 0, 64, 48], "Dog")]}
    row = rows_by_name(manifest)["0001.jpg"]
    assert (row["crowd"], row["IsOccluded"], row["split"]) == ([False, True], [True, False], "train")
    assert "1 image of the tables is not there, and left out" in manifest.notes
    assert manifest.class_names == ("Cat", "Dog")


def test_boxes_around_whole_images_are_shares_too(tmp_path: Path) -> None:
    files = {"annotations.csv": HEADER + "a,xclick,/m/01yrx,1,0,1,0,1,0,0,0,0,0\n"}
    manifest = Manifest.from_any(lay(tmp_path, files, "a.png"))
    assert boxes_by_name(manifest) == {"a.png": [([0, 0, 64, 48], "/m/01yrx")]}
    assert any("called by their codes" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("tables", "images"),
    [
        (
            {f"{split}-annotations-bbox.csv": split for split in ("train", "validation", "test")},
            {f"{split}/{split}.jpg": split for split in ("train", "validation", "test")},
        ),
        (  # as FiftyOne downloads them
            {f"{split}/labels/detections.csv": split for split in ("train", "validation", "test")},
            {f"{split}/data/{split}.jpg": split for split in ("train", "validation", "test")},
        ),
    ],
)
def test_splits(tmp_path: Path, tables: dict[str, str], images: dict[str, str]) -> None:
    files = {path: HEADER + f"{split},xclick,/m/01yrx,1,0,.5,0,.5,0,0,0,0,0\n" for path, split in tables.items()}
    files["train/metadata/classes.csv"] = CLASSES
    manifest = Manifest.from_any(lay(tmp_path, files, *images))
    found = {row["uri"]: row["split"] for row in manifest.table.to_pylist()}
    assert found == {path: "val" if split == "validation" else split for path, split in images.items()}
    assert manifest.class_names == ("Cat",)


def test_refusals(tmp_path: Path) -> None:
    row = "b,xclick,/m/01yrx,1,0,1,0,1,0,0,0,0,0\n"
    lay(
        tmp_path,
        {"t.csv": HEADER + row, "u.csv": HEADER + row + row.replace("b,", "a,").replace(",0,1,0,1,", ",x,1,0,1,")},
        "a.png",
    )
    with pytest.raises(DataError, match=r"none of the 1 images of .*t\.csv"):
        Manifest.from_any(tmp_path / "t.csv")
    with pytest.raises(DataError, match=r"(?s)u\.csv .*1 value of XMin is no number .*3: x"):
        Manifest.from_any(tmp_path / "u.csv")


def test_written_and_read_back(tmp_path: Path) -> None:
    text = "path,label,x1,y1,x2,y2,split,crowd\na.png,cat,8,12,24,24,train,0\na.png,dog,0,0,64,48,train,1\n"
    text += "b.png,,,,,,val,\n"
    lay(tmp_path / "in", {"t.csv": text}, "a.png", "b.png")
    manifest = Manifest.from_any(tmp_path / "in" / "t.csv")
    where = manifest.export(tmp_path / "out", format="open_images")
    table = (tmp_path / "out" / "train-annotations-bbox.csv").read_text().replace('"', "").splitlines()
    assert table[0] == HEADER.strip()
    assert table[1] == "a,xclick,cat,1,0.125,0.375,0.25,0.5,0,0,0,0,0"
    back = Manifest.from_any(where)
    for key in ("boxes_xyxy", "labels", "split", "crowd"):
        assert rows_by_name(back)["a.png"][key] == rows_by_name(manifest)["a.png"][key]
    assert (tmp_path / "out" / "validation" / "b.png").read_bytes() == (tmp_path / "in" / "b.png").read_bytes()
    with pytest.raises(AlreadyExistsError):
        manifest.export(tmp_path / "out", format="open_images")
