"""YOLO as people have it: trees of a few files, each with the images, splits, classes and boxes that are in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError, DataError
from onlineml.storage import io
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

BOX = b"1 0.5 0.5 0.2 0.4\n"  # of an image of 100 x 50 pixels: 40, 15, 60, 35
YAML = "names: [cat, dog]\nnc: 2\n"


def _grow(folder: Path, names: str, **contents: str | bytes) -> Path:
    """Files by name; a picture, a label file of one box, or the content that is given under the name's last part."""
    for number, name in enumerate(name.strip(" ") for name in names.replace(";", "\n").splitlines()):
        given = contents.get(name.rpartition("/")[2].replace(".", "_"))
        data = given.encode() if isinstance(given, str) else given
        ending = name.rpartition(".")[2].lower()
        if name:
            usual = BOX if ending == "txt" else png(noise(number, (50, 100)))
            io.write_bytes(folder / name, usual if data is None else data)
    return folder


ROBOFLOW = "train/images/a.jpg; train/labels/a.txt; valid/images/b.jpg; valid/labels/b.txt; data.yaml"
FOLDERS = "images/train/a.jpg; labels/train/a.txt; images/val/b.jpg; labels/val/b.txt; data.yaml"
BOTH = "train/images/a.jpg train, valid/images/b.jpg val"
INSIDE = "images/train/a.jpg train, images/val/b.jpg val"
CLASSES = "cat\ndog\n\n"
# names of files, what is expected ("image split": '#' by hash, '-' not annotated, '0' without boxes), other contents
LAYOUTS: dict[str, tuple[str, str, dict[str, str]]] = {
    "Roboflow": (
        ROBOFLOW,
        BOTH,
        {"data_yaml": f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\n{YAML}"},
    ),
    "Colab": (
        ROBOFLOW,
        BOTH,
        {"data_yaml": f"train: /content/drive/MyDrive/set/train/images\nval: /content/x/valid/images\n{YAML}"},
    ),
    "Windows": (ROBOFLOW, BOTH, {"data_yaml": f"train: D:\\sets\\a b\\train\\images\nval: valid\\images\\\n{YAML}"}),
    "path of another place": (
        FOLDERS,
        INSIDE,
        {"data_yaml": f"path: ../datasets/x\ntrain: images/train\nval: images/val\n{YAML}"},
    ),
    "path that is absolute": (
        FOLDERS,
        INSIDE,
        {"data_yaml": f"path: /home/me/x\ntrain: images/train\nval: images/val\n{YAML}"},
    ),
    "the folder by its own name": (
        "a.jpg; a.txt; data.yaml",
        "a.jpg train",
        {"data_yaml": f"train: /content/set\n{YAML}"},
    ),
    "folders that are written otherwise": (
        "Images/Train/a.jpg; Labels/Train/a.TXT; data.yaml",
        "Images/Train/a.jpg train",
        {"data_yaml": f"train: images/train\n{YAML}", "a_TXT": BOX.decode()},
    ),
    "folders that are not there": (FOLDERS, INSIDE, {"data_yaml": f"train: photos/train\nval: photos/val\n{YAML}"}),
    "no folders named": (FOLDERS, INSIDE, {"data_yaml": YAML}),
    "valid as a key": (ROBOFLOW, BOTH, {"data_yaml": f"train: train/images\nvalid: valid/images\n{YAML}"}),
    "a folder above": (
        "set/train/images/a.jpg; set/train/labels/a.txt; set/data.yaml",
        "set/train/images/a.jpg train",
        {"data_yaml": f"train: train/images\nval: valid/images\n{YAML}"},
    ),
    "dataset.yaml": (
        "a/a.jpg; a/a.txt; dataset.yaml; hyp.yaml",
        "a/a.jpg train",
        {"dataset_yaml": f"train: ./a\n{YAML}", "hyp_yaml": "lr0: 0.01\n"},
    ),
    "one other yaml": (
        "a/a.jpg; a/a.txt; signs.yml; hyp.yaml",
        "a/a.jpg train",
        {"signs_yml": f"train: a\n{YAML}", "hyp_yaml": "lr0: 1\n"},
    ),
    "label": ("images/a.jpg; label/a.txt; data.yaml", "images/a.jpg train", {"data_yaml": f"train: images\n{YAML}"}),
    "labels of the whole name": (
        "images/a.jpg; images/a.png; labels/a.jpg.txt; labels/a.png.txt; data.yaml",
        "images/a.jpg train, images/a.png train",
        {"data_yaml": f"train: images\n{YAML}"},
    ),
    "images in the path twice": (
        "images/x/images/a.jpg; images/x/labels/a.txt; data.yaml",
        "images/x/images/a.jpg train",
        {"data_yaml": f"train: images/x/images\n{YAML}"},
    ),
    "both beside and in labels": (
        "images/a.jpg; images/a.txt; labels/a.txt; data.yaml",
        "images/a.jpg train",
        {"data_yaml": f"train: images\n{YAML}"},
    ),
    "a split without any label": (
        "train/images/a.jpg; train/labels/a.txt; train/images/b.jpg; test/images/t.jpg; data.yaml",
        "test/images/t.jpg test-, train/images/a.jpg train, train/images/b.jpg train0",
        {"data_yaml": f"train: train/images\ntest: test/images\n{YAML}"},
    ),
    "names the other way round": (
        FOLDERS,
        INSIDE,
        {"data_yaml": "train: images/train\nval: images/val\nnames: {cat: 0, dog: 1}\n"},
    ),
    "names in a file": (
        f"{FOLDERS}; obj.names",
        INSIDE,
        {"data_yaml": "train: images/train\nval: images/val\nnames: obj.names\n", "obj_names": CLASSES},
    ),
    "predictions are no labels": (
        "images/train/a.jpg; labels/train/a.txt; images/test/t.jpg; runs/detect/predict/labels/t.txt; data.yaml",
        "images/test/t.jpg test-, images/train/a.jpg train",
        {"data_yaml": f"train: images/train\ntest: images/test\n{YAML}"},
    ),
    "Darknet by CVAT": (
        """obj_train_data/a.jpg; obj_train_data/a.txt; obj_train_data/b.jpg; obj_train_data/b.txt
        obj.data; obj.names; train.txt""",
        "obj_train_data/a.jpg train, obj_train_data/b.jpg train",
        {
            "obj_data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
            "obj_names": CLASSES,
            "train_txt": "data/obj_train_data/a.jpg\ndata\\obj_train_data\\b.jpg \n\n",
        },
    ),
    "Darknet by CVAT, a folder above": (
        "task/obj_train_data/a.jpg; task/obj_train_data/a.txt; task/obj.data; task/obj.names; task/train.txt",
        "task/obj_train_data/a.jpg train",
        {
            "obj_data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n",
            "obj_names": CLASSES,
            "train_txt": "data/obj_train_data/a.jpg\n",
        },
    ),
    "a pattern": (FOLDERS, INSIDE, {"data_yaml": f"train: images/train/*.jpg\nval: images/val/**/*.jpg\n{YAML}"}),
    "Darknet with validation": (
        "img/a.jpg; img/a.txt; img/b.jpg; img/b.txt; data/signs.data; data/signs.names; data/train.txt; data/test.txt",
        "img/a.jpg train, img/b.jpg val",
        {
            "signs_data": "classes=2\ntrain  = data/train.txt\nvalid  = data/test.txt\nnames = data/signs.names\n",
            "signs_names": CLASSES,
            "train_txt": "/darknet/img/a.jpg\n",
            "test_txt": "/darknet/img/b.jpg\n",
        },
    ),
    "Darknet by Roboflow": (
        "train/a.jpg; train/a.txt; train/_darknet.labels; valid/b.jpg; valid/b.txt; valid/_darknet.labels",
        "train/a.jpg train, valid/b.jpg val",
        {"_darknet_labels": CLASSES},
    ),
    "LabelImg": ("a.jpg; a.txt; classes.txt", "a.jpg #", {"classes_txt": CLASSES}),
    "Label Studio": (
        "images/a.jpg; labels/a.txt; classes.txt; notes.json",
        "images/a.jpg #",
        {"classes_txt": CLASSES, "notes_json": "{}"},
    ),
    "Label Studio, names in notes.json": (
        "images/a.jpg; labels/a.txt; notes.json",
        "images/a.jpg #",
        {"notes_json": '{"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}'},
    ),
    "lists at the top": (
        "images/a.jpg; labels/a.txt; images/b.jpg; labels/b.txt; classes.txt; train.txt; val.txt",
        "images/a.jpg train, images/b.jpg val",
        {"classes_txt": CLASSES, "train_txt": "images/a.jpg\n", "val_txt": "images/b.jpg\n"},
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str):
    names, expected, contents = LAYOUTS[name]
    root = _grow(tmp_path / "set", names, **contents)

    manifest = Manifest.from_any(root, task="detection")

    assert manifest.class_names == ("cat", "dog")
    found = []
    for row in manifest.table.select(["uri", "split", "boxes_xyxy", "labels"]).to_pylist():
        kind = "-" if row["labels"] is None else "" if row["labels"] else "0"
        found.append(f"{row['uri']} {'#' if expected.endswith('#') else row['split'] or '?'}{kind}")
        assert (row["boxes_xyxy"], row["labels"]) in [([[40, 15, 60, 35]], ["dog"]), ([], []), (None, None)]
    assert ", ".join(found) == expected


@pytest.mark.parametrize(
    ("names", "contents", "message"),
    [
        (
            "images/a.jpg; labels/b.txt; data.yaml",
            {"data_yaml": f"train: images\n{YAML}"},
            r"none of the 1 images has a label file.*for 'images/a.jpg', 'labels/a.txt'.*'labels/b.txt'; set root=",
        ),
        ("images/a.jpg; labels/a.txt", {}, r"found none, nor a classes.txt or obj.names: set names= to the classes in"),
        (
            "a/a.jpg; a/a.txt; a/classes.txt; b/b.jpg; b/b.txt; b/obj.names",
            {"classes_txt": "cat\n", "obj_names": "dog\n"},
            "lists of different classes: 'a/classes.txt', 'b/obj.names'; set names= to the classes in order",
        ),
        (
            "images/a.jpg; images/a.png; labels/a.txt; data.yaml",
            {"data_yaml": f"train: images\n{YAML}"},
            "1 file fits several others: 'labels/a.txt: images/a.jpg or images/a.png'; give each image a label file of",
        ),
        (
            "images/a.jpg; labels/a.txt; data.yaml",
            {"data_yaml": f"train: images\n{YAML}", "a_txt": "0 50 25 20 20\n0 30 30 10 10\n"},
            "2 of 2 rows have values beyond 2: pixels",
        ),
        (
            "images/a.jpg; labels/a.txt; data.yaml",
            {"data_yaml": f"train: images\n{YAML}", "a_txt": "0 0.5 0.5 0.2 0.4 0.9 7\n"},  # ids of tracks
            "1 of 1 row has values beyond 2",
        ),
        (
            "images/a.jpg; labels/a.txt; data.yaml",
            {"data_yaml": f"train: images\n{YAML}", "a_txt": "0 0,5 0,5 0,2 0,4\n"},  # decimal commas
            "labels/a.txt: line 1: '0 0,5 0,5 0,2 0,4'; expected",
        ),
        (
            "images/a.jpg; images/b/b.jpg; labels/a.txt; data.yaml",
            {"data_yaml": f"train: images\nval: images/b\n{YAML}"},
            "1 image is in several splits: 'images/b/b.jpg'.*lists that data.yaml names differ",
        ),
        (
            "images/a.jpg; labels/a.txt; classes.txt",
            {"classes_txt": "K\u00e4fer\n".encode("latin-1")},
            "classes.txt, line 1: the byte 0xE4 at 1",
        ),
        (
            "images/a.jpg; labels/a.txt; data.yaml",
            {"data_yaml": f"train: images\nkpt_shape: 4\n{YAML}"},
            "expected kpt_shape as",
        ),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, names: str, contents: dict[str, str | bytes], message: str):
    _grow(tmp_path, names, **contents)
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path, task="detection")


@pytest.mark.parametrize("names", [["cat", "dog"], ("cat", "dog"), {1: "dog", 0: "cat"}])
def test_names_may_be_given(tmp_path: Path, names: list[str] | dict[int, str]):
    manifest = Manifest.from_yolo(_grow(tmp_path, "images/a.jpg; labels/a.txt"), names=names)
    assert (manifest.class_names, manifest.column("labels").tolist()) == (("cat", "dog"), [["dog"]])
    found = Manifest.from_any(tmp_path, task="detection", class_names=["cat", "dog"])
    assert found.column("labels").tolist() == [["dog"]]
    with pytest.raises(ConfigError, match="expected names as a list"):
        Manifest.from_yolo(tmp_path, names={"a": "b"})  # type: ignore[dict-item]


# ------------------------------------------------------------------------------------------------------------- rows

# a hand with two keypoints as its box and a point of it each: the box is 40, 15, 60, 35
POSE_3 = "0 0.5 0.5 0.2 0.4 0.45 0.4 2 0.55 0.6 1"
POSE_2 = "0 0.5 0.5 0.2 0.4 0.41 0.35 0.59 0.66"


def _rows(folder: Path, *texts: str, facts: str = "") -> Path:
    for number, text in enumerate(texts):
        _grow(folder, f"images/{number}.png; labels/{number}.txt", **{f"{number}_txt": text})
    return _grow(folder, "data.yaml", data_yaml=f"train: images\n{YAML}{facts}")


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        (POSE_3, "kpt_shape: [2, 3]\n"),
        (POSE_2, "kpt_shape: [2, 2]\n"),
        (POSE_2 + " 0.9", "kpt_shape: [2, 2]\n"),  # with a confidence
        ("0 0.5 0.5 0.2 0.4", "kpt_shape: [2, 2]\n"),
        ("0 0.5 0.5 0.2 0.4 0.9", ""),
        ("0,0.5,0.5,0.2,0.4", ""),
        ("0, 0.5, 0.5, 0.2, 0.4,", ""),
        ("0\t0.5  0.5 0.2 0.4  ", ""),
        ("0.0 0.5 0.5 0.2 0.4", ""),
        ("0 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7", ""),  # an oriented box
        ("0 0.4 0.3 0.6 0.3 0.6 0.7 0.4 0.7 0.5 0.5", ""),  # a polygon
    ],
)
def test_forms_of_rows(tmp_path: Path, row: str, facts: str):
    manifest = Manifest.from_yolo(_rows(tmp_path, row, facts=facts))
    assert np.allclose(manifest.boxes().boxes_xyxy, [[40, 15, 60, 35]])


