"""COCO as people have it: files and folders of any name, ids and numbers in any spelling, masks without boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pycocotools import mask

from format_files import lay, read_boxes
from onlineml.data.formats.coco.values import find_ids, plain_ids, segmentation_xywh
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

CATS = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def coco(*names: str, **parts: Any) -> dict[str, Any]:
    """A file in which image number n (from 1) has one box of class 1 at x = n, y = 2, 3 wide, 4 high."""
    numbers = range(1, len(names) + 1)
    boxes = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": [n, 2, 3, 4], "area": 12, "iscrowd": 0} for n in numbers
    ]
    images = [{"id": n, "file_name": name, "width": 20, "height": 10} for n, name in zip(numbers, names, strict=True)]
    return {"images": images, "annotations": boxes, "categories": CATS, **parts}


ONE, TWO = [[1.0, 2.0, 4.0, 6.0]], [[2.0, 2.0, 5.0, 6.0]]

LAYOUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "CVAT: instances_default.json beside images/": (
        {"annotations/instances_default.json": coco("a.png", "b.png"), "images/a.png": None, "images/b.png": None},
        {"images/a.png": (..., ONE), "images/b.png": (..., TWO)},
    ),
    "train.json and val.json, folders of their names with equal file names": (
        {
            "annotations/train.json": coco("1.png", "2.png"),
            "annotations/val.json": coco("1.png"),
            **dict.fromkeys(["train/1.png", "train/2.png", "val/1.png"]),
        },
        {"train/1.png": ("train", ONE), "train/2.png": ("train", TWO), "val/1.png": ("val", ONE)},
    ),
    "a picture of val that is only in train is absent, not the other one": (
        {
            "annotations/train.json": coco("1.png", "2.png"),
            "annotations/val.json": coco("2.png", "3.png"),
            **dict.fromkeys(["train/1.png", "train/2.png", "val/3.png"]),
        },
        {
            "train/1.png": ("train", ONE),
            "train/2.png": ("train", TWO),
            "val/2.png": ("val", ONE),
            "val/3.png": ("val", TWO),
        },
    ),
    "Roboflow": (
        {
            **{f"{s}/_annotations.coco.json": coco("1_jpg.rf.0a.jpg") for s in ("train", "valid", "test")},
            **{f"{s}/1_jpg.rf.0a.jpg": None for s in ("train", "valid", "test")},
        },
        {
            "train/1_jpg.rf.0a.jpg": ("train", ONE),
            "valid/1_jpg.rf.0a.jpg": ("val", ONE),
            "test/1_jpg.rf.0a.jpg": ("test", ONE),
        },
    ),
    "Label Studio's result.json with the project's number": (
        {
            "result.json": coco("images/1/9f-a.jpg", "images\\1/9f-b.jpg"),
            "images/9f-a.jpg": None,
            "images/9f-b.jpg": None,
        },
        {"images/9f-a.jpg": (..., ONE), "images/9f-b.jpg": (..., TWO)},
    ),
    "Label Studio 1.16: a way up, with backslashes": (
        {"result.json": coco("..\\..\\label-studio\\media\\upload\\4\\cb-x.png"), "images/cb-x.png": None},
        {"images/cb-x.png": (..., ONE)},
    ),
    "FiftyOne: labels.json beside data/": (
        {"labels.json": coco("a.png", "deep/b.png"), "data/a.png": None, "data/deep/b.png": None},
        {"data/a.png": (..., ONE), "data/deep/b.png": (..., TWO)},
    ),
    "one file at the top, split folders in its names": (
        {"coco.json": coco("train/a.png", "test/a.png"), "images/train/a.png": None, "images/test/a.png": None},
        {"images/train/a.png": ("train", ONE), "images/test/a.png": ("test", TWO)},
    ),
    "blanks, URL-encoding and absolute paths": (
        {
            "all.json": coco(" a b.png ", "c%20d.png", "/home/me/e.png", "C:\\x\\f.png"),
            **dict.fromkeys(["images/a b.png", "images/c d.png", "images/e.png", "images/f.png"]),
        },
        {
            "images/a b.png": (..., ONE),
            "images/c d.png": (..., TWO),
            "images/e.png": (..., [[3.0, 2.0, 6.0, 6.0]]),
            "images/f.png": (..., [[4.0, 2.0, 7.0, 6.0]]),
        },
    ),
    "other JSON files, captions and key points beside it": (
        {
            "package.json": {"name": "x", "images": ["a"]},
            "a.json": {"version": "5.0", "shapes": [], "imagePath": "a.png", "imageData": None},
            "annotations/instances_train2017.json": coco("a.png"),
            "annotations/captions_train2017.json": coco("a.png"),
            "annotations/person_keypoints_train2017.json": coco("a.png"),
            "train2017/a.png": None,
        },
        {"train2017/a.png": ("train", ONE)},
    ),
    "LVIS has URLs in place of names": (
        {
            "lvis_v1_val.json": coco(
                "?", images=[{"id": 1, "coco_url": "http://images.cocodataset.org/val2017/000.jpg"}]
            ),
            **dict.fromkeys(["train2017/000.jpg", "val2017/000.jpg"]),
        },
        {"val2017/000.jpg": ("val", ONE)},
    ),
    "two tasks of CVAT with the same names, of which one lacks a picture": (
        {
            "task 1/annotations/instances_default.json": coco("1.png", "2.png"),
            "task 2/annotations/instances_default.json": coco("1.png", "2.png"),
            **dict.fromkeys(["task 1/images/1.png", "task 2/images/1.png", "task 2/images/2.png"]),
        },
        {
            "task 1/images/1.png": (..., ONE),
            "task 1/images/2.png": (..., TWO),
            "task 2/images/1.png": (..., ONE),
            "task 2/images/2.png": (..., TWO),
        },
    ),
    "a file for each image": (
        {
            "Annotations/a.json": coco("a.png"),
            "Annotations/b.json": coco("b.png"),
            "Images/a.png": None,
            "Images/b.png": None,
        },
        {"Images/a.png": (..., ONE), "Images/b.png": (..., ONE)},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[layout]
    found = read_boxes(lay(tmp_path, files))
    assert found.keys() == expected.keys()
    for path, (split, boxes) in expected.items():
        assert found[path][1] == boxes, path
        assert split in (..., found[path][0]), path


def test_the_file_alone_finds_its_images(tmp_path: Path) -> None:
    lay(tmp_path, {"annotations/any.json": coco("a.png"), "photos/a.png": None})
    manifest = Manifest.from_any(tmp_path / "annotations" / "any.json", task="detection")
    assert manifest.urls() == [str(tmp_path / "photos" / "a.png")]


def test_files_between_which_nothing_decides(tmp_path: Path) -> None:
    lay(tmp_path, {"all.json": coco("1.png"), "left/1.png": None, "right/1.png": None})
    with pytest.raises(DataError, match=r"may be in 'left' or 'right': set images="):
        Manifest.from_any(tmp_path, task="detection")
    assert Manifest.from_coco(tmp_path / "all.json", images=tmp_path / "left").root == str(tmp_path / "left")
    lay(tmp_path / "twice", {"train.json": coco("a.png"), "train_old.json": coco("a.png"), "a.png": None})
    with pytest.raises(DataError, match=r"1 image is in two files, .*train\.json and .*train_old\.json: 'a\.png'"):
        Manifest.from_any(tmp_path / "twice", task="detection")


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [({"id": 1, "image_id": 1, "caption": "a cat"}, "captions"), ({"image_id": 1, "segments_info": []}, "panoptic")],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, annotation: dict[str, Any], kind: str) -> None:
    lay(tmp_path, {"captions.json": coco("a.png", annotations=[annotation]), "a.png": None})
    with pytest.raises(DataError, match=rf"captions\.json has {kind}.*instances_"):
        Manifest.from_any(tmp_path, task="detection")


def test_ids_and_numbers_in_any_spelling(tmp_path: Path) -> None:
    images = [
        {"id": "7", "file_name": "a.png", "width": "20", "height": "10.0"},
        {"id": "8", "file_name": "b.png", "width": 20.0, "height": 10},
        {"id": 81645724526782010095170042166076916798, "file_name": "c.png"},
    ]
    annotations = [
        {"id": "x", "image_id": 7, "category_id": "1", "bbox": ["1", 2.5, "3e0", 4], "area": "12", "iscrowd": "0"},
        {"id": 2, "image_id": 8.0, "category_id": 2.0, "bbox": [1, 1, 1, 1], "iscrowd": "true"},
        {"id": 3, "image_id": 99, "category_id": 1, "bbox": [1, 1, 1, 1]},
    ]
    document = {"images": images, "annotations": annotations, "categories": [{"id": "1", "name": "cat"}, CATS[1]]}
    lay(tmp_path, {"all.json": document, "a.png": None, "b.png": None, "c.png": None})
    table = Manifest.from_any(tmp_path, task="detection").table
    rows = table.select(["boxes_xyxy", "labels", "declared_width", "declared_height", "crowd"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ([[1.0, 2.5, 4.0, 6.5]], ["cat"], 20, 10, [False]),
        ([[1.0, 1.0, 2.0, 2.0]], ["dog"], 20, 10, [True]),
        ([], [], None, None, None),
    ]


def test_ids_are_compared_as_numbers_only_where_that_is_clear() -> None:
    assert find_ids([7, 7.0, "7", "007", 8, "x", None, 7.5, float("inf"), True], {7: 0}) == [0, 0, 0, 0, *[-1] * 6]
    assert find_ids(["01", "1", 1], {"01": 0, "1": 1}) == [0, 1, 0]
    assert plain_ids([1, "2", 3.0, "x"]) == [1, 2, 3, "x"]
    assert plain_ids(["1", "02"]) == ["1", "02"]


def test_boxes_around_segmentations(tmp_path: Path) -> None:
    picture = np.zeros((10, 20), np.uint8)
    picture[2:6, 3:8] = 1  # rows 2 to 5, columns 3 to 7
    compressed = mask.encode(np.asfortranarray(picture))
    counts = [32, *[4, 6] * 4, 4, 124]  # down the columns: 3 * 10 + 2 empty, then 4 full, 6 empty ...
    values = [
        ([[1, 2, 5, 2, 5, 9]], [1, 2, 5, 9]),
        ([[1, 2, 5, 2, 5, 9], [0, 0, 2, 1]], [0, 0, 5, 9]),
        ([1, 2, 5, 2, 5, 9], [1, 2, 5, 9]),
        ({"size": [10, 20], "counts": counts}, [3, 2, 8, 6]),
        ({"size": [10, 20], "counts": compressed["counts"].decode()}, [3, 2, 8, 6]),
    ]
    annotations = [
        {"id": n, "image_id": 1, "category_id": 1, "segmentation": value, **({"bbox": []} if n % 2 else {})}
        for n, (value, _) in enumerate(values)
    ]
    lay(tmp_path, {"all.json": coco("a.png", annotations=annotations), "a.png": None})
    manifest = Manifest.from_any(tmp_path, task="detection")
    assert manifest.table["boxes_xyxy"].to_pylist() == [[box for _, box in values]]


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], [[]], [[1, 2, 3]], ["a"], {}, {"size": [0, 5], "counts": [0]}, {"size": [2, 2], "counts": [1, 2]}),
        *({"size": [2, 2], "counts": text} for text in ("", "P", "é", "\0", [-1, 5])),
        {"size": [2, 2], "counts": [4]},
    ],
)
def test_segmentations_around_which_there_is_no_box(value: Any) -> None:
    assert segmentation_xywh(value) is None


def test_a_group_that_roboflow_lists_as_a_class(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "cat", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "cat"},
        {"id": 2, "name": "dog", "supercategory": "cat"},
    ]
    lay(tmp_path, {"train/_annotations.coco.json": coco("a.png", categories=categories), "train/a.png": None})
    manifest = Manifest.from_any(tmp_path, task="detection")
    assert (manifest.class_names, manifest.class_ids) == (("cat", "dog"), (1, 2))
    assert manifest.column("labels").tolist() == [["cat"]]
