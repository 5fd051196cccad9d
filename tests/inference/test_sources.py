"""What may be handed to `predict`: every image, under the right name, in order."""

from __future__ import annotations

import glob
import io
import random
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

from onlineml.data.images.decode import decode
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import BadImageError, ConfigError, DataError, NotFoundError
from onlineml.inference.sources import _matches, items_of
from tiny import jpeg, picture

if TYPE_CHECKING:
    from stores import Store

PIXELS = picture((200, 40, 40), seed=0)
FILES = ("a.jpg", "b10.PNG", "b9.jpeg", "notes.txt", "sub/c.jpg", "sub/deep/d.jpg", "sub/deep/e.webp", "x[1].jpg")


def names(images, **options) -> list[str]:
    return [item.name for item in items_of(images, **options)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(jpeg(PIXELS))
    return tmp_path


def test_what_systems_leave_behind_is_no_image(folder: Path) -> None:
    expected = names(folder)
    for junk in ("@eaDir/a.jpg", "sub/.thumbnails/a.jpg", "$RECYCLE.BIN/a.jpg", ".hidden.jpg", "__MACOSX/._a.jpg"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_bytes(jpeg(PIXELS))
    assert names(folder) == expected
    assert names(f"{folder}/**/*.jpg") == [name for name in expected if name.endswith(".jpg")]
    assert names(f"{folder}/@eaDir/*.jpg") == [f"{folder}/@eaDir/a.jpg"]


@pytest.mark.parametrize("name", ["photos.zip", "photos.TAR", "photos.tar.gz", "photos.tgz", "photos.7z"])
def test_an_archive_is_refused_by_name_and_is_not_opened(name: str, folder: Path) -> None:
    expected = names(folder)
    (folder / name).write_bytes(b"a bomb, or a link")
    for given in (folder / name, [folder / "a.jpg", folder / name], pd.DataFrame({"path": [str(folder / name)]})):
        with pytest.raises(ConfigError, match=rf"{name} is an archive: unpack it, and pass its folder"):
            names(given)

    assert names(folder) == expected  # beside images it is passed over


def test_a_folder_inside_an_archive_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../a.png", "x")

    for url in (f"zip://::{tmp_path}/a.zip", f"zip://*.png::{tmp_path}/a.zip", f"zip://../../a.png::{tmp_path}/a.zip"):
        with pytest.raises((DataError, ConfigError), match=r"archive: unpack it, and pass"):
            names(url)


def test_nothing_gives_nothing() -> None:
    assert names([]) == []
    assert names(iter(())) == []
    assert names(np.zeros((0, 8, 8, 3), np.uint8).tolist()) == []


@pytest.mark.parametrize(
    "pattern", ["*.jpg", "**/*.jpg", "sub/*.jpg", "sub/**/*.jpg", "?.jpg", "[ab].jpg", "[!a]*.jp*", "su?/*/d.jpg"]
)
def test_patterns_match_as_the_shell_does(folder: Path, pattern: str) -> None:
    expected = sorted(p for p in glob.glob(str(folder / pattern), recursive=True) if Path(p).is_file())  # noqa: PTH207

    assert expected
    assert names(str(folder / pattern)) == expected


def test_patterns_and_folders_take_images_only(folder: Path) -> None:
    images = sorted(str(folder / name) for name in FILES if name != "notes.txt")

    assert names(str(folder)) == images
    assert names(folder) == images
    assert names(str(folder / "**")) == images
    assert names(str(folder / "notes.*")) == [str(folder / "notes.txt")]  # nothing else: the decoder will say so


def test_on_every_store(store: Store) -> None:
    for name in FILES:
        store.raw_write(name, b"x")
    options = {"storage_options": store.storage_options}
    images = [f"{store.url}/{name}" for name in FILES if name != "notes.txt"]

    assert names(store.url, **options) == images
    assert names(f"{store.url}/sub", **options) == [url for url in images if "/sub/" in url]
    assert names(f"{store.url}/**/?.jpg", **options) == [
        f"{store.url}/{n}" for n in ("a.jpg", "sub/c.jpg", "sub/deep/d.jpg")
    ]
    assert names(f"{store.url}/*.j*", **options) == [f"{store.url}/{n}" for n in ("a.jpg", "b9.jpeg", "x[1].jpg")]
    assert names(f"{store.url}/x[1].jpg", **options) == [f"{store.url}/x[1].jpg"]  # its name looks like a pattern
    assert names(f"{store.url}/a.jpg", **options) == [f"{store.url}/a.jpg"]


def test_contents_named_by_their_hash(tmp_path: Path) -> None:
    for name in ("0a1b", "9f8e"):
        (tmp_path / name).write_bytes(jpeg(PIXELS))

    assert names(str(tmp_path)) == names(str(tmp_path / "*")) == [str(tmp_path / "0a1b"), str(tmp_path / "9f8e")]


def test_a_missing_file_is_an_item_and_a_missing_match_an_error(tmp_path: Path) -> None:
    assert names(str(tmp_path / "no.jpg")) == [str(tmp_path / "no.jpg")]
    with pytest.raises(NotFoundError, match=r"no file matches .*\*\.jpg"):
        names(str(tmp_path / "*.jpg"))
    with pytest.raises(NotFoundError, match="holds no files"):
        names(str(tmp_path))


def test_the_query_of_a_url_is_no_pattern() -> None:
    url = "https://example.org/photos/a.jpg?size=[1]&page=*"

    assert names([url]) == [url]


def test_names_of_what_has_none() -> None:
    array, image = PIXELS, Image.fromarray(PIXELS)
    mixed = [jpeg(PIXELS), array, image, bytearray(jpeg(PIXELS)), memoryview(jpeg(PIXELS)), Path("a.jpg")]

    assert names(mixed) == ["bytes:0", "array:1", "image:2", "bytes:3", "bytes:4", "a.jpg"]
    for one in (array, image, jpeg(PIXELS), "a.jpg"):
        assert len(names(one)) == 1


def test_the_file_of_a_pillow_image_is_its_name(folder: Path) -> None:
    with Image.open(folder / "a.jpg") as image:
        assert names(image) == [str(folder / "a.jpg")]


@pytest.mark.parametrize("wrong", [None, 3.5, True, object(), {"a.jpg": 1}, ["a.jpg"]])
def test_what_is_no_image(wrong) -> None:
    for images in ([wrong], ["a.jpg", wrong], *([] if isinstance(wrong, list) else [wrong])):
        with pytest.raises(ConfigError, match=f"a {type(wrong).__name__} is no image: expected a path or URL, bytes"):
            names(images)


def test_arrays_are_rgb_or_grey() -> None:
    colour, grey = items_of([PIXELS, PIXELS[:, :, 0]])

    assert np.array_equal(colour.content, PIXELS)
    assert np.array_equal(grey.content, np.dstack([PIXELS[:, :, 0]] * 3))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((8, 8, 5), np.uint8),
        np.zeros((8, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint16),
        np.zeros((8, 8), bool),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros(8, np.uint8),
        np.zeros((2, 1, 8, 8, 3), np.uint8),
        np.array(3, np.uint8),
    ],
)
def test_arrays_that_are_no_image_say_so(array: np.ndarray) -> None:
    (item,) = items_of([array])

    assert isinstance(item.content, BadImageError)
    assert f"shape {array.shape} and type {array.dtype}" in str(item.content)
    expected = ("expected (H, W), (H, W, C) or (C, H, W), or a batch", "expected uint8 in 0..255, or floats")
    assert any(text in str(item.content) for text in expected)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pillow_images_are_made_upright(orientation: int) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(PIXELS).save(file, "PNG", exif=exif)
    (item,) = items_of(opened(file.getvalue()))

    expected = np.asarray(ImageOps.exif_transpose(opened(file.getvalue())))
    assert np.array_equal(item.content, expected)
    turned = ImageOps.exif_transpose(opened(file.getvalue()))  # the user has done so already
    assert np.array_equal(next(items_of(turned)).content, expected)


def saved(image: Image.Image, format_name: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format_name, **options)
    return file.getvalue()


def awkward() -> dict[str, bytes]:
    rgba = np.dstack([PIXELS, np.linspace(0, 255, PIXELS[:, :, 0].size).reshape(PIXELS.shape[:2]).astype(np.uint8)])
    deep = (np.arange(40 * 44).reshape(40, 44) * 37).astype(np.uint16)
    palette = Image.fromarray(PIXELS).quantize(16)
    return {
        "alpha": saved(Image.fromarray(rgba)),
        "grey and alpha": saved(Image.fromarray(rgba).convert("LA")),
        "16 bit": saved(Image.fromarray(deep)),
        "16 bit tiff": saved(Image.fromarray(deep), "TIFF"),
        "palette": saved(palette),
        "transparent palette": saved(palette, transparency=3),
        "cmyk": saved(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"),
        "grey": saved(Image.fromarray(PIXELS).convert("L"), "JPEG"),
        "1 bit": saved(Image.fromarray(PIXELS).convert("1")),
    }


@pytest.mark.parametrize("kind", awkward())
def test_pillow_images_are_judged_as_their_files(kind: str) -> None:
    data = awkward()[kind]
    (item,) = items_of(opened(data))

    assert np.abs(item.content.astype(int) - decode(data).pixels).max() <= (2 if kind in {"cmyk", "grey"} else 0)


def test_pillow_images_that_are_damaged_say_so() -> None:
    rng = random.Random(0)
    whole = saved(Image.fromarray(PIXELS), "JPEG")
    for _ in range(40):
        cut = opened(whole[: rng.randrange(whole.find(b"\xff\xda") + 20, len(whole) - 2)])
        (item,) = items_of([cut])
        assert isinstance(item.content, BadImageError)
        assert item.content.finding == "truncated"
    closed = opened(saved(Image.fromarray(PIXELS)))
    closed.close()
    assert isinstance(next(items_of([closed])).content, BadImageError)


def test_huge_pillow_images_are_refused_before_memory_is_taken() -> None:
    class Huge:
        size, format, info = (20_000, 20_000), "PNG", {}

        def getexif(self) -> dict: ...

        def load(self) -> None:
            raise AssertionError("it must not be loaded")

    (item,) = items_of([Huge()])
    assert item.content.finding == "oversized"


@pytest.mark.parametrize(
    ("path", "pattern", "matches"),
    [
        ("a/b/c.jpg", "**", True),
        ("c.jpg", "**/c.jpg", True),
        ("a/b/c.jpg", "**/b/**/c.jpg", True),
        ("a/b/c.jpg", "*/c.jpg", False),
        ("a/b/c.jpg", "a/**/b/c.jpg", True),
        ("a.jpg", "A.jpg", False),
        ("a.jpg", "", False),
        ("", "**", True),
    ],
)
def test_two_stars_cross_folders(path: str, pattern: str, matches: bool) -> None:
    assert _matches(path, pattern) is matches


# ---- what people have ----

SMALL = PIXELS[:6, :8]
CHANNELS_FIRST = np.moveaxis(SMALL, 2, 0)
GREY = np.dstack([SMALL[:, :, 0]] * 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (SMALL, [SMALL]),
        (torch.from_numpy(SMALL.copy()), [SMALL]),
        (CHANNELS_FIRST, [SMALL]),
        (torch.from_numpy(CHANNELS_FIRST.copy()), [SMALL]),
        (torch.from_numpy(CHANNELS_FIRST.copy()).float().div(255).requires_grad_(), [SMALL]),
        (SMALL / 255, [SMALL]),
        ((SMALL / 255).astype(np.float32), [SMALL]),
        (SMALL[:, :, 0], [GREY]),
        (SMALL[:, :, :1], [GREY]),
        (CHANNELS_FIRST[:1], [GREY]),
        (np.stack([SMALL, GREY]), [SMALL, GREY]),
        (torch.from_numpy(np.stack([CHANNELS_FIRST] * 2)), [SMALL, SMALL]),
        (np.zeros((0, 6, 8, 3), np.uint8), []),
        (np.zeros((3, 5, 3), np.uint8), [np.zeros((3, 5, 3), np.uint8)]),  # an array of 3 rows, not of 3 channels
        (torch.zeros((3, 5, 3), dtype=torch.uint8), [np.zeros((5, 3, 3), np.uint8)]),
    ],
)
def test_arrays_are_one_image_or_a_batch_by_their_shape(given, expected: list) -> None:
    for images in (given, [given]):
        found = list(items_of(images))
        assert [item.name for item in found] == [f"array:{i}" for i in range(len(expected))]
        assert all(np.array_equal(item.content, one) for item, one in zip(found, expected, strict=True))


def test_opacity_is_drawn_as_in_files() -> None:
    rgba = np.dstack([SMALL, np.full(SMALL.shape[:2], 100, np.uint8)])
    (item,), (float_item,) = items_of(rgba), items_of(rgba / 255)

    assert np.array_equal(item.content, decode(saved(Image.fromarray(rgba))).pixels)
    assert np.array_equal(float_item.content, item.content)


@pytest.mark.parametrize("given", [SMALL.astype(float), SMALL / 127.5 - 1, np.full((4, 4), np.nan)])
def test_other_floats_are_refused_with_their_range(given: np.ndarray) -> None:
    (item,) = items_of(given)

    assert "expected floats in 0..1, found" in str(item.content)
    assert "divide by 255, undo a normalisation" in str(item.content)


def test_batches_in_a_list_are_counted_on() -> None:
    given = [np.stack([SMALL, SMALL]), SMALL, "a.jpg", SMALL]
    assert names(given) == ["array:0", "array:1", "array:2", "a.jpg", "array:4"]


def test_open_files(folder: Path) -> None:
    with (folder / "a.jpg").open("rb") as file:
        (item,) = items_of(file)
    assert (item.name, item.content) == (str(folder / "a.jpg"), (folder / "a.jpg").read_bytes())
    (item,) = items_of([io.BytesIO(jpeg(PIXELS))])
    assert (item.name, item.content) == ("bytes:0", jpeg(PIXELS))
    with (folder / "notes.txt").open(encoding="latin-1") as file, pytest.raises(ConfigError, match="opened as text"):
        names(file)


@pytest.mark.parametrize("kind", [list, tuple, iter, np.array, lambda paths: pd.Series(paths, index=[7, 3]), pd.Index])
def test_paths_in_a_row(kind) -> None:
    assert names(kind(["b.jpg", "a.jpg"])) == ["b.jpg", "a.jpg"]


@pytest.mark.parametrize("column", ["path", "filename", "Image Path", "image", "uri"])
def test_tables_with_paths(column: str) -> None:
    table = pd.DataFrame({"image_id": [5, 6], column: ["b.jpg", "a.jpg"], "label": "cat"}, index=[9, 2])
    found = list(items_of(table))

    assert [(item.name, item.image_id) for item in found] == [("b.jpg", "5"), ("a.jpg", "6")]
    assert [item.image_id for item in items_of(table.drop(columns="image_id"))] == ["", ""]


def test_tables_without_paths() -> None:
    with pytest.raises(ConfigError, match=r"no column of paths, .* it has x, y: pass one of them, as in frame\['x'\]"):
        names(pd.DataFrame({"x": [1], "y": [2]}))


def test_manifests_bring_ids_and_places(photos: Path) -> None:
    manifest = Manifest.from_folders(str(photos)).take([3, 1])
    found = list(items_of(manifest))

    assert [item.image_id for item in found] == list(manifest.column("image_id"))
    assert [item.name for item in found] == manifest.urls()


def test_videos_have_a_function_of_their_own() -> None:
    with pytest.raises(ConfigError, match=r"x.mp4 is a video: use onlineml.predict_video"):
        names("x.mp4")