@pytest.mark.parametrize(
    "texts",
    [
        [POSE_3],
        [POSE_2, "1 0.3 0.3 0.2 0.2 0.22 0.25 0.38 0.38"],
        ["0 0.5 0.5 0.2 0.4 0.41 0.35"],  # one keypoint, or a triangle
        ["0 0.5 0.5 0.2 0.4 0.45 0.4 2 0.55 0.6 1 0 0 0 0.5 0.5 2"],
        ["0 0.671 0.586 0.126 0.018 0.608 0.577 2 0.694 0.584 2 0.734 0.595 2 0.711 0.593 2"],
    ],
)
def test_keypoints_without_their_number_are_refused(tmp_path: Path, texts: list[str]):
    with pytest.raises(DataError, match=r"keypoints.*kpt_shape"):
        Manifest.from_yolo(_rows(tmp_path, *texts))


def test_kpt_shape_may_be_given(tmp_path: Path):
    folder = _rows(tmp_path, POSE_2, POSE_2)
    assert Manifest.from_yolo(folder, kpt_shape=(2, 2)).boxes().boxes_xyxy.tolist() == [[40, 15, 60, 35]] * 2
    hull = Manifest.from_yolo(folder, kpt_shape=(0, 2)).boxes().boxes_xyxy
    assert np.allclose(hull, [[20, 17.5, 59, 33]] * 2)


