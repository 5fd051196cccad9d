"""Objects drawn on images of every size: in their place, with labels that fit."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from colour_scenes import png, scene
from onlineml.errors import BadImageError, ConfigError, NotFoundError
from onlineml.inference.detections import DetectionRows, ImageDetections
from onlineml.inference.drawing import colour_of, draw, draw_boxes, draw_stored, letter_px, shortened
from onlineml.inference.label_layout import place_labels

if TYPE_CHECKING:
    from pathlib import Path

SIZES = [(16, 24), (480, 640), (4000, 6000), (200, 3000), (3000, 200)]


def found_in(size_hw: tuple[int, int], *boxes: tuple[float, ...], label: str = "cat") -> ImageDetections:
    n = len(boxes)
    array = np.array(boxes, float).reshape(-1, 4)
    return ImageDetections("x.png", size_hw, array, np.arange(n), (label,) * n, np.linspace(0.9, 0.5, n), None)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W) where any channel differs."""
    return (before != after).any(-1)


@pytest.mark.parametrize("size_hw", SIZES[1:])
def test_nothing_found_is_nothing_drawn(size_hw: tuple[int, int]) -> None:
    pixels = scene(size_hw, [("red", (0, 0, 10, 10))])
    drawn = draw(pixels, found_in(size_hw))

    assert np.array_equal(drawn, pixels)
    assert not np.shares_memory(drawn, pixels)


@pytest.mark.parametrize("size_hw", SIZES)
def test_the_object_stays_free_and_a_frame_is_around_it(size_hw: tuple[int, int]) -> None:
    high, wide = size_hw
    x1, y1, x2, y2 = wide // 4, high // 4, wide // 2, 3 * high // 4
    pixels = scene(size_hw, [])
    drawn = draw_boxes(pixels, np.array([[x1, y1, x2, y2]]), [""], [0])
    line = max(1, round(letter_px(size_hw, n_boxes=1) / 7))

    assert not changed(pixels, drawn)[y1:y2, x1:x2].any()
    for edge in (drawn[y1:y2, x1 - line : x1], drawn[y1:y2, x2 : x2 + line], drawn[y1 - line : y1, x1:x2]):
        assert (edge == colour_of(0)).all()
    rim = max(1, line // 2)
    assert (drawn[y1:y2, x1 - line - rim : x1 - line] < 30).all()  # dark, so seen on a ground of the frame's colour
    assert not changed(pixels, drawn)[:, : max(0, x1 - line - rim)].any()
    assert not changed(pixels, drawn)[:, x2 + line + rim :].any()


def test_the_picture_given_is_left_as_it_is() -> None:
    pixels = scene((100, 100), [])
    before = pixels.copy()
    draw(pixels, found_in((100, 100), (10, 10, 50, 50)))

    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("size_hw", SIZES)
def test_letters_are_legible(size_hw: tuple[int, int]) -> None:
    shown = draw(scene(size_hw, []), found_in(size_hw)).shape[:2]
    letters = letter_px((shown[0], shown[1]), n_boxes=1)

    assert letters >= 11
    assert letters / min(shown) < 0.15  # they do not hide the picture
    on_screen = min(1.0, 1200 / max(shown))  # a picture that is too large is shown reduced
    assert letters * on_screen >= 10


def test_letters_shrink_where_there_are_many() -> None:
    sizes = [letter_px((1500, 2000), n_boxes=n) for n in (0, 1, 12, 50, 100)]

    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == sizes[2] == 56
    assert sizes[-1] > 28


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize("label", ["cat", "a very long name of a class that would never fit", "Жук 甲虫"])
def test_boxes_at_every_edge(size_hw: tuple[int, int], label: str) -> None:
    """Nothing may fail, and what is drawn is the picture's size, whatever sticks out."""
    high, wide = size_hw
    boxes = [
        (0, 0, wide, high),
        (0, 0, 1, 1),
        (wide - 1, high - 1, wide, high),
        (wide - 1, 0, wide, high),
        (0, high - 2, wide, high),
        (wide / 2, high / 2, wide / 2, high / 2),  # no area
    ]
    drawn = draw(scene(size_hw, []), found_in(size_hw, *boxes, label=label), max_side=800)

    assert max(drawn.shape) <= 800
    assert drawn.dtype == np.uint8


@pytest.mark.parametrize(
    ("size_hw", "max_side", "expected"),
    [
        ((16, 24), None, (224, 336)),  # 14 times
        ((16, 24), 100, (64, 96)),
        ((16, 24), 20, (13, 20)),
        ((320, 200), None, (320, 200)),
        ((160, 100), None, (320, 200)),
        ((480, 640), None, (480, 640)),
        ((480, 640), 320, (240, 320)),
        ((480, 640), 5000, (480, 640)),
        ((3, 3000), 300, (1, 300)),
    ],
)
def test_the_size_of_the_result(size_hw, max_side, expected) -> None:
    drawn = draw(scene(size_hw, []), found_in(size_hw, (0, 0, 2, 2)), max_side=max_side)

    assert drawn.shape == (*expected, 3)


def test_enlarged_pixels_are_squares_and_boxes_move_along() -> None:
    pixels = scene((16, 24), [("red", (4, 4, 8, 8))])
    plain = draw(pixels, found_in((16, 24)))
    drawn = draw(
        pixels, ImageDetections("", (16, 24), np.array([[4.0, 4, 8, 8]]), np.array([1]), ("",), np.ones(1), None)
    )

    assert np.array_equal(plain, pixels.repeat(14, 0).repeat(14, 1))
    assert np.array_equal(drawn[56:112, 56:112], plain[56:112, 56:112])
    assert (drawn[60:100, 55] == colour_of(1)).all()
    assert (drawn[60:100, 112] == colour_of(1)).all()


# ---- tags ----


def boxes_of(values: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array([(x, y, x + w, y + h) for x, y, w, h in values], float).reshape(-1, 4)


@given(
    st.lists(st.tuples(*(st.integers(-20, 220),) * 2, *(st.integers(0, 200),) * 2), max_size=30),
    st.integers(1, 60),
    st.integers(1, 100),
)
def test_tags_never_leave_the_picture(values, height: int, width: int) -> None:
    places = place_labels(boxes_of(values), [(height, width)] * len(values), (60, 100), gap=2)

    assert len(places) == len(values)
    for top, left in places:
        assert 0 <= top <= 60 - height
        assert 0 <= left <= 100 - width


def test_the_first_tag_stands_above_its_box() -> None:
    assert place_labels(boxes_of([(100, 100, 50, 50)]), [(20, 60)], (400, 400), gap=3) == [(77, 97)]


def test_a_tag_that_has_no_room_above_stands_below() -> None:
    assert place_labels(boxes_of([(100, 0, 50, 50)]), [(20, 60)], (400, 400), gap=3) == [(53, 97)]


def test_tags_avoid_each_other_and_the_other_boxes() -> None:
    boxes = boxes_of([(50, 50, 60, 40), (55, 55, 60, 40), (60, 60, 60, 40), (300, 300, 50, 50), (300, 240, 50, 50)])
    places = place_labels(boxes, [(16, 70)] * 5, (400, 400), gap=2)
    tags = [(left, top, left + 70, top + 16) for top, left in places]

    for a, b in itertools.combinations(tags, 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]


def test_a_picture_full_of_one_box_has_its_tag_inside() -> None:
    (place,) = place_labels(boxes_of([(0, 0, 200, 100)]), [(20, 60)], (100, 200), gap=2)

    assert place == (0, 0)


def test_labels_are_kept_on_one_line() -> None:
    assert shortened("a\nb\t c") == "a b c"
    assert shortened("x" * 28) == "x" * 28
    assert len(shortened("abc" * 100)) == 28
    assert shortened("") == ""


def test_colours_are_stable_and_apart() -> None:
    colours = [colour_of(i) for i in range(40)]

    assert colours == [colour_of(i) for i in range(40)]
    assert len(set(colours)) == 40
    assert all(0 <= value <= 255 for colour in colours for value in colour)


# ---- images ----


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_every_kind_of_image_is_drawn_upright(tmp_path: Path, orientation: int) -> None:
    pixels = scene((120, 400), [("red", (10, 10, 60, 60))])
    found = found_in((120, 400), (10, 10, 60, 60))
    expected = draw(pixels, found)
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels, orientation=orientation))

    for image in (path, str(path), path.read_bytes(), Image.open(path)):
        assert np.array_equal(draw(image, found), expected)


