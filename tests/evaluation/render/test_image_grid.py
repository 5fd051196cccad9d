"""Sheets of images: everything that can be shown is, and what cannot be says so."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from onlineml.errors import ConfigError
from onlineml.evaluation.render.image_grid import image_grid

if TYPE_CHECKING:
    from pathlib import Path

RED = np.zeros((8, 12, 3), np.uint8) + np.asarray([250, 10, 10], np.uint8)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "PNG")
    return buffer.getvalue()


def texts(figure: object) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_nothing_to_show_is_said() -> None:
    assert texts(image_grid([])) == ["no images"]


def test_arrays_bytes_paths_and_batches_show_the_same_pixels(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png())
    batch = np.stack([np.moveaxis(RED, -1, 0)] * 2)

    for images in ([RED], [png()], [str(tmp_path / "red.png")], [tmp_path / "red.png"], batch):
        for axes in image_grid(images).axes:
            np.testing.assert_array_equal(axes.images[0].get_array(), RED)


def test_what_cannot_be_shown_says_so_and_the_titles_stay_in_order(tmp_path: Path) -> None:
    figure = image_grid([None, b"no image", str(tmp_path / "gone.jpg"), RED], ["a", "b", "c", "$d$"], columns=2)

    assert texts(figure) == ["not an image", "a", "not an image", "b", "not an image", "c", "$d$"]
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_no_more_than_the_limit_are_read_and_shown(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png())

    assert len(image_grid([str(tmp_path / "red.png"), *["nowhere.png"] * 99], limit=3).axes) == 3


@pytest.mark.parametrize("images", [[RED.astype(float)], [RED[..., :2]], [RED[0]]])
def test_other_arrays_are_refused(images: list[np.ndarray]) -> None:
    with pytest.raises(ConfigError, match="uint8"):
        image_grid(images)


def test_a_title_for_each_image() -> None:
    with pytest.raises(ConfigError, match="1 image and 2 titles"):
        image_grid([RED], ["a", "b"])
