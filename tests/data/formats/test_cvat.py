"""CVAT's XML: each shape's box worked out by hand, tasks, projects and videos, refusals, and what is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from box_files import NAMES, box_manifest, boxes_by_name, rows_by_name
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

LABELS = "<label><name>dog</name><type>any</type></label><label><name>cat</name></label>"
META = f"<meta><task><labels>{LABELS}</labels></task></meta>"


def lay(folder: Path, xml: dict[str, str], *images: str) -> Path:
    """Write files of annotations, and images of 64 by 48 pixels."""
    for name, body in xml.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<?xml version="1.0"?>\n<annotations><version>1.1</version>{body}</annotations>')
    for number, name in enumerate(images):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(noise(number, (48, 64))))
    return folder


def image(name: str, body: str, more: str = "") -> str:
    return f'<image id="0" name="{name}" width="64" height="48" {more}>{body}</image>'


def box(label: str, corners: tuple[float, ...] = (8, 6, 24, 18), more: str = "", body: str = "") -> str:
    x1, y1, x2, y2 = corners
    return (
        f'<box label="{label}" source="manual" occluded="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" '
        f'z_order="0" {more}>{body}</box>'
    )


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (box("cat", (0, 0, 64, 48)), [0, 0, 64, 48]),  # edges from 0: the whole image
        (box("cat", (-3.5, 2.25, 10, 20)), [-3.5, 2.25, 10, 20]),
        (box("cat", (8, 6, 24, 18), 'rotation="90.00"'), [10, 4, 22, 20]),  # 16 by 12 about (16, 12), turned
        (box("cat", (10, 10, 20, 20), 'rotation="45"'), [15 - 50**0.5, 15 - 50**0.5, 15 + 50**0.5, 15 + 50**0.5]),
        ('<polygon label="cat" points="1.5,2;5,2;3,8.25"/>', [1.5, 2, 5, 8.25]),
        ('<polyline label="cat" points="5,9;1,2"/>', [1, 2, 5, 9]),
        ('<ellipse label="cat" cx="10" cy="10" rx="4" ry="2"/>', [6, 8, 14, 12]),
        ('<ellipse label="cat" cx="10" cy="10" rx="4" ry="2" rotation="90"/>', [8, 6, 12, 14]),
        (
            (
                '<cuboid label="cat" xtl1="10" ytl1="10" xbl1="10" ybl1="20" xtr1="15" ytr1="11" xbr1="15" ybr1="21" '
                'xtl2="20" ytl2="8" xbl2="20" ybl2="18" xtr2="18" ytr2="7" xbr2="18" ybr2="17"/>'
            ),
            [10, 7, 20, 21],
        ),
        ('<mask label="cat" rle="5, 2, 5" left="10" top="20" width="4" height="3"/>', [11, 21, 13, 22]),
        ('<mask label="cat" rle="3, 2, 7" left="10" top="20" width="4" height="3"/>', [10, 20, 14, 22]),
        (
            (
                '<skeleton label="cat"><points label="1" outside="0" points="3,4"/><points label="2" outside="1" '
                'points="60,40"/><points label="3" outside="0" points="9,2"/></skeleton>'
            ),
            [3, 2, 9, 4],
        ),
    ],
)
def test_the_box_around_a_shape(tmp_path: Path, shape: str, expected: list[float]) -> None:
    manifest = Manifest.from_any(lay(tmp_path, {"annotations.xml": META + image("a.png", shape)}, "images/a.png"))
    ((found, label),) = boxes_by_name(manifest)["a.png"]
    assert (pytest.approx(found), label) == (expected, "cat")
    assert manifest.class_names == ("dog", "cat")
    is_box = shape.startswith("<box") and "rotation" not in shape
    assert any("read as the boxes around them" in note for note in manifest.notes) != is_box


def test_attributes_images_without_objects_and_points(tmp_path: Path) -> None:
    body = box("cat", more='group_id="3"', body='<attribute name="colour">red</attribute>').replace(
        'occluded="0"', 'occluded="1"'
    )
    xml = META + image("a.png", body + box("dog") + '<points label="eye" points="1,2"/>') + image("b.png", "")
    manifest = Manifest.from_any(lay(tmp_path, {"task.xml": xml}, "a.png", "b.png"))
    row = rows_by_name(manifest)["a.png"]
    assert (row["colour"], row["group_id"], row["occluded"]) == (["red", None], ["3", None], [True, None])
    assert (row["declared_width"], row["declared_height"]) == (64, 48)
    assert boxes_by_name(manifest)["b.png"] == []
    assert "1 label of points was left out for want of an extent" in manifest.notes
    assert "read as CVAT's XML from task.xml" in manifest.notes


def test_subsets_are_splits_and_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    xml = "".join(
        image("a.png", box("cat", (at, 1, 30, 40)), f'subset="{subset}" task_id="{at}"')
        for at, subset in enumerate(("Train", "Validation", "Test"))
    )
    images = [f"images/{subset}/a.png" for subset in ("Train", "Validation", "Test")]
    manifest = Manifest.from_any(lay(tmp_path, {"annotations.xml": xml}, *images))
    found = {row["uri"]: (row["split"], row["boxes_xyxy"][0][0]) for row in manifest.table.to_pylist()}
    assert found == dict(zip(images, [("train", 0), ("val", 1), ("test", 2)], strict=True))


def test_tasks_in_folders(tmp_path: Path) -> None:
    files = {f"{split}/annotations.xml": META + image("a.png", box(split)) for split in ("train", "valid")}
    manifest = Manifest.from_any(lay(tmp_path, files, "train/images/a.png", "valid/images/a.png"))
    found = {row["uri"]: (row["split"], row["labels"]) for row in manifest.table.to_pylist()}
    assert found == {"train/images/a.png": ("train", ["train"]), "valid/images/a.png": ("val", ["valid"])}
    assert manifest.class_names == ("dog", "cat", "train", "valid")


@pytest.mark.parametrize(("tags", "task"), [(["cat"], "classification"), (["cat", "dog"], "multilabel")])
def test_tags_are_labels_of_images(tmp_path: Path, tags: list[str], task: str) -> None:
    xml = META + image("a.png", "".join(f'<tag label="{tag}" source="manual"></tag>' for tag in tags))
    manifest = Manifest.from_any(lay(tmp_path, {"annotations.xml": xml}, "a.png"))
    assert manifest.task == task
    assert manifest.table["label" if len(tags) == 1 else "labels"].to_pylist() == ["cat" if len(tags) == 1 else tags]


def track(*frames: tuple[int, int]) -> str:
    keys = "".join(
        f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="1" xtl="{frame}" ytl="1" xbr="30" ybr="40"/>'
        for frame, outside in frames
    )
    return f'<track id="0" label="cat" source="manual">{keys}</track>'


def test_a_shape_without_a_label_is_of_an_unknown_class(tmp_path: Path) -> None:
    xml = image("a.png", '<polyline label="" points="1,2;3,4"/>')
    assert boxes_by_name(Manifest.from_any(lay(tmp_path, {"a.xml": xml}, "a.png"))) == {"a.png": [([1, 2, 3, 4], None)]}


def test_tracks_on_frames(tmp_path: Path) -> None:
    frames = [f"images/frame_{n:06d}.PNG" for n in range(4)]
    manifest = Manifest.from_any(lay(tmp_path, {"annotations.xml": track((0, 0), (1, 0), (2, 1))}, *frames))
    assert boxes_by_name(manifest) == {
        "frame_000000.PNG": [([0, 1, 30, 40], "cat")],
        "frame_000001.PNG": [([1, 1, 30, 40], "cat")],
        "frame_000002.PNG": [],
        "frame_000003.PNG": [],
    }


@pytest.mark.parametrize(
    ("body", "images", "message"),
    [
        (track((0, 0)), ["a.png"], r"annotations\.xml holds 1 track of a video.*as 'CVAT for images 1\.1'"),
        (
            track((0, 0), (2, 0)),
            [f"frame_{n:06d}.png" for n in range(3)],
            r"track 0 \(cat\): the frames 1 lie between its boxes",
        ),
        (image("a.png", '<box label="cat" xtl="1" ytl="2" xbr="3"/>'), ["a.png"], r"image a\.png: <box .*ybr"),
        (image("a.png", '<polygon label="cat" points="1,2;3"/>'), ["a.png"], r"image a\.png: <polygon .*points"),
        (image("a.png", box("cat")) * 2, ["a.png"], r"occurs more than once .*a\.png"),
        (
            track((10, 0), (13, 1)),
            ["frame_000000.png"],
            r"boxes on the frames 10, and none of .* 0 to 0",
        ),
        (image("", box("cat")), ["a.png"], r"<image> has no name"),
        (image("a.png", box("cat"))[:-5], ["a.png"], r"annotations\.xml cannot be read .*: line 2"),
    ],
)
def test_refusals(tmp_path: Path, body: str, images: list[str], message: str) -> None:
    lay(tmp_path, {"annotations.xml": body}, *images)
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


def test_entities_are_refused(tmp_path: Path) -> None:
    lay(tmp_path, {}, "a.png")
    bomb = '<!DOCTYPE annotations [<!ENTITY x "y">]><annotations><image name="&x;"/></annotations>'
    (tmp_path / "annotations.xml").write_text(bomb)
    with pytest.raises(DataError, match="DTDs and entities are refused"):
        Manifest.from_any(tmp_path / "annotations.xml")


def test_written_and_read_back(tmp_path: Path) -> None:
    boxes = {"a.png": ([[0.1, 2, 30.5, 40], [1, 1, 2, 2]], ["cat", NAMES[2]]), "b.png": ([], []), "c.png": None}
    manifest = box_manifest(
        boxes,
        split=["train", "val", "test"],
        crowd=[[True, None], None, None],
        area=[[3.5, None], None, None],
        colour=[["red & <blue>", None], None, None],
    )
    where = manifest.export(tmp_path / "annotations.xml", format="cvat")
    lay(tmp_path, {}, "a.png", "b.png")
    back = Manifest.from_any(where, class_names=NAMES)
    names = ("boxes_xyxy", "labels", "split", "crowd", "area", "colour")
    for name in ("a.png", "b.png"):
        expected, found = rows_by_name(manifest)[name], rows_by_name(back)[name]
        assert {key: found[key] for key in names} == {key: expected[key] for key in names}
    assert set(rows_by_name(back)) == {"a.png", "b.png"}


def test_images_may_lie_elsewhere(tmp_path: Path) -> None:
    lay(tmp_path / "photos", {}, "deep/a.png")
    lay(tmp_path / "notes", {"annotations.xml": META + image("a.png", box("cat"))})
    back = Manifest.from_any(tmp_path / "notes" / "annotations.xml", images=tmp_path / "photos")
    assert back.table["uri"].to_pylist() == ["deep/a.png"]
    assert back.boxes().boxes_xyxy.tolist() == [[8.0, 6.0, 24.0, 18.0]]
    assert back.check().manifest.boxes().boxes_xyxy.tolist() == [[8.0, 6.0, 24.0, 18.0]]