def test_a_large_photo_is_not_decoded_in_full_for_a_small_picture() -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene((2400, 3600), [("red", (1800, 1200, 3600, 2400))])).save(buffer, "JPEG", quality=95)
    drawn = draw(buffer.getvalue(), found_in((2400, 3600)), max_side=300)

    assert drawn.shape == (200, 300, 3)
    assert (np.abs(drawn[105:195, 155:295].astype(int) - (225, 40, 40)) < 12).all()


def test_images_that_cannot_be_drawn(tmp_path: Path) -> None:
    found = found_in((120, 160))
    with pytest.raises(BadImageError, match="unreadable"):
        draw(b"no image", found)
    with pytest.raises(BadImageError, match="shape"):
        draw(np.zeros((5, 5, 2), np.uint8), found)
    with pytest.raises(NotFoundError):
        draw(tmp_path / "missing.png", found)
    with pytest.raises(ConfigError, match="is no image"):
        draw(3, found)
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(png(scene((120, 160), [])))
    with pytest.raises(ConfigError, match="takes one image"):
        draw(tmp_path, found)
    with pytest.raises(ConfigError, match="max_side=0"):
        draw(scene((120, 160), []), found, max_side=0)


def test_the_row_of_another_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="has 160 x 120 pixels, but the row is of one with 640 x 480"):
        draw(scene((120, 160), []), found_in((480, 640)))


def test_rows_are_drawn_on_their_files(tmp_path: Path) -> None:
    pixels = scene((240, 400), [])
    (tmp_path / "a.png").write_bytes(png(pixels))
    (tmp_path / "bad.png").write_bytes(b"x")
    good = found_in((240, 400), (10, 10, 60, 60))
    rows = [
        ImageDetections(str(tmp_path / "a.png"), *(getattr(good, n) for n in list(good.__dict__)[1:])),
        ImageDetections.unusable(str(tmp_path / "bad.png"), "unreadable"),
        ImageDetections.unusable(str(tmp_path / "missing.png"), "missing"),
        found_in((9, 9)),
    ]
    first, *others = draw_stored(rows, max_side=None)

    assert draw_stored([], max_side=None) == []
    assert first is not None
    assert np.array_equal(first, draw(pixels, good))
    assert others == [None, None, None]
    figure = DetectionRows(lambda: iter(rows), model="m").figure()
    assert len(figure.axes) == 4
    assert sum(bool(axes.images) for axes in figure.axes) == 1
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "1 cat" in texts
    assert "unreadable" in texts


def test_a_figure_of_nothing() -> None:
    assert "no images" in [t.get_text() for a in DetectionRows(lambda: iter([])).figure().axes for t in a.texts]
