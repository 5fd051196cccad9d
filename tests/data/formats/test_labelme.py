"""LabelMe: shapes by hand, images under other names than the files say, round trip, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from box_files import box_manifest
from format_files import lay, read_boxes
from onlineml.data.formats.labelme import parse_labelme
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

    from stores import Store


def shape(label: Any, points: Any, kind: str | None = "rectangle", **further: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, "flags": {}, **further}


def labelme(name: str | None, *shapes: Any, **further: Any) -> dict[str, Any]:
    sizes = {"imageHeight": 100, "imageWidth": 200}
    return {
        "version": "5.0.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": name,
        "imageData": "AAAA",
        **sizes,
        **further,
    }


@pytest.mark.parametrize(
    ("given", "box"),
    [
        (shape("a", [[1, 2], [30, 40.5]]), (1, 2, 30, 40.5)),
        (shape("a", [[30, 2], [1, 40]]), (1, 2, 30, 40)),
        (shape("a", [[1, 2], [30, 2], [30, 40], [1, 40]]), (1, 2, 30, 40)),  # X-AnyLabeling has all four corners
        (shape("a", [[10, 20], [13, 24]], "circle"), (5, 15, 15, 25)),  # 3, 4, 5
        (shape("a", [[5, 5], [9, 1], [7, 8]], "polygon"), (5, 1, 9, 8)),
        (shape("a", [["5", 5], [9, 1], [7, 8]], None), (5, 1, 9, 8)),
        (shape("a", [[0, 5], [5, 0], [10, 5], [5, 10]], "rotation"), (0, 0, 10, 10)),
        (shape("a", [[1, 2], [3, 4]], "mask", mask="iVBOR"), (1, 2, 3, 4)),
    ],
)
def test_boxes_by_hand(given: dict[str, Any], box: tuple[float, ...]) -> None:
    image = parse_labelme(json.dumps(labelme("a.png", given)).encode(), "a.json", Counter())
    assert image.shapes is not None
    assert [(one.label, one.box_xyxy) for one in image.shapes] == [("a", box)]
    assert image.size_hw == (100, 200)


def test_shapes_without_a_box_are_counted(tmp_path: Path) -> None:
    shapes = [
        shape("a", [[1, 2]], "point"),
        shape("a", [[1, 2], [3, 4]], "line"),
        shape("a", [[1, 2], [3, 4], [5, 6]], "linestrip"),
        shape("a", [[1, 2]], "polygon"),
        shape(7, [[0, 0], [2, 2]], "circle", group_id=3, description="x", difficult=True, attributes={"hue": "red"}),
    ]
    lay(tmp_path, {"a.json": labelme("a.png", *shapes), "a.png": None})
    manifest = Manifest.from_any(tmp_path)
    assert manifest.table["labels"].to_pylist() == [["7"]]
    names = ("group_id", "description", "difficult", "hue")
    assert [manifest.table[name].to_pylist() for name in names] == [[[3]], [["x"]], [[True]], [["red"]]]
    summary = manifest.summary()
    for part in ("1 shape of the type 'point' was left out", "1 shape of the type 'circle' was read as the boxes"):
        assert part in summary


BOX = shape("cat", [[1, 2], [3, 4]])
ONE = [[1.0, 2.0, 3.0, 4.0]]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (  # beside their images; one has no file, one no shape
            {"a.json": labelme("a.png", BOX), "b.json": labelme("b.png"), "a.png": None, "b.png": None, "c.png": None},
            {"a.png": (..., ONE), "b.png": (..., []), "c.png": (..., None)},
        ),
        (  # LabelMe on Windows, files in a folder of their own
            {"json/x.json": labelme("..\\images\\1.jpg", BOX), "images/1.jpg": None},
            {"images/1.jpg": ("...", ONE)},
        ),
        (  # renamed since: the name in the file is nowhere, or another image's
            {
                "1.y.json": labelme("C:\\photos\\IMG_0007.jpg", BOX),
                "2.json": labelme("1.y.jpg"),
                "1.y.jpg": None,
                "2.jpg": None,
            },
            {"1.y.jpg": (..., ONE), "2.jpg": (..., [])},
        ),
        (
            {
                "train/images/a.png": None,
                "train/labels/a.json": labelme("a.png", BOX),
                "val/images/a.png": None,
                "val/labels/a.json": labelme("..\\images\\a.png"),
            },
            {"train/images/a.png": ("train", ONE), "val/images/a.png": ("val", [])},
        ),
        (  # another JSON file, and a folder of heavy ones with keys in another order
            {
                "a.json": {"imageData": "A" * 70_000, **labelme("a.png", BOX)},
                "package.json": {"name": "x"},
                "a.png": None,
            },
            {"a.png": (..., ONE)},
        ),
    ],
)
def test_layouts(tmp_path: Path, files: dict[str, Any], expected: dict[str, Any]) -> None:
    found = read_boxes(lay(tmp_path, files))
    assert {path: boxes for path, (_, boxes) in found.items()} == {path: boxes for path, (_, boxes) in expected.items()}
    assert all(split in (..., "...") or found[path][0] == split for path, (split, _) in expected.items())


def test_an_image_of_another_split_is_another_image(tmp_path: Path) -> None:
    numbers = (("train", 1), ("train", 3), ("val", 1))
    files: dict[str, Any] = {f"{split}/json/{n}.json": labelme(f"{n}.jpg", BOX) for split, n in numbers}
    found = read_boxes(lay(tmp_path, files | dict.fromkeys(["train/1.jpg", "val/1.jpg", "val/3.jpg"])))
    boxes = {path: boxes for path, (_, boxes) in found.items()}
    assert boxes == {"train/1.jpg": ONE, "val/1.jpg": ONE, "train/json/3.jpg": ONE, "val/3.jpg": None}


def test_a_name_that_disagrees_is_told(tmp_path: Path) -> None:
    lay(tmp_path, {"2.json": labelme("1.jpg"), "1.jpg": None, "2.jpg": None})
    assert "1 file names another image in imagePath" in Manifest.from_any(tmp_path).summary()


def test_flags_are_labels_of_the_image(tmp_path: Path) -> None:
    several = [{"day": True, "rain": True}, {"day": False, "rain": False}, {}]
    one = [{"cat": True, "dog": False}, {"cat": False, "dog": True}, {"cat": False, "dog": False}]
    for folder, flags in (("several", several), ("one", one)):
        lay(tmp_path / folder, {f"{n}.json": labelme(f"{n}.png", flags=own) for n, own in enumerate(flags)})
        lay(tmp_path / folder, {f"{n}.png": None for n in range(3)})
    manifest = Manifest.from_any(tmp_path / "several")
    assert (manifest.task, manifest.table["labels"].to_pylist()[:2]) == ("multilabel", [["day", "rain"], []])
    manifest = Manifest.from_any(tmp_path / "one")
    assert (manifest.task, manifest.table["label"].to_pylist()) == ("classification", ["cat", "dog", None])
    lay(tmp_path / "one", {"3.json": labelme("3.png", BOX, flags={"cat": True}), "3.png": None})
    assert Manifest.from_any(tmp_path / "one").class_names == ("cat",)  # of boxes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"shapes": [{"label": "a", "points": [[1, "x"]]}], "flags": {}}', r"a\.json.*shapes\[0\]\.points\[0\]\[1\]"),
        (b'{"flags": {}, "shapes": 3}', r"a\.json.*Expected `array`, got `int` - at `\$\.shapes`"),
        (b'{"flags": {}, "shapes": [', r"a\.json is not JSON"),
        (b'{"flags": {}, "shapes": [{"label": "\xff\xff"}]}', r"a\.json, line 1.*0xFF"),
    ],
)
def test_malformed_files_are_named_with_the_field(tmp_path: Path, content: bytes, message: str) -> None:
    lay(tmp_path, {"a.png": None, "b.png": None, "b.json": labelme("b.png", BOX)})
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


def test_round_trip(store: Store) -> None:
    boxes = {"a.png": ([[1.5, 2, 30.25, 40], [0, 0, 5, 5]], ["cat", "dog"]), "b.png": ([], []), "c.png": None}
    for number, name in enumerate(boxes):
        store.raw_write(f"in/{name}", png(noise(number, (48, 64))))
    given = box_manifest(boxes, split=["train", "val", "train"], track=[[7, 8], None, None])
    where: dict[str, Any] = {"root": f"{store.url}/in", "storage_options": store.storage_options}
    manifest = Manifest(given.table, given.class_names, task="detection", **where)
    url = manifest.export(f"{store.url}/out", format="labelme", storage_options=store.storage_options)
    back = Manifest.from_any(url, storage_options=store.storage_options)
    rows = back.table.select(["uri", "split", "boxes_xyxy", "labels", "track", "declared_width"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("train/a.png", "train", boxes["a.png"][0], ["cat", "dog"], [7, 8], 64),
        ("val/b.png", "val", [], [], None, 64),
        ("train/c.png", "train", None, None, None, None),
    ]
