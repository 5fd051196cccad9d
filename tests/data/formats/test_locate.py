"""Names in annotation files, and the beginnings of JSON files."""

from __future__ import annotations

import pytest

from onlineml.data.formats.locate import locate
from onlineml.data.formats.sniff import JsonShape, json_shape
from onlineml.data.images.policies import is_junk
from onlineml.data.manifest.splits import normalised_split, split_in_name

PATHS = ["images/a.jpg", "images/b c.JPG", "train/x.jpg", "val/x.jpg", "val/deep/é.png"]


@pytest.mark.parametrize(
    ("name", "beside", "expected"),
    [
        ("images/a.jpg", "", "images/a.jpg"),
        ("a.jpg", "", "images/a.jpg"),
        ("a.jpg", "images", "images/a.jpg"),
        ("../images/a.jpg", "annotations", "images/a.jpg"),
        (r"C:\data\images\a.jpg", "", "images/a.jpg"),
        ("/home/somebody/set/images/a.jpg", "", "images/a.jpg"),
        ("https://host/files/b%20c.JPG?token=1", "", "images/b c.JPG"),
        (" b c.jpg ", "", "images/b c.JPG"),
        ("a", "", "images/a.jpg"),
        ("a.png", "", "images/a.jpg"),
        ("val/x.jpg", "", "val/x.jpg"),
        (r"data\val\x.jpg", "", "val/x.jpg"),
        ("x.jpg", "train", "train/x.jpg"),
        ("x.jpg", "", None),
        ("nowhere.jpg", "", None),
        ("", "", None),
    ],
)
def test_the_file_of_a_name(name: str, beside: str, expected: str | None):
    assert locate([name], PATHS, beside=beside).paths == [expected]


def test_a_name_of_several_files_tells_them():
    assert locate(["x.jpg", "a.jpg"], PATHS).ambiguous == {"x.jpg": ["train/x.jpg", "val/x.jpg"]}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'{"info": {"year": 1}, "images": [{"id": 1}], "annota', JsonShape("object", ("info", "images"), ("year",))),
        (
            b'\xef\xbb\xbf [{"image": "a.jpg", "annotations": [{"label": "x',
            JsonShape("array", ("image", "annotations")),
        ),
        (
            b'{"a.jpg12": {"filename": "a.jpg", "regions": []}, "b": {"z": 1}}',
            JsonShape("object", ("a.jpg12", "b"), ("filename", "regions")),
        ),
        ('{"version": "5"}'.encode("utf-16"), JsonShape("object", ("version",))),
        (b'"text"', JsonShape("")),
        (b"", JsonShape("")),
        (b'{"a\\"{": 1, "b": "}"}', JsonShape("object", ('a\\"{', "b"))),
    ],
)
def test_the_outer_shape_of_json(head: bytes, expected: JsonShape):
    assert json_shape(head) == expected


def test_the_names_of_splits():
    for split, names in {
        "train": ["Training", "TRAIN", "trainset", "training_set", "train2017", "Train Data", "train_images"],
        "val": ["valid", "validation", "dev", "Eval", "val2014", "validation-set"],
        "test": ["testing", "test_set", " Test ", "testset", "test-dev2017"[:4]],
    }.items():
        assert [normalised_split(name) for name in names] == [split] * len(names)
    assert [normalised_split(name) for name in ("trains", "cat", "", "data", "2017")] == [None] * 5
    assert [split_in_name(name) for name in ("instances_val2017", "train_labels", "train_val", "labels")] == [
        "val",
        "train",
        None,
        None,
    ]


def test_the_files_that_systems_leave():
    junk = [
        ".a.jpg",
        "x/.thumbnails/a.jpg",
        "@eaDir/a.jpg",
        "__MACOSX/a.jpg",
        "a/$RECYCLE.BIN/b.png",
        "Thumbs.db",
        "b/~$a.xlsx",
    ]
    assert all(map(is_junk, junk))
    assert not any(map(is_junk, ["a.jpg", "a.b/c.jpg", "thumbs/a.jpg", "lost/found.jpg"]))
