"""VGG Image Annotator: shapes by hand, projects and exports of all versions, the class among attributes, refusals."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from box_files import box_manifest
from format_files import lay, read_boxes
from onlineml.data.formats.via.format import parse_via
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path


def region(shape: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


RECT = {"name": "rect", "x": 1, "y": 2, "width": 30, "height": 40}
BOX = [1.0, 2.0, 31.0, 42.0]


def via(*images: tuple[str, Any], files: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        f"{name}123": {"filename": name, "size": 123, "regions": regions, "file_attributes": files or {}}
        for name, regions in images
    }


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        (RECT, (1, 2, 31, 42)),
        ({**RECT, "x": "1.5"}, (1.5, 2, 31.5, 42)),
        ({"name": "circle", "cx": 10, "cy": 20, "r": 5}, (5, 15, 15, 25)),
        ({"name": "ellipse", "cx": 50, "cy": 60, "rx": 10, "ry": 4}, (40, 56, 60, 64)),
        ({"name": "ellipse", "cx": 50, "cy": 60, "rx": 10, "ry": 4, "theta": math.pi / 2}, (46, 50, 54, 70)),
        ({"name": "polygon", "all_points_x": [5, 9, 7], "all_points_y": [5, 1, 8]}, (5, 1, 9, 8)),
    ],
)
def test_boxes_by_hand(shape: dict[str, Any], box: tuple[float, ...]) -> None:
    content = json.dumps(via(("a.png", [region(shape, kind="cat")]))).encode()
    (image,) = parse_via(content, "x.json", Counter())
    assert image.shapes is not None
    ((label, found, _),) = image.shapes
    assert (label, found) == ("cat", pytest.approx(box))


ONE = [region(RECT, kind="cat")]
CSV = (
    "{mark}filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    'a.png,123,"{{}}",1,0,"{{""name"":""rect"",""x"":1,""y"":2,""width"":30,""height"":40}}","{{""kind"":""cat""}}"\n'
    'b.png,123,"{{}}",0,0,"{{}}","{{}}"\n'
)


@pytest.mark.parametrize(
    "content",
    [
        via(("a.png", ONE), ("b.png", [])),
        via(("a.png", {"0": ONE[0]}), ("b.png", {})),  # version 1
        [*via(("a.png", ONE), ("b.png", [])).values()],
        {"_via_settings": {"ui": {}}, "_via_img_metadata": via(("a.png", ONE), ("b.png", [])), "_via_attributes": {}},
        CSV.format(mark="#"),
        CSV.format(mark=""),
        "\ufeff" + CSV.format(mark="#").replace("\n", "\r\n"),
    ],
)
def test_files_of_all_versions(tmp_path: Path, content: Any) -> None:
    name = "via_region_data.csv" if isinstance(content, str) else "via_project_1Jan2020.json"
    lay(tmp_path, {name: content, "a.png": None, "b.png": None})
    assert {path: boxes for path, (_, boxes) in read_boxes(tmp_path).items()} == {"a.png": [BOX], "b.png": []}
    manifest = Manifest.from_any(tmp_path)
    assert manifest.class_names == ("cat",)
    assert "1 image without regions" in manifest.summary()


def test_a_picture_that_is_only_in_another_set(tmp_path: Path) -> None:
    for folder in ("set 1", "set 2"):
        lay(tmp_path / folder, {"via.json": via(("a.png", ONE), ("b.png", ONE)), "a.png": None})
    (tmp_path / "set 2" / "b.png").write_bytes(b"")
    (tmp_path / "set 2" / "via.json").unlink()
    manifest = Manifest.from_any(tmp_path)
    assert manifest.table["uri"].to_pylist() == ["set 1/a.png", "set 1/b.png"]
    assert "1 image is named but not there: 'set 1/b.png'" in manifest.summary()


def test_a_project_beside_its_export(tmp_path: Path) -> None:
    images = via(("a.png", ONE), ("b.png", []))
    lay(tmp_path, {"via.json": {"_via_settings": {}, "_via_img_metadata": images}, "a.png": None, "b.png": None})
    lay(tmp_path, {"via_region_data.json": images})
    manifest = Manifest.from_any(tmp_path)
    assert manifest.table["boxes_xyxy"].to_pylist() == [[BOX], []]
    assert "2 images are described several times, alike" in manifest.summary()
    lay(tmp_path, {"via_region_data.json": via(("a.png", []))})
    with pytest.raises(
        DataError, match=r"1 image is described .*: 'a\.png \(via\.json, via_region_data\.json\)'; import one"
    ):
        Manifest.from_any(tmp_path)


def test_split_folders_with_a_file_each(tmp_path: Path) -> None:
    for split in ("train", "val"):  # the balloons of Mask R-CNN: no attribute at all
        lay(tmp_path / split, {"via_region_data.json": via(("a.png", {"0": region(RECT)})), "a.png": None})
    assert read_boxes(tmp_path) == {"train/a.png": ("train", [BOX]), "val/a.png": ("val", [BOX])}
    manifest = Manifest.from_any(tmp_path)
    assert manifest.class_names == ("object",)
    assert "2 regions have no attribute: their class is 'object'" in manifest.summary()


@pytest.mark.parametrize(
    ("attributes", "options", "labels"),
    [
        ([{"type": "cat"}, {"type": "dog"}], {}, ["cat", "dog"]),
        ([{"hue": "red", "Class": "cat"}, {"hue": "", "Class": "dog"}], {}, ["cat", "dog"]),
        ([{"status": {"free": True, "full": False}}, {"status": {"full": True}}], {}, ["free", "full"]),
        ([{"body": ""}, {"bike": ""}], {}, ["body", "bike"]),
        ([{"hue": "red", "kind": "cat"}, {"hue": "blue", "kind": "dog"}], {"label": "hue"}, ["red", "blue"]),
        ([{"kind": "cat"}, {}], {}, ["cat", None]),
        ([{"kind": "1"}, {"kind": 2}], {}, ["1", "2"]),
    ],
)
def test_the_class_among_attributes(tmp_path: Path, attributes: Any, options: Any, labels: Any) -> None:
    lay(tmp_path, {"x.json": via(("a.png", [region(RECT, **own) for own in attributes])), "a.png": None})
    assert Manifest.from_any(tmp_path, **options).table["labels"].to_pylist() == [labels]


def test_other_attributes_are_columns(tmp_path: Path) -> None:
    shapes = [region(RECT, kind="cat", hue="red", label="x"), region({"name": "point", "cx": 1, "cy": 2}, kind="cat")]
    lay(tmp_path, {"x.json": via(("a.png", shapes)), "a.png": None})
    manifest = Manifest.from_any(tmp_path, label="kind")
    assert manifest.table["hue"].to_pylist() == [["red"]]
    assert "1 region of the type 'point' was left out" in manifest.summary()


def test_attributes_of_files_are_labels(tmp_path: Path) -> None:
    content = via(("a.png", []), files={"caption": "A day", "light": {"dark": True, "wet": True}})
    lay(tmp_path, {"x.json": content, "a.png": None})
    assert Manifest.from_any(tmp_path, task="multilabel").table["labels"].to_pylist() == [["dark", "wet"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (via(("a.png", [region(RECT, hue="red", size="big")])), r"set label= to one of 'hue', 'size'"),
        (via(("a.png", [region(RECT, kind={"cat": True, "dog": True})])), r"'a\.png, region 0: the classes cat, dog'"),
        (
            via(("a.png", [region({"name": "rect", "x": 1}, kind="cat")])),
            r"'a\.png, region 0: rect without its numbers'",
        ),
        (via(("a.png", [{"shape_attributes": 3}])), r"x\.json cannot be read: .*shape_attributes`"),
        ({"a": {"filename": 3, "regions": []}}, r"x\.json cannot be read: .*filename`"),
    ],
)
def test_refusals(tmp_path: Path, content: Any, message: str) -> None:
    lay(tmp_path, {"x.json": content, "a.png": None})
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    lay(tmp_path, {"x.json": via(("a.png", ONE)), "a.png": None})
    with pytest.raises(DataError, match="no region and no file has the attribute label='hue'"):
        Manifest.from_any(tmp_path, label="hue")


def test_round_trip(tmp_path: Path) -> None:
    boxes = {"a b.png": ([[1.5, 2, 30.25, 40], [0, 0, 5, 5]], ["cat", "dog"]), "b.png": ([], [])}
    for number, name in enumerate(boxes):
        (tmp_path / name).write_bytes(png(noise(number, (48, 64))))
    given = box_manifest(boxes, hue=[["red", None], None])
    manifest = Manifest(given.table, given.class_names, root=str(tmp_path), task="detection")
    back = Manifest.from_any(manifest.export(tmp_path / "via.json", format="via"))
    assert back.table.select(["uri", "boxes_xyxy", "labels", "hue"]).to_pylist() == [
        {"uri": "a b.png", "boxes_xyxy": boxes["a b.png"][0], "labels": ["cat", "dog"], "hue": ["red", None]},
        {"uri": "b.png", "boxes_xyxy": [], "labels": [], "hue": None},
    ]
