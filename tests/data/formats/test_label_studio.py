"""Label Studio: turned boxes by hand, files under upload names, whose annotation counts, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from box_files import box_manifest
from format_files import lay, read_boxes
from onlineml.data.formats.label_studio.format import parse_label_studio
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import DataError
from picture_files import noise, png

if TYPE_CHECKING:
    from pathlib import Path

SIZE = {"original_width": 1000, "original_height": 500}


def rectangle(label: Any = "cat", **value: Any) -> dict[str, Any]:
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, **value}
    return {
        "id": "r",
        "type": "rectanglelabels",
        "value": {**box, "rectanglelabels": [label]},
        **SIZE,
        "image_rotation": 0,
    }


BOX = [100.0, 100.0, 400.0, 300.0]


def task(image: str, *results: Any, **further: Any) -> dict[str, Any]:
    annotation = {"id": 1, "result": list(results), "was_cancelled": False, "created_at": "2024-01-01T00:00:00Z"}
    return {"id": 5, "data": {"image": image}, "annotations": [annotation], "predictions": [], **further}


@pytest.mark.parametrize(
    ("result", "box"),
    [
        (rectangle(), (100, 100, 400, 300)),
        # label-studio-converter#101: turned in an image that is no square, in pixels, not in per cent
        (rectangle(x=20, y=20, width=30, height=20, rotation=90), (100, 100, 200, 400)),
        (
            {"type": "polygonlabels", "value": {"points": [[1, 2], [5, 2], [3, 10]], "polygonlabels": ["cat"]}, **SIZE},
            (10, 10, 50, 50),
        ),
        (
            {"value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 4, "rotation": 0, "ellipselabels": ["cat"]}, **SIZE},
            (400, 230, 600, 270),
        ),
        (
            {
                "value": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 4, "rotation": 90, "ellipselabels": ["cat"]},
                **SIZE,
            },
            (480, 150, 520, 350),
        ),
        (
            {"value": {"x": "10", "y": 20, "width": 30, "height": 40, "rectanglelabels": ["cat"]}, **SIZE},
            (100, 100, 400, 300),
        ),
    ],
)
def test_boxes_by_hand(result: dict[str, Any], box: tuple[float, ...]) -> None:
    (image,) = parse_label_studio(json.dumps([task("a.png", result)]).encode(), "x.json", Counter())
    assert image.shapes is not None
    ((label, found, _),) = image.shapes
    assert (label, image.size_hw) == ("cat", (500, 1000))
    assert found == pytest.approx(box)


@pytest.mark.parametrize(
    ("address", "file"),
    [
        ("/data/upload/1/9f12ab34-a.png", "images/9f12ab34-a.png"),
        ("/data/upload/1/9f12ab34-a.png", "a.png"),
        ("/data/upload/1/9f12ab34-my_photo_1.png", "my photo (1).png"),
        ("/data/upload/9f12ab34-a%20b.png", "a b.png"),
        ("/data/local-files/?d=photos%2Fdeep%2Fa%20b.png", "photos/deep/a b.png"),
        ("/data/local-files/?d=\\images\\a.png", "images/a.png"),
        ("s3://bucket/some/a.png", "some/a.png"),
        ("https://host/x/a.png?signature=1", "a.png"),
        ("http://localhost:8080/data/upload/1/9f12ab34-a.png", "a.png"),
    ],
)
def test_images_are_found(tmp_path: Path, address: str, file: str) -> None:
    lay(tmp_path, {"project-1-at-2024.json": [task(address, rectangle())], file: None})
    assert read_boxes(tmp_path) == {file: (read_boxes(tmp_path)[file][0], [BOX])}


def test_a_file_for_each_annotation(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        whole = task(f"s3://bucket/photos/{name}.png", rectangle())
        stored = {**whole["annotations"][0], "task": {"id": number, "data": whole["data"]}}
        lay(tmp_path, {f"target/{number}.json": stored, f"photos/{name}.png": None})
    found = {f"photos/{name}.png": [BOX] for name in "ab"}
    assert {path: boxes for path, (_, boxes) in read_boxes(tmp_path).items()} == found


def test_tasks_that_are_exported_twice(tmp_path: Path) -> None:
    lay(tmp_path, {"x.json": [task("a.png", rectangle())] * 2, "a.png": None})  # label-studio#1289
    assert [boxes for _, boxes in read_boxes(tmp_path).values()] == [[BOX]]
    lay(tmp_path, {"x.json": [task("a.png", rectangle()), task("a.png")]})
    with pytest.raises(DataError, match=r"1 image is described several times, differently: 'a\.png"):
        Manifest.from_any(tmp_path)


def test_whose_annotation_counts(tmp_path: Path) -> None:
    def by(label: str, when: str, **further: Any) -> dict[str, Any]:
        return {"result": [rectangle(label)], "created_at": when, **further}

    tasks = [
        task(
            "a.png", annotations=[by("new", "2024-03"), by("old", "2024-01"), by("none", "2024-09", was_cancelled=True)]
        ),
        task("b.png", annotations=[], predictions=[{"result": [rectangle("guess")]}]),
        task("c.png", annotations=[by("none", "2024-01", was_cancelled=True)]),
        task("d.png"),
        {**task("e.png"), "annotations": None, "completions": [by("cat", "2020")]},
        task("f.png", {**rectangle(), "image_rotation": 90}),
        task("g.png", annotations=[by("true", "2024-01", ground_truth=True), by("new", "2024-03")]),
        task("h.png", annotations=[by("old", "2024-01")]),
        task("h.png", annotations=[by("new", "2024-03")]),
        task("h.png", annotations=[]),
    ]
    lay(tmp_path, {"x.json": tasks, **{f"{name}.png": None for name in "abcdefgh"}})
    manifest = Manifest.from_any(tmp_path)
    assert manifest.table["labels"].to_pylist() == [["new"], None, None, [], ["cat"], None, ["true"], ["new"]]
    for part in (
        "4 annotations of images that several people annotated were left out",
        "2 cancelled annotations",
        "1 image was turned",
    ):
        assert part in manifest.summary()


def test_what_is_no_box_and_what_belongs_to_one(tmp_path: Path) -> None:
    results = [
        {"id": "1", "type": "rectangle", "value": {"x": 10, "y": 20, "width": 30, "height": 40}, **SIZE},
        {
            "id": "1",
            "type": "labels",
            "value": {"x": 10, "y": 20, "width": 30, "height": 40, "labels": ["dog"]},
            **SIZE,
        },
        {
            "id": "1",
            "type": "choices",
            "from_name": "pose",
            "value": {"x": 10, "y": 20, "width": 30, "height": 40, "choices": ["up"]},
            **SIZE,
        },
        {"id": "2", "type": "brushlabels", "value": {"format": "rle", "rle": [1, 2], "brushlabels": ["dog"]}, **SIZE},
        {
            "id": "3",
            "type": "keypointlabels",
            "value": {"x": 1, "y": 1, "width": 0.3, "keypointlabels": ["dog"]},
            **SIZE,
        },
        {**rectangle(), "id": "4", "value": {**rectangle()["value"], "rectanglelabels": ["cat", "dog"]}},
        {"id": "5", "type": "choices", "from_name": "light", "value": {"choices": ["dark"]}},
    ]
    lay(tmp_path, {"x.json": [task("a.png", *results)], "a.png": None})
    manifest = Manifest.from_any(tmp_path)
    assert manifest.table.select(["labels", "boxes_xyxy", "pose"]).to_pylist() == [
        {"labels": ["dog", "cat", "dog"], "boxes_xyxy": [BOX] * 3, "pose": ["up", None, None]}
    ]
    for part in ("1 region of the type 'brushlabels'", "1 region of the type 'keypointlabels'", "1 further label"):
        assert part in manifest.summary()


def test_regions_of_one_id(tmp_path: Path) -> None:  # as those that were imported from a model often have
    results = [{**rectangle(), "id": "r"}, {**rectangle(), "id": "r", "value": {**rectangle()["value"], "x": 50}}]
    lay(tmp_path, {"x.json": [task("a.png", *results)], "a.png": None})
    assert len(Manifest.from_any(tmp_path).table["boxes_xyxy"].to_pylist()[0]) == 2


def test_choices(tmp_path: Path) -> None:
    def chosen(*names: str) -> dict[str, Any]:
        return {"type": "choices", "from_name": "c", "to_name": "image", "value": {"choices": list(names)}}

    one, several = tmp_path / "one", tmp_path / "several"
    pictures = dict.fromkeys(["a.png", "b.png", "c.png"])
    lay(one, {"x.json": [task("a.png", chosen("cat")), task("b.png", chosen("dog")), task("c.png")], **pictures})
    lay(several, {"x.json": [task("a.png", chosen("wet", "dark")), task("b.png", chosen("dark"))], **pictures})
    manifest = Manifest.from_any(one)
    assert (manifest.task, manifest.table["label"].to_pylist()) == ("classification", ["cat", "dog", None])
    manifest = Manifest.from_any(several)
    assert (manifest.task, manifest.table["labels"].to_pylist()) == ("multilabel", [["dark", "wet"], ["dark"]])
    with pytest.raises(DataError, match="1 image has several labels"):
        Manifest.from_any(several, task="classification")


def test_json_min(tmp_path: Path) -> None:
    meta = {"annotator": 1, "annotation_id": 3, "created_at": "2024-01-01", "lead_time": 2.5}
    box = {**rectangle()["value"], **SIZE}
    rows = [
        {"image": "/data/upload/1/9f12ab34-a.png", "id": 1, "label": [box], "updated_at": "2024-01-02", **meta},
        {"image": "/data/upload/1/9f12ab34-a.png", "id": 1, "label": [], "updated_at": "2024-01-01", **meta},
        {"image": "b.png", "id": 2, **meta},
    ]
    boxes, labels, sets = tmp_path / "boxes", tmp_path / "labels", tmp_path / "sets"
    lay(boxes, {"x.json": rows, "a.png": None, "b.png": None})
    assert {path: found for path, (_, found) in read_boxes(boxes).items()} == {"a.png": [BOX], "b.png": []}
    lay(labels, {"x.json": [{"image": "a.png", "id": 1, "choice": "cat", "site": "north", **meta}], "a.png": None})
    assert Manifest.from_any(labels).table["label"].to_pylist() == ["cat"]
    lay(sets, {"x.json": [{"image": "a.png", "id": 1, "c": {"choices": ["cat", "dog"]}, **meta}], "a.png": None})
    assert Manifest.from_any(sets).table["labels"].to_pylist() == [["cat", "dog"]]
    lay(sets, {"x.json": [{"image": "a.png", "id": 1, "sort": "cat", "site": "north", **meta}], "a.png": None})
    with pytest.raises(DataError, match="which of 'sort', 'site' is the label"):
        Manifest.from_any(sets)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            [task("a.png", {"value": {"x": 1, "y": 1, "width": 1, "height": 1, "rectanglelabels": ["a"]}})],
            "task 5.*original_width",
        ),
        ([task("a.png", rectangle(x="left"))], "1 region that cannot be read: 'task 5, rectanglelabels r'"),
        (
            [task("a.png", rectangle()) | {"data": {"before": "a.png", "after": "b.png"}}],
            "several images: 'before', 'after'",
        ),
        ([task("a.png", rectangle()) | {"data": {"text": "hello"}}], "task 5 has no image; it has text"),
        ([task("a.png", rectangle()) | {"annotations": 7}], r"x\.json cannot be read: .*`\$\[0\]\.annotations`"),
        ([task("a.png", {"value": 3})], r"x\.json cannot be read: .*result\[0\]\.value`"),
    ],
)
def test_refusals_name_the_task(tmp_path: Path, tasks: Any, message: str) -> None:
    lay(tmp_path, {"x.json": tasks, "a.png": None})
    with pytest.raises(DataError, match=message):
        Manifest.from_any(tmp_path)


def test_round_trip(tmp_path: Path) -> None:
    boxes = {"a b.png": ([[1.5, 2, 30.25, 40], [0, 0, 5, 5]], ["cat", "dog"]), "b.png": ([], []), "c.png": None}
    for number, name in enumerate(boxes):
        (tmp_path / name).write_bytes(png(noise(number, (48, 64))))
    given = box_manifest(boxes)
    manifest = Manifest(given.table, given.class_names, root=str(tmp_path), task="detection")
    back = Manifest.from_any(manifest.export(tmp_path / "tasks.json", format="label_studio"))
    found = back.table.select(["uri", "boxes_xyxy", "labels"]).to_pylist()
    assert [row["uri"] for row in found] == [*boxes]
    assert found[0]["boxes_xyxy"] == [pytest.approx(box) for box in boxes["a b.png"][0]]
    assert [row["labels"] for row in found] == [["cat", "dog"], [], None]
    labels = Manifest.from_any(manifest.export(tmp_path / "tasks.json", format="label_studio"), task="multilabel")
    again = Manifest.from_any(labels.export(tmp_path / "tasks.json", format="label_studio"), task="multilabel")
    assert again.table["labels"].to_pylist() == [["cat", "dog"], [], None]
