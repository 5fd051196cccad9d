"""The sample project for detection: exact boxes, the faults that it says it has, and every kind of photo."""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from onlineml.data.samples import groups
from onlineml.data.samples.samples import CLASS_NAMES, make_samples
from onlineml.errors import AlreadyExistsError, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

FILE_PROBLEMS = {"truncated", "empty", "not an image"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "photos"
    assert make_samples(str(path), task="detection", n=60, seed=3, mislabelled=0.15, broken=6) == str(path)
    return path


def read(folder: Path, name: str) -> tuple[dict[int, dict[str, Any]], dict[int, list[tuple[str, list[float]]]]]:
    """Images by id, and each one's boxes as label and x1, y1, x2, y2."""
    coco = json.loads((folder / f"{name}.json").read_text())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    boxes = defaultdict(list)
    for one in coco["annotations"]:
        x, y, width, height = one["bbox"]
        assert one["area"] == pytest.approx(width * height, abs=1e-2)
        assert one["iscrowd"] == 0
        boxes[one["image_id"]].append((names[one["category_id"]], [x, y, x + width, y + height]))
    assert len({one["id"] for one in coco["annotations"]}) == len(coco["annotations"])
    assert tuple(names.values()) == CLASS_NAMES
    return {image["id"]: image for image in coco["images"]}, boxes


def test_every_photo_is_listed_and_nothing_else_is_there(folder: Path) -> None:
    images, _ = read(folder, "annotations")
    truth, _ = read(folder, "truth")
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    assert on_disk == {row["file_name"] for row in images.values()} | {"annotations.json", "truth.json", "samples.json"}
    assert len(images) == 60
    assert "problem" not in images[1]  # only the truth tells
    assert images == {key: {k: v for k, v in row.items() if k != "problem"} for key, row in truth.items()}


def test_photos_open_upright_in_the_size_that_is_said_and_broken_ones_do_not(folder: Path) -> None:
    images, _ = read(folder, "truth")
    turned = 0
    for row in images.values():
        data = (folder / row["file_name"]).read_bytes()
        if row["problem"] in FILE_PROBLEMS:
            with pytest.raises(OSError, match=r"cannot identify|truncated"):
                Image.open(io.BytesIO(data)).load()
            continue
        image = Image.open(io.BytesIO(data))
        turned += image.getexif().get(0x0112, 1) != 1
        assert ImageOps.exif_transpose(image).size == (row["width"], row["height"])
    assert turned == 5  # one in twelve
    assert Counter(row["problem"] in FILE_PROBLEMS for row in images.values())[True] == 6


def test_all_kinds_of_photos_are_there(folder: Path) -> None:
    images, boxes = read(folder, "truth")
    sizes = [(row["width"], row["height"]) for row in images.values()]

    assert sum(width > 4 * height for width, height in sizes) == 1
    assert sum(height > 4 * width for width, height in sizes) == 1
    assert sum(max(size) < 70 for size in sizes) == 2
    assert sum(not boxes[key] for key in images) == 5  # no objects, and said so: listed without boxes
    assert {label for own in boxes.values() for label, _ in own} == set(CLASS_NAMES)
    assert max(len(own) for own in boxes.values()) > 3


def test_true_boxes_lie_within_the_photo_and_given_ones_have_the_fault_that_the_truth_names(folder: Path) -> None:
    images, true = read(folder, "truth")
    _, given = read(folder, "annotations")
    problems = Counter()
    for key, row in images.items():
        size = np.array([row["width"], row["height"]])
        for _, box in true[key]:
            assert (np.array(box[:2]) >= 0).all()
            assert (np.array(box[2:]) <= size + 1e-3).all()
            assert min(box[2] - box[0], box[3] - box[1]) >= 2
        expected = [(label, pytest.approx(box, abs=2e-3)) for label, box in true[key]]
        problem = row["problem"] if row["problem"] not in FILE_PROBLEMS else ""
        problems[problem] += 1
        if problem == "wrong label":
            assert given[key][0][0] != true[key][0][0]
            assert given[key][0][1] == expected[0][1]
        elif problem == "missing box":
            assert given[key] == expected[1:]
        elif problem == "box beyond the edge":
            first = np.array(given[key][0][1])
            assert (first[:2] < -1).any() or (first[2:] > size + 1).any()
        elif problem == "empty box":
            assert given[key][:-1] == expected
            left, top, right, bottom = given[key][-1][1]
            assert (left, top) == (right, bottom)
        else:
            assert given[key] == expected
    assert problems == {"": 52, "wrong label": 2, "missing box": 2, "box beyond the edge": 2, "empty box": 2}


@pytest.mark.parametrize("shape", ["square", "landscape", "portrait", "wide", "tall"])
def test_boxes_are_exactly_around_the_pixels_of_each_object(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """Objects are painted in plain colours instead; the box is then found pixel by pixel."""
    painted: list[int] = []

    def paint(scene: np.ndarray, patch: Any, *, corner: tuple[int, int], light: np.ndarray) -> None:
        painted.append(len(painted) + 1)
        for y, x in np.argwhere(patch.mask > 0.5) + corner:
            if 0 <= y < scene.shape[0] and 0 <= x < scene.shape[1]:
                scene[y, x] = painted[-1]

    monkeypatch.setattr(groups, "drop", paint)
    monkeypatch.setattr(groups, "clutter", lambda rng, scene, light: scene.fill(0) if not painted else None)
    monkeypatch.setattr(groups, "camera", lambda rng, scene, light: scene.astype(np.uint8))
    seen = cut = 0
    for seed in range(6):
        painted.clear()
        over_edge = seed % 2 == 1
        group = groups.draw_group(np.random.default_rng(seed), shape=shape, n_objects=5, over_edge=over_edge)
        assert len(group.labels) == len(painted) > 0
        for number, (box, whole) in enumerate(zip(group.boxes_xyxy, group.whole_xyxy, strict=True), start=1):
            rows, cols = np.nonzero(group.pixels[..., 0] == number)
            assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]
            assert (whole[:2] <= box[:2]).all()
            assert (whole[2:] >= box[2:]).all()
            seen += 1
        height, width = group.pixels.shape[:2]
        beyond = group.whole_xyxy[0]
        cut += bool((beyond[:2] < 0).any() or beyond[2] > width or beyond[3] > height)
        assert not over_edge or (beyond[:2] < 0).any() or beyond[2] > width or beyond[3] > height
    assert seen >= 15


def test_no_object_where_none_was_asked_for() -> None:
    group = groups.draw_group(np.random.default_rng(0), shape="square", n_objects=0)
    assert (group.labels, group.boxes_xyxy.shape, group.whole_xyxy.shape) == ([], (0, 4), (0, 4))


def test_the_same_arguments_give_the_same_bytes_and_another_task_is_not_mixed_in(tmp_path: Path, folder: Path) -> None:
    make_samples(str(tmp_path / "again"), task="detection", n=60, seed=3, mislabelled=0.15, broken=6)
    contents = [
        {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.*")}
        for root in (tmp_path / "again", folder)
    ]
    assert contents[0] == contents[1]

    with pytest.raises(AlreadyExistsError, match="choose another"):
        make_samples(str(folder), n=60, seed=3, mislabelled=0.15, broken=6)
    with pytest.raises(ConfigError, match="task='juggling'"):
        make_samples(str(tmp_path / "other"), task="juggling")


@pytest.mark.parametrize("arguments", [{"n": 5, "broken": 5}, {"n": 5, "broken": 0, "mislabelled": 1.0}])
def test_few_photos_may_all_be_faulty(tmp_path: Path, arguments: dict[str, Any]) -> None:
    make_samples(str(tmp_path / "photos"), task="detection", **arguments)
    images, _ = read(tmp_path / "photos", "truth")
    assert all(row["problem"] for row in images.values())
