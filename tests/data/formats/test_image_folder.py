"""Folders of images with a file of metadata, as Hugging Face's ImageFolder has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

CARD = """---
dataset_info:
  features:
  - name: image
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
---
# A set
"""


def images(folder: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(png(noise(number, (100, 200))))


def rows(path: Path, *content: dict[str, Any]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in content))


def column(found: Manifest, *names: str) -> dict[str, Any]:
    table = found.table.select(["uri", *names]).to_pylist()
    return {row["uri"]: row[names[0]] if len(names) == 1 else tuple(row[name] for name in names) for row in table}


def boxed(name: str, *boxes: list[float], categories: list[Any] | None = None, **further: Any) -> dict[str, Any]:
    own = ["cat"] * len(boxes) if categories is None else categories
    return {"file_name": name, "objects": {"bbox": [*boxes], "categories": own, **further}}


def test_boxes_are_sides_in_pixels_and_files_one_for_each_split(tmp_path: Path) -> None:
    images(tmp_path, "train/a.png", "train/b.png", "validation/a.png", "validation/c.png")
    rows(tmp_path / "train/metadata.jsonl", boxed("a.png", [30, 9, 73, 52], id=[7]), boxed("b.png"))
    rows(tmp_path / "validation/metadata.jsonl", boxed("a.png", [0, 0, 200, 100], categories=["dog"]))

    found = Manifest.from_any(tmp_path)

    assert found.task == "detection"
    assert column(found, "split", "boxes_xyxy", "labels") == {
        "train/a.png": ("train", [[30.0, 9.0, 103.0, 61.0]], ["cat"]),
        "train/b.png": ("train", [], []),
        "validation/a.png": ("val", [[0.0, 0.0, 200.0, 100.0]], ["dog"]),
    }
    assert column(found, "id")["train/a.png"] == [7]
    assert any("1 image is in no file of metadata and left out: 'validation/c.png'" in note for note in found.notes)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_one_file_at_the_top_with_classes(ending: str, tmp_path: Path) -> None:
    content = [{"file_name": "train/a.png", "label": "cat"}, {"file_name": "test/b.png", "label": None}]
    images(tmp_path, *(row["file_name"] or "" for row in content))
    path = tmp_path / f"metadata.{ending}"
    if ending == "csv":
        path.write_text("file_name,label\ntrain/a.png,cat\ntest/b.png,\n")
    elif ending == "jsonl":
        rows(path, *content)
    else:
        pq.write_table(pa.Table.from_pylist(content), path)

    for url in (tmp_path, path):
        found = Manifest.from_any(url)
        assert column(found, "split", "label") == {"train/a.png": ("train", "cat"), "test/b.png": ("test", None)}


def test_numbers_of_classes_get_the_names_of_the_card_or_those_that_are_given(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png", "c.png")
    rows(
        tmp_path / "metadata.jsonl",
        *({"file_name": f"{n}.png", "label": i} for n, i in zip("abc", (1, 0, -1), strict=True)),
    )

    numbers = Manifest.from_any(tmp_path)
    given = Manifest.from_any(tmp_path, class_names=["yes", "no"])
    (tmp_path / "README.md").write_text(CARD)
    named = Manifest.from_any(tmp_path)

    assert column(numbers, "label") == {"a.png": "1", "b.png": "0", "c.png": None}
    assert any("classes are numbers, 0 to 1; class_names=" in note for note in numbers.notes)
    assert column(given, "label") == {"a.png": "no", "b.png": "yes", "c.png": None}
    assert column(named, "label") == {"a.png": "dog", "b.png": "cat", "c.png": None}
    assert named.class_names == ("cat", "dog")


def test_boxes_that_fit_only_as_corners_are_corners(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    corners = [[90, 40, 190, 90], [10, 5, 160, 95], [100, 20, 200, 60]]
    rows(tmp_path / "metadata.jsonl", boxed("a.png", *corners[:2]), boxed("b.png", corners[2]))

    found = Manifest.from_any(tmp_path)

    assert [box for own in column(found, "boxes_xyxy").values() for box in own] == corners
    assert any("x1, y1, x2, y2, not x, y, width, height" in note for note in found.notes)


def test_shares_are_recognised(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    rows(tmp_path / "metadata.jsonl", boxed("a.png", [0.25, 0.5, 0.5, 0.25]), boxed("b.png", [0, 0, 1, 1]))

    found = Manifest.from_any(tmp_path)

    assert column(found, "boxes_xyxy") == {"a.png": [[50.0, 50.0, 150.0, 75.0]], "b.png": [[0.0, 0.0, 200.0, 100.0]]}
    assert any("shares of the width and height" in note for note in found.notes)


def test_a_box_a_little_too_wide_is_no_corner(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    rows(tmp_path / "metadata.jsonl", boxed("a.png", [10, 5, 195, 60]))  # five pixels too wide

    assert column(Manifest.from_any(tmp_path), "boxes_xyxy") == {"a.png": [[10.0, 5.0, 205.0, 65.0]]}


def test_lists_in_csv_and_lists_of_objects(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    cell = "{'bbox': [[1.0, 2.0, 3.0, 4.0]], 'category': ['cat']}"
    (tmp_path / "metadata.csv").write_text(f'file_name,objects\na.png,"{cell}"\nb.png,\n')
    assert column(Manifest.from_any(tmp_path), "boxes_xyxy") == {"a.png": [[1.0, 2.0, 4.0, 6.0]], "b.png": None}

    (tmp_path / "metadata.csv").unlink()
    rows(tmp_path / "metadata.jsonl", {"image_file_name": "a.png", "objects": [{"bbox": [1, 2, 3, 4], "label": "cat"}]})
    assert column(Manifest.from_any(tmp_path), "boxes_xyxy") == {"a.png": [[1.0, 2.0, 4.0, 6.0]]}


def test_sets_of_classes(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    rows(
        tmp_path / "metadata.jsonl",
        {"file_name": "a.png", "label": ["cat", "dog"]},
        {"file_name": "b.png", "label": []},
    )

    found = Manifest.from_any(tmp_path)

    assert (found.task, column(found, "labels")) == ("multilabel", {"a.png": ["cat", "dog"], "b.png": []})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (boxed("a.png", [1, 2, 3]), r"metadata\.jsonl:1: expected a box \[x, y, width, height\], found \[1, 2, 3\]"),
        (boxed("a.png", [1, 2, 3, 4], categories=[]), r"metadata\.jsonl:1: 1 box, but 0 of 'categories'"),
        ({"label": "cat", "in_file_name": "a.png", "out_file_name": "a.png"}, "2 columns of paths"),
        ({"file_name": "a.png", "text": "a cat"}, r"no column of annotations.*label=<its name>, or format=\"folders"),
        ({"file_name": None, "label": "cat"}, r"metadata\.jsonl:1: no file_name"),
    ],
)
def test_bad_rows_are_named(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    rows(tmp_path / "metadata.jsonl", row)

    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


def test_a_column_of_any_name_is_read_if_it_is_given(tmp_path: Path) -> None:
    images(tmp_path, "a.png")
    rows(tmp_path / "metadata.jsonl", {"file_name": "a.png", "species": "cat"})

    assert column(Manifest.from_any(tmp_path, label="species"), "label") == {"a.png": "cat"}


def test_images_in_an_archive_must_be_unpacked(tmp_path: Path) -> None:
    rows(tmp_path / "metadata.jsonl", {"file_name": "a.png", "label": "cat"})
    (tmp_path / "images.zip").write_bytes(b"PK")

    with pytest.raises(DataError, match=r"are in archives: 'images\.zip'; unpack them"):
        Manifest.from_any(tmp_path)


def test_metadata_of_something_else_are_none(tmp_path: Path) -> None:
    images(tmp_path, "cat/a.png", "dog/b.png")
    (tmp_path / "metadata.csv").write_text("camera,date\nnorth,2020\n")

    assert column(Manifest.from_any(tmp_path), "label") == {"cat/a.png": "cat", "dog/b.png": "dog"}


@pytest.mark.parametrize("task", ["detection", "classification", "multilabel"])
def test_round_trip(task: str, tmp_path: Path) -> None:
    images(tmp_path / "in", "train/a.png", "test/a.png", "test/b.png")
    made = {
        "detection": [boxed("train/a.png", [1, 2, 3, 4], [5, 6, 7, 8], area=[12.0, 56.0]), boxed("test/a.png")],
        "classification": [{"file_name": "train/a.png", "label": "cat"}, {"file_name": "test/a.png", "label": "dog"}],
        "multilabel": [{"file_name": "train/a.png", "label": ["a", "b"]}, {"file_name": "test/a.png", "label": []}],
    }
    rows(tmp_path / "in/metadata.jsonl", *made[task], {"file_name": "test/b.png"})
    data = Manifest.from_any(tmp_path / "in", task=task)

    data.export(tmp_path / "out", format="imagefolder")
    found = Manifest.from_any(tmp_path / "out")

    assert found.task == task
    names = {"split", data.kind.key, data.kind.names, *(["area"] if task == "detection" else [])}
    assert column(found, *sorted(names)) == column(data, *sorted(names))
