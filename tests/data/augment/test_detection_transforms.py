"""Boxes and pixels move together: drawn rectangles are found again where their boxes say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drawn_objects import BACKGROUND, draw, found_boxes, picture_of, scene
from onlineml.data.augment.detection_geometry import (
    GREY,
    View,
    canvas_hw,
    fit_inside,
    fitted,
    keep_inside,
    kept_hw,
    objects_within,
    pad_together,
    shown,
)
from onlineml.data.manifest.box_arrays import box_iou
from picture_files import noise

SIDES = st.integers(1, 90)


def test_no_images_are_an_empty_batch():
    assert pad_together([]).shape == (0, 32, 32, 3)
    empty = picture_of(noise(0), np.zeros((0, 4)), np.zeros(0))
    result = fitted(empty, (40, 40))
    assert result.boxes_xyxy.shape == result.ignore_xyxy.shape == (0, 4)
    assert result.label_ids.shape == (0,)
    assert shown(empty, View((20, 20), 1.0))[0].boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    ("original_hw", "size_hw", "fitted_hw", "scale"),
    [
        ((480, 640), (320, 320), (240, 320), 0.5),
        ((640, 480), (320, 320), (320, 240), 0.5),
        ((480, 640), (240, 640), (240, 320), 0.5),
        ((320, 320), (320, 320), (320, 320), 1.0),
        ((16, 24), (320, 320), (213, 320), 40 / 3),
        ((200, 3000), (320, 320), (21, 320), 8 / 75),
        ((3000, 10), (320, 320), (320, 1), 8 / 75),
        ((5000, 3), (32, 64), (32, 1), 0.0064),  # 0.02 pixels wide: one is left
        ((1, 1), (8, 9), (8, 8), 8.0),
    ],
)
def test_fitted_sizes_worked_out_by_hand(original_hw, size_hw, fitted_hw, scale):
    pixels, found = fit_inside(np.full((*original_hw, 3), 9, np.uint8), size_hw)
    assert pixels.shape == (*fitted_hw, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 9).all()
    assert found == pytest.approx(scale, rel=1e-12)


def test_a_fitting_image_is_its_own_pixels():
    pixels = noise(1, (30, 40))
    assert np.array_equal(fit_inside(pixels, (40, 40))[0], pixels)
    assert np.array_equal(keep_inside(pixels, (30, 40), size_hw=(32, 32)), pixels)  # 40 is 1.25 * 32


@given(SIDES, SIDES, st.integers(8, 100), st.integers(8, 100))
def test_the_whole_image_is_inside_and_touches_one_side(height, width, size_h, size_w):
    pixels, scale = fit_inside(np.zeros((height, width, 3), np.uint8), (size_h, size_w))
    assert 1 <= pixels.shape[0] <= size_h
    assert 1 <= pixels.shape[1] <= size_w
    assert pixels.shape[0] == size_h or pixels.shape[1] == size_w
    assert abs(pixels.shape[0] - height * scale) <= max(0.5, 1 - height * scale) + 1e-9
    assert abs(pixels.shape[1] - width * scale) <= max(0.5, 1 - width * scale) + 1e-9


@given(
    st.integers(0, 10**6), st.integers(60, 300), st.integers(60, 300), st.sampled_from([(64, 64), (48, 96), (96, 64)])
)
@example(1, 278, 60, (48, 96))  # an object of one pixel
def test_boxes_of_a_fitted_image_kept_or_not_are_where_the_objects_are(seed, height, width, size_hw):
    pixels, boxes, labels = scene(seed, (height, width))
    direct, scale = fit_inside(pixels, size_hw)
    kept = keep_inside(pixels, (height, width), size_hw=size_hw)
    twice, same = fit_inside(kept, size_hw, original_hw=(height, width))
    assert scale == same
    assert np.abs(np.subtract(direct.shape, twice.shape)).max() <= 1  # rounded once, rounded twice
    assert all(n <= most for n, most in zip(kept.shape, kept_hw(size_hw), strict=False))
    for shown_pixels in (direct, twice):
        for box, label in zip(boxes * scale, labels, strict=True):
            found = found_boxes(shown_pixels, label)
            if min(box[2:] - box[:2]) > 8:
                assert box_iou(box[None], found).max() > 0.8
            else:  # whole pixels cannot show a narrow one's place better than to a pixel
                assert np.abs(found - box).max(1).min() <= 1.0


def test_a_decoders_reduction_is_undone_exactly():
    """1201 x 900 reduced by 4 is 301 x 225 with a last column that was not full; kept at 80 pixels, it is no wider."""
    pixels = draw((900, 1204), [(600, 300, 1200, 600)], [0])
    reduced = pixels.reshape(225, 4, 301, 4, 3).mean((1, 3)).astype(np.uint8)
    kept = keep_inside(reduced, (900, 1201), size_hw=(64, 64))
    assert kept.shape == (60, 80, 3)
    shown_pixels, scale = fit_inside(kept, (64, 64), original_hw=(900, 1201))
    assert scale == 64 / 1201
    assert box_iou(np.array([[600, 300, 1200, 600]]) * scale, found_boxes(shown_pixels, 0)).item() > 0.9


def test_evaluation_keeps_every_box():
    tiny = picture_of(draw((200, 200), [(10, 10, 11, 11)], [0]), [[10, 10, 11, 11]], [2], [[0, 0, 1, 1]])
    result = fitted(tiny, (20, 20))
    assert result.boxes_xyxy.tolist() == [[1, 1, 1.1, 1.1]]
    assert result.ignore_xyxy.tolist() == [[0, 0, 0.1, 0.1]]
    assert result.label_ids.tolist() == [2]


def test_padding_is_grey_at_the_right_and_below():
    first, second = noise(0, (33, 10)), noise(1, (5, 64))
    batch = pad_together([first, second])
    assert batch.shape == (2, 64, 64, 3)
    assert np.array_equal(batch[0, :33, :10], first)
    assert np.array_equal(batch[1, :5, :64], second)
    assert (batch[0, 33:] == GREY).all()
    assert (batch[0, :, 10:] == GREY).all()
    assert (batch[1, 5:] == GREY).all()


@pytest.mark.parametrize(
    ("original_hw", "size_hw", "expected"),
    [
        ((480, 640), (320, 320), (256, 320)),
        ((640, 480), (320, 320), (320, 256)),
        ((200, 3000), (320, 320), (32, 320)),
        ((480, 640), (300, 300), (256, 300)),
        ((100, 100), (300, 300), (300, 300)),
        ((3, 5000), (8, 64), (8, 64)),
    ],
)
def test_the_canvas_of_training_is_as_large_as_the_batch_will_be(original_hw, size_hw, expected):
    assert canvas_hw(original_hw, size_hw) == expected


def test_a_view_worked_out_by_hand():
    """A 6 x 8 picture, transposed to 8 x 6, mirrored, doubled, moved 3 right and 4 up."""
    pixels = draw((6, 8), [(1, 2, 4, 5)], [0])
    view = View((14, 20), 2.0, transposed=True, mirrored=True, offset_yx=(-4, 3))
    result, (rows, columns) = shown(picture_of(pixels, [[1, 2, 4, 5]], [0]), view)
    # transposed: x 2..5, y 1..4; mirrored in a width of 6: x 1..4; doubled and moved: x 5..11, y -2..4
    assert result.boxes_xyxy.tolist() == [[5, 0, 11, 4]]
    assert (rows, columns) == (slice(0, 12), slice(3, 15))
    assert result.scale == 2.0
    assert (result.pixels[12:] == GREY).all()
    assert (result.pixels[:, :3] == GREY).all()
    assert (result.pixels[:, 15:] == GREY).all()
    assert found_boxes(result.pixels[:12, 3:15], 0).tolist() == [[2, 0, 8, 4]]


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(40, 120), st.integers(40, 120)),
    st.tuples(st.integers(32, 120), st.integers(32, 120)),
    st.floats(0.5, 2.5),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)),
)
def test_objects_are_where_a_view_says(seed, size_hw, canvas, factor, turns):
    pixels, boxes, labels = scene(seed, size_hw)
    offset = round(turns[3] * canvas[0]), round(turns[4] * canvas[1])
    view = View(canvas, factor, *turns[:3], offset_yx=offset)
    result, (rows, columns) = shown(picture_of(pixels, boxes, labels), view)
    assert result.pixels.shape == (*canvas, 3)
    outside = np.ones(canvas, bool)
    outside[rows, columns] = False
    assert (result.pixels[outside] == GREY).all()
    assert (result.pixels[rows, columns] != GREY).any()
    _agree(result, labels)


def _agree(result, labels):
    """Every box has its object, and every object that is seen well its box, or an ignored region over it."""
    for box, label in zip(result.boxes_xyxy, result.label_ids, strict=True):
        least = min(box[2:] - box[:2])
        if least >= 5:
            assert box_iou(box[None], found_boxes(result.pixels, label)).max() > (0.8 if least > 12 else 0.6)
    for label in set(labels.tolist()):
        there = np.concatenate([result.boxes_xyxy[result.label_ids == label], result.ignore_xyxy])
        for found in found_boxes(result.pixels, label):
            if min(found[2:] - found[:2]) >= 5:
                assert box_iou(found[None], there).max() > 0.5


@given(
    st.lists(st.tuples(*[st.floats(-30, 60)] * 2, *[st.floats(0.5, 40)] * 2), max_size=8),
    st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(11, 40), st.integers(11, 40)),
)
def test_what_a_window_leaves_of_boxes(boxes_xywh, window):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in boxes_xywh]).reshape(-1, 4)
    result = objects_within(picture_of(draw((40, 40), [], []), boxes, np.arange(len(boxes))), window)
    kept, ignored = 0, 0
    for label, (x1, y1, x2, y2) in enumerate(boxes.tolist()):  # the plain arithmetic of one box
        left, top, right, bottom = max(x1, window[0]), max(y1, window[1]), min(x2, window[2]), min(y2, window[3])
        width, height = right - left, bottom - top
        if width <= 0 or height <= 0:
            assert label not in result.label_ids
        elif width >= 2 and height >= 2 and width * height >= 0.2 * (x2 - x1) * (y2 - y1):
            assert result.boxes_xyxy[result.label_ids.tolist().index(label)].tolist() == [left, top, right, bottom]
            kept += 1
        else:
            assert [left, top, right, bottom] in result.ignore_xyxy.tolist()
            ignored += 1
    assert (len(result.boxes_xyxy), len(result.ignore_xyxy)) == (kept, ignored)


def test_a_view_leaves_the_picture_as_it_was():
    pixels, boxes, labels = scene(4)
    pixels.flags.writeable = False
    picture = picture_of(pixels, boxes, labels)
    before = picture.boxes_xyxy.copy()
    for flips in ((False, False, False), (True, True, True)):
        shown(picture, View((64, 64), 1.0, *flips, offset_yx=(5, -5)))
    assert np.array_equal(picture.boxes_xyxy, before)
    assert (pixels == BACKGROUND).any()
