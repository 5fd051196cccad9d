"""The figures of batches and augmentations: each picture is what the datamodule gives in that epoch."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import onlineml as oml
from albumentations_quietly import a
from onlineml.errors import ConfigError
from onlineml.inference.batches import NAMED, augmentation_figure, batch_figure
from picture_files import noise, pool
from tiny_boxes import boxes_manifest, drawn

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure


def _pixels(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def _names(figure: Figure) -> list[str]:
    return [axes.texts[0].get_text() for axes in figure.axes]


def test_each_picture_is_of_its_augmentation_and_epoch(tmp_path: Path):
    manifest = pool(tmp_path / "photos", [noise(i, (30, 40)) for i in range(5)])
    batches = oml.ClassificationDataModule(manifest, size_hw=(16, 16), seed=3, cache=False)
    own = a.Compose([a.RandomCrop(16, 16)])
    figure = augmentation_figure(batches, (*NAMED, own), n_images=2, n_draws=3)
    shown, expected = _pixels(figure), []
    for row in (0, 4):  # the first and the last
        for epoch in range(3):
            for augment in (*NAMED, own):
                other = oml.ClassificationDataModule(manifest, size_hw=(16, 16), seed=3, cache=False, augment=augment)
                image = other.loader("train", train=True).dataset[epoch, row]["image"][0]
                expected.append(image.permute(1, 2, 0).numpy())
    assert len(shown) == len(expected) == 2 * 3 * 5
    assert all(np.array_equal(one, two) for one, two in zip(shown, expected, strict=True))
    assert _names(figure) == [*NAMED, "user's own"] * 6
    assert batches.augment_name == "auto"


def test_captions_of_a_batch_are_legible_in_a_window_of_640_pixels():
    """JupyterLab leaves some 520 pixels to a cell there, and shrinks what is wider."""
    batch = {"image": np.zeros((16, 3, 64, 64), np.uint8), "label": np.arange(16)}
    picture = Image.open(io.BytesIO(batch_figure(batch, [f"class {i}" for i in range(16)])._repr_png_()))

    assert picture.width <= 1.1 * 520


def test_boxes_are_drawn_where_objects_went(tmp_path: Path):
    """A red square of which the flipped and zoomed picture shows the place: its frame is drawn around it."""
    pixels = drawn((64, 64), [("red", (8, 20, 24, 36))])
    manifest = boxes_manifest(tmp_path / "photos", [("train", pixels, [("red", (8, 20, 24, 36))])])
    batches = oml.DetectionDataModule(manifest, size_hw=(64, 64), cache=False, mosaic=1.0)
    with_boxes = augmentation_figure(batches, ("none", "strong"), n_draws=1)
    for pixels in _pixels(with_boxes):
        assert pixels.shape[0] >= 360
    bare = batches.with_augment("none").loader("train", train=True).dataset[0, 0]
    assert bare["targets"][0]["boxes"].shape == (4, 4)  # mixing stays as the datamodule's


def test_what_is_wrong_is_said(tmp_path: Path):
    manifest = pool(tmp_path / "photos", [noise(i) for i in range(3)])
    batches = oml.ClassificationDataModule(manifest, size_hw=(16, 16), cache=False)
    with pytest.raises(ConfigError, match="n_draws=0"):
        augmentation_figure(batches, n_draws=0)
    with pytest.raises(ConfigError, match="augment='storng'"):
        augmentation_figure(batches, ("storng",))