def test_small_oriented_boxes_are_no_keypoints(tmp_path: Path):
    """Of small shapes all points are inside the box of the first four numbers, but fill next to nothing of it."""
    rows = [
        f"0 {x} {y} {x + 0.04} {y + 0.01} {x + 0.03} {y + 0.05} {x - 0.01} {y + 0.04}"
        for x, y in ((0.3, 0.4), (0.6, 0.2))
    ]
    boxes = Manifest.from_yolo(_rows(tmp_path, "\n".join(rows))).boxes().boxes_xyxy
    assert np.allclose(boxes, [[29, 20, 34, 22.5], [59, 10, 64, 12.5]])


def test_what_is_told(tmp_path: Path):
    texts = [
        "0 0.5 0.5 0.2 0.4 0.75\n0 0.5 0.5 0.2 0.4 0.75\n",
        "0 0.4 0.5 0.5 0.3 0.6 0.5 0.5 0.7\n7 0.5 0.5 1 1\n",
        "",
    ]
    folder = _rows(tmp_path, *texts, facts="test: ../test/images\nnc: 3\n".replace("nc: 3\n", ""))
    _grow(folder, "labels/gone.txt; images/bare.png")
    manifest = Manifest.from_yolo(folder)
    assert manifest.notes == (
        "read as YOLO from labels/*.txt and data.yaml",
        f"test: '../test/images' contains no images in {folder}, so it is left out",
        "1 label file matches no image (left out): 'labels/gone.txt'",
        "1 image has no label file, so no objects: 'images/bare.png'",
        "1 polygon or oriented boxes was read as the boxes around them",
        "1 row repeats another one of the file (left out)",
        "1 row has a confidence, which is the column 'score'",
        "1 class number has no name: 7",
    )
    assert manifest.column("score").tolist()[:2] == [[0.75], None]


