"""KITTI's rows: corners, regions that nobody annotated, folders and lists, refusals by line, and what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from box_files import rows_by_name
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

# rows of the development kit's form, with numbers that fit 64 by 48 pixels
CAR = "Car 0.25 1 -1.58 8.5 6.25 63.00 47.00 1.60 1.76 3.84 -0.36 1.12 34.62 -1.59\n"
DONT_CARE = "DontCare -1 -1 -10 50.5 10 60 20 -1 -1 -1 -1000 -1000 -1000 -10\n"
OF_TAO = "person 0.00 0 0.0 1 2 30 40 0.0 0.0 0.0 0.0 0.0 0.0 0.0\n"


def lay(folder: Path, texts: dict[str, str], *images: str) -> Path:
    for number, name in enumerate([*texts, *images]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(texts[name].encode() if name in texts else png(noise(number, (48, 64))))
    return folder


def test_the_layout_of_the_benchmark(tmp_path: Path) -> None:
    texts = {"training/label_2/000000.txt": CAR + DONT_CARE, "training/label_2/000001.txt": ""}
    texts |= {"training/calib/000000.txt": "P0: 7.2 0 6.0 0 0 7.2 1.7 0 0 0 1 0\n"}
    images = [f"training/image_2/{n:06d}.png" for n in range(2)]
    manifest = Manifest.from_any(
        lay(tmp_path, texts, *images, "testing/image_2/000000.png", "training/image_3/000000.png")
    )
    found = {row["uri"]: row for row in manifest.table.to_pylist()}
    assert set(found) == {*images, "testing/image_2/000000.png"}
    car = found[images[0]]
    assert (car["boxes_xyxy"], car["labels"]) == ([[8.5, 6.25, 63, 47], [50.5, 10, 60, 20]], ["Car", None])
    assert (car["crowd"], car["truncated"], car["occluded"]) == ([None, True], [0.25, None], [1, None])
    assert (car["alpha"], car["height_m"], car["z_m"], car["rotation_y"]) == tuple(
        [value, None] for value in (-1.58, 1.6, 34.62, -1.59)
    )
    assert (found[images[1]]["boxes_xyxy"], found["testing/image_2/000000.png"]["boxes_xyxy"]) == ([], None)
    assert found["testing/image_2/000000.png"]["split"] is None
    assert manifest.class_names == ("Car",)
    assert "1 box of DontCare is an ignored region" in manifest.notes


@pytest.mark.parametrize(
    ("texts", "images", "splits"),
    [
        (
            {"train/labels/a.txt": OF_TAO, "val/labels/b.txt": OF_TAO},
            ["train/images/a.png", "val/images/b.png"],
            ["train", "val"],
        ),
        (
            {
                **{f"training/label_2/{n:06d}.txt": OF_TAO for n in range(2)},
                "ImageSets/train.txt": "000001\n",
                "ImageSets/val.txt": "000000\n",
            },
            ["training/image_2/000000.png", "training/image_2/000001.png"],
            ["val", "train"],
        ),
        ({"a.txt": OF_TAO, "b.txt": OF_TAO}, ["a.png", "b.png"], None),
    ],
)
def test_folders_and_lists(tmp_path: Path, texts: dict[str, str], images: list[str], splits: list[str] | None) -> None:
    manifest = Manifest.from_any(lay(tmp_path, texts, *images))
    found = {row["uri"]: row for row in manifest.table.to_pylist()}
    assert sorted(found) == images
    assert all(row["boxes_xyxy"] == [[1, 2, 30, 40]] and row["labels"] == ["person"] for row in found.values())
    assert "truncated" not in manifest.table.column_names  # TAO's rows say nothing of it
    assert splits is None or [found[image]["split"] for image in images] == splits


def test_a_class_with_blanks_and_the_score_of_a_detection(tmp_path: Path) -> None:
    text = CAR.replace("Car", "Towed Object") + CAR.strip() + " 0.75\n"
    manifest = Manifest.from_any(lay(tmp_path, {"label_2/a.txt": text}, "image_2/a.png"))
    row = rows_by_name(manifest)["a.png"]
    assert (row["labels"], row["score"]) == (["Towed Object", "Car"], [None, 0.75])


@pytest.mark.parametrize(
    "row", ["Car 0 0 0 1 2 3 4\n", CAR.replace("8.5", "x"), CAR.replace("8.5", "nan"), "0 1 2 3 4\n"]
)
def test_rows_of_another_form_are_refused_by_line(tmp_path: Path, row: str) -> None:
    lay(tmp_path, {"label_2/a.txt": CAR + "\n" + row}, "image_2/a.png")
    with pytest.raises(DataError, match=r"label_2/a\.txt, line 3: expected a type and 14 numbers, found"):
        Manifest.from_any(tmp_path)


def test_written_and_read_back(tmp_path: Path) -> None:
    texts = {"train/label_2/a.txt": CAR + DONT_CARE + OF_TAO, "val/label_2/b.txt": ""}
    manifest = Manifest.from_any(lay(tmp_path / "in", texts, "train/image_2/a.png", "val/image_2/b.png"))
    where = manifest.export(tmp_path / "out", format="kitti")
    rows = (tmp_path / "out" / "train" / "label_2" / "a.txt").read_text().splitlines()
    assert rows[0] == "Car 0.25 1 -1.58 8.5 6.25 63 47 1.6 1.76 3.84 -0.36 1.12 34.62 -1.59"
    assert rows[1] == "DontCare -1 -1 -10 50.5 10 60 20 -1 -1 -1 -1000 -1000 -1000 -10"
    back = rows_by_name(Manifest.from_any(where))
    of_files = ("image_id", "version", "group")
    for name, row in rows_by_name(manifest).items():
        assert {k: v for k, v in back[name].items() if k not in of_files} == {
            k: v for k, v in row.items() if k not in of_files
        }
