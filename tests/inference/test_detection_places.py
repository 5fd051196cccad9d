"""A detector that was really trained finds drawn objects where they are, in photos of every shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import onlineml as oml
from colour_scenes import png
from onlineml.data.manifest.box_arrays import box_iou
from tiny_boxes import drawn

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_boxes import Drawn, Trained

PHOTO: Drawn = [("red", (30, 40, 110, 120)), ("blue", (180, 60, 270, 150))]


def least_overlap(model: oml.ObjectDetector, image: object, objects: Drawn) -> float:
    """Of the objects with what the model finds: for each the surest of its class that is near."""
    (row,) = oml.predict(model, [image])
    overlaps = [
        max(
            box_iou(np.array([found.box_xyxy]), np.array([box]))[0, 0] if found.label == label else 0.0 for found in row
        )
        for label, box in objects
    ]
    assert len(row) == len(objects)
    return min(overlaps)


def in_pixels(objects: Drawn, factor: float) -> Drawn:
    return [(label, tuple(round(side * factor) for side in box)) for label, box in objects]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo(trained: Trained, tmp_path: Path, orientation: int) -> None:
    """Its boxes are those of the upright image, whichever way it is stored."""
    path = tmp_path / "photo.png"
    path.write_bytes(png(drawn((200, 300), PHOTO, seed=5), orientation=orientation))
    assert least_overlap(trained.model, str(path), PHOTO) > 0.8


@pytest.mark.parametrize("lies", [True, False])
def test_a_photo_ten_times_as_long_as_wide(trained: Trained, monkeypatch: pytest.MonkeyPatch, *, lies: bool) -> None:
    monkeypatch.setattr(trained.model, "size_hw", (96, 960) if lies else (960, 96))  # a network for such photos
    objects: Drawn = [("red", (60, 40, 120, 100)), ("green", (700, 30, 760, 95)), ("blue", (1390, 70, 1450, 140))]
    if not lies:
        objects = [(label, (y1, x1, y2, x2)) for label, (x1, y1, x2, y2) in objects]
    image = drawn((150, 1500) if lies else (1500, 150), objects, seed=5)
    assert least_overlap(trained.model, image, objects) > 0.8


@pytest.mark.parametrize("factor", [0.1, 1.0, 7.0])
def test_tiny_and_large_photos(trained: Trained, factor: float) -> None:
    objects = in_pixels(PHOTO, factor)
    image = drawn((round(200 * factor), round(300 * factor)), objects, seed=5)
    assert least_overlap(trained.model, image, objects) > 0.8


def test_a_file_and_its_pixels_are_one_photo(trained: Trained, tmp_path: Path) -> None:
    pixels = drawn((200, 300), PHOTO, seed=5)
    (tmp_path / "photo.png").write_bytes(png(pixels))
    one, other = oml.predict(trained.model, [str(tmp_path / "photo.png"), pixels])
    assert [(f.label, f.score, f.box_xyxy) for f in one] == [(f.label, f.score, f.box_xyxy) for f in other]


def test_nothing_is_found_where_nothing_is(trained: Trained) -> None:
    rows = oml.predict(trained.model, [drawn((120, 90), [], seed=seed) for seed in range(4)])
    assert [len(row) for row in rows] == [0, 0, 0, 0]
