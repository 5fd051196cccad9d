"""Small pictures: right, upright, kept on disk under the content's version, and never an exception for a bad image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from onlineml.data.images import thumbnails as module
from onlineml.data.images.thumbnails import encoded, shrink, thumbnails
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ONLINEML_CACHE_GB", raising=False)


def halves(path: Path, size_wh: tuple[int, int], *, orientation: int = 1) -> str:
    """Left half red, right half blue."""
    pixels = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    pixels[:, : size_wh[0] // 2, 0] = 255
    pixels[:, size_wh[0] // 2 :, 2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return str(path)


def pixels_of(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def test_of_no_images_there_are_none() -> None:
    assert list(thumbnails([])) == []


def test_sizes_and_colours_in_the_order_of_the_images(tmp_path: Path) -> None:
    urls = [halves(tmp_path / "a.jpg", (640, 320)), halves(tmp_path / "b.png", (20, 60))]

    large, tiny = thumbnails(urls, side=100)

    assert large.size_hw == (320, 640)
    shown = pixels_of(large.picture)
    assert shown.shape == (50, 100, 3)
    assert shown[25, 10, 0] > 200
    assert shown[25, 10, 2] < 60
    assert shown[25, 90, 2] > 200
    assert shown[25, 90, 0] < 60
    assert tiny.size_hw == (60, 20)
    assert np.array_equal(pixels_of(tiny.picture), pixels_of((tmp_path / "b.png").read_bytes()))  # kept without loss


def test_turned_photos_are_upright(tmp_path: Path) -> None:
    (one,) = thumbnails([halves(tmp_path / "a.jpg", (640, 320), orientation=6)], side=100)

    assert one.size_hw == (640, 320)
    shown = pixels_of(one.picture)  # turned clockwise, left is above
    assert shown[10, 25, 0] > 200
    assert shown[90, 25, 2] > 200


def test_what_cannot_be_used_says_why_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    urls = [str(tmp_path / "bad.jpg"), str(tmp_path / "missing.jpg"), halves(tmp_path / "a.jpg", (64, 64))]

    bad, missing, good = thumbnails(urls, versions=["1", "1", "1"])

    assert "not an image" in bad.error
    assert "missing.jpg" in missing.error
    assert (bad.picture, missing.picture) == (b"", b"")
    assert good.picture
    assert not good.error
    halves(tmp_path / "missing.jpg", (64, 64))  # what could not be read is asked for again, a bad image is not
    (tmp_path / "bad.jpg").unlink()
    again = list(thumbnails(urls, versions=["1", "1", "1"]))
    assert again[0].error == bad.error
    assert again[1].picture


def test_made_once_and_kept_under_the_version_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = halves(tmp_path / "a.jpg", (640, 320))
    (first,) = thumbnails([url], versions=["v1"], side=80)
    made: list[int] = []
    make = module._made
    monkeypatch.setattr(module, "_made", lambda content, side: made.append(side) or make(content, side))

    assert list(thumbnails([url], versions=["v1"], side=80)) == [first]
    assert made == []
    list(thumbnails([url], versions=["v2"], side=80))
    list(thumbnails([url], versions=["v1"], side=90))
    list(thumbnails([url], versions=[""], side=80))  # without a version nothing tells whether it is still the same
    list(thumbnails([url], versions=[""], side=80))
    assert made == [80, 90, 80, 80]


def test_the_thinnest_image_keeps_a_pixel() -> None:
    assert shrink(np.zeros((1, 5000, 3), np.uint8), 100).shape == (1, 100, 3)
    assert shrink(np.zeros((7, 5, 3), np.uint8), 100).shape == (7, 5, 3)
    assert encoded(np.zeros((7, 5, 3), np.uint8))[:4] == b"\x89PNG"


def test_arguments_out_of_range_are_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="side"):
        thumbnails(["a"], side=0)
    with pytest.raises(ConfigError, match="version"):
        thumbnails(["a", "b"], versions=[""])