def test_labels_in_utf_16(tmp_path: Path):
    _grow(tmp_path, "images/a.png; labels/a.txt; classes.txt", a_txt=BOX.decode().encode("utf-16"), classes_txt=CLASSES)
    assert Manifest.from_any(tmp_path).boxes().boxes_xyxy.tolist() == [[40, 15, 60, 35]]


def test_an_nc_that_disagrees(tmp_path: Path):
    _grow(tmp_path, "images/a.png; labels/a.txt; data.yaml", data_yaml="train: images\nnames: [cat, dog]\nnc: 5\n")
    assert "data.yaml: nc is 5, but there are 2 names; the names count" in Manifest.from_yolo(tmp_path).notes


def test_the_description_itself_may_be_given(tmp_path: Path):
    contents = LAYOUTS["Darknet by CVAT"][2]
    _grow(tmp_path, "obj_train_data/a.jpg; obj_train_data/a.txt; obj.data; obj.names; train.txt", **contents)
    assert Manifest.from_any(tmp_path / "obj.data").class_names == ("cat", "dog")
    _grow(tmp_path, "set/a.jpg; set/a.txt; set/mine.yaml", mine_yaml=f"train: .\n{YAML}")
    assert Manifest.from_any(tmp_path / "set/mine.yaml").column("uri").tolist() == ["a.jpg"]
