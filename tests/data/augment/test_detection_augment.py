"""Augmentation of images with boxes: drawn objects are found where their boxes say; by (seed, epoch, image) alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from albumentations_quietly import a
from drawn_objects import draw, found_boxes, mask_of, picture_of, scene
from onlineml.data.augment.detection import DetectionAugmenter
from onlineml.data.augment.detection_geometry import GREY, Picture, canvas_hw, fit_inside
from onlineml.data.manifest.box_arrays import box_iou
from onlineml.errors import ConfigError
from picture_files import noise

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = ("none", "light", "standard", "strong")
SIZE = (96, 128)
KEYS = st.integers(0, 2**63)


def _picture(seed: int, size_hw: tuple[int, int] = SIZE) -> Picture:
    return picture_of(*scene(seed, size_hw))


def _same(one: Picture, other: Picture) -> bool:
    pairs = [(getattr(one, n), getattr(other, n)) for n in ("pixels", "boxes_xyxy", "label_ids", "ignore_xyxy")]
    return all(np.array_equal(x, y) for x, y in pairs)


def _agree(result: Picture) -> None:
    """Each well seen object has its box, or an ignored region; each box its object."""
    for box, label in zip(result.boxes_xyxy, result.label_ids, strict=True):
        least = min(box[2:] - box[:2])
        if least >= 6:
            assert box_iou(box[None], found_boxes(result.pixels, label)).max() > (0.8 if least > 12 else 0.6)
    for label in range(3):
        there = np.concatenate([result.boxes_xyxy[result.label_ids == label], result.ignore_xyxy])
        for found in found_boxes(result.pixels, label):
            if min(found[2:] - found[:2]) >= 6:
                assert box_iou(found[None], there).max() > 0.5


def _is_sound(result: Picture, size_hw: tuple[int, int], canvas: tuple[int, int] | None = None) -> None:
    height, width, channels = result.pixels.shape
    assert (channels, result.pixels.dtype) == (3, np.uint8)
    assert 1 <= height <= size_hw[0]
    assert 1 <= width <= size_hw[1]
    assert canvas is None or (height, width) == canvas
    assert len(result.boxes_xyxy) == len(result.label_ids)
    for boxes in (result.boxes_xyxy, result.ignore_xyxy):
        assert boxes.shape == (len(boxes), 4)
        assert np.isfinite(boxes).all()
        assert (boxes >= 0).all()
        assert (boxes <= [width, height, width, height]).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (result.boxes_xyxy[:, 2:] - result.boxes_xyxy[:, :2] >= 2).all()
    assert result.label_ids.dtype == np.int64
    assert result.scale > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chances", [(0.0, 0.0), (1.0, 1.0)])
def test_an_image_without_boxes(name: str, chances: tuple[float, float]):
    empty = picture_of(noise(0, (40, 60)), np.zeros((0, 4)), np.zeros(0))
    augmenter = DetectionAugmenter((32, 48), name, mosaic=chances[0], copy_paste=chances[1])
    others = {"mosaic": [empty] * 3, "paste": empty} if chances[0] else {}
    result = augmenter(empty, epoch=0, image_key=1, **others)
    _is_sound(result, (32, 48))
    assert len(result.boxes_xyxy) == len(result.ignore_xyxy) == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flips", ["none", "horizontal", "all"])
def test_objects_are_found_where_their_boxes_say(name: str, flips: str):
    augmenter = DetectionAugmenter(SIZE, name, flips=flips, seed=1)
    n_boxes = 0
    for key in range(60):
        picture = _picture(key)
        result = augmenter(picture, epoch=0, image_key=key)
        _is_sound(result, SIZE, (96, 128))
        _agree(result)
        n_boxes += len(result.boxes_xyxy)
        assert set(result.label_ids.tolist()) <= set(picture.label_ids.tolist())
    assert n_boxes > 100


@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 200), st.integers(1, 200)),
    st.sampled_from([(32, 32), (64, 48), (20, 90)]),
    st.sampled_from(NAMES),
    KEYS,
)
def test_any_picture_gives_a_sound_one(seed, size_hw, inside, name, key):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.random((rng.integers(0, 6), 2, 2)), axis=1) * size_hw[::-1]
    boxes = corners.reshape(-1, 4)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
    picture = picture_of(noise(seed, size_hw), boxes, np.arange(len(boxes)), boxes[:1])
    augmenter = DetectionAugmenter(inside, name, flips="all", mosaic=0.5, copy_paste=0.5, seed=seed)
    partners = augmenter.partners(5, epoch=3, image_key=key)
    paste = None if partners.paste is None else picture
    result = augmenter(picture, epoch=3, image_key=key, mosaic=[picture] * len(partners.mosaic), paste=paste)
    _is_sound(result, inside)
    if name != "none" or partners.mosaic:
        assert result.pixels.shape[:2] == canvas_hw(size_hw, inside)


@pytest.mark.parametrize("size_hw", [(30, 1200), (900, 24), (12, 9), (1, 40), (1200, 900)])
def test_very_wide_tiny_and_large_pictures_keep_their_objects(size_hw: tuple[int, int]):
    height, width = size_hw
    box = [width // 4, height // 4, max(width // 4 + 1, 3 * width // 4), max(height // 4 + 1, 3 * height // 4)]
    picture = picture_of(draw(size_hw, [box], [2]), [box], [2])
    augmenter = DetectionAugmenter((160, 160), "standard")
    seen = 0
    for key in range(20):
        result = augmenter(picture, epoch=0, image_key=key)
        _is_sound(result, (160, 160))
        _agree(result)
        seen += len(result.boxes_xyxy) + len(result.ignore_xyxy)
    assert seen >= 20  # it takes the middle of the picture: a part of it is always there


@pytest.mark.parametrize("name", ["light", "standard", "strong"])
def test_a_function_of_seed_epoch_and_image(name: str):
    picture, others = _picture(0), [_picture(i) for i in (1, 2, 3)]

    def result(seed: int = 3, epoch: int = 2, key: int = 77) -> Picture:
        augmenter = DetectionAugmenter(SIZE, name, seed=seed, mosaic=1, copy_paste=1)
        augmenter(others[0], epoch=9, image_key=5)  # whatever was augmented before
        np.random.seed(1)
        return augmenter(picture, epoch=epoch, image_key=key, mosaic=others, paste=others[1])

    first = result()
    assert _same(first, result())
    assert not any(np.array_equal(first.pixels, result(**{n: 4}).pixels) for n in ("seed", "epoch", "key"))


def test_partners_are_a_function_of_seed_epoch_and_image():
    augmenter = DetectionAugmenter(SIZE, seed=3, mosaic=0.5, copy_paste=0.25)
    assert augmenter.partners(0, epoch=0, image_key=1) == ((), None)
    assert DetectionAugmenter(SIZE).partners(9, epoch=0, image_key=1) == ((), None)
    found = [augmenter.partners(7, epoch=e, image_key=k) for e in range(20) for k in range(20)]
    again = [augmenter.partners(7, epoch=e, image_key=k) for e in range(20) for k in range(20)]
    assert found == again
    assert {len(p.mosaic) for p in found} == {0, 3}
    assert {i for p in found for i in p.mosaic} == {p.paste for p in found} - {None} == set(range(7))
    # 400 draws: four standard deviations are 40 and 35
    assert abs(sum(bool(p.mosaic) for p in found) - 200) < 40
    assert abs(sum(p.paste is not None for p in found) - 100) < 35


def test_none_is_what_evaluation_sees():
    picture = _picture(3, (300, 200))
    result = DetectionAugmenter(SIZE, "none", flips="all")(picture, epoch=4, image_key=2)
    pixels, scale = fit_inside(picture.pixels, SIZE)
    assert np.array_equal(result.pixels, pixels)
    assert np.allclose(result.boxes_xyxy, picture.boxes_xyxy * scale)
    assert result.scale == scale


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({}, 0.8, 1.25),
        ({"augment": "standard"}, 0.6, 1.5),
        ({"augment": "strong"}, 0.4, 2.0),
        ({"multi_scale": (1.0, 1.0)}, 1.0, 1.0),
        ({"augment": "none", "multi_scale": (0.5, 2.0)}, 0.5, 2.0),
    ],
)
def test_zoom_is_even_on_a_logarithmic_scale(options: dict, low: float, high: float):
    picture = _picture(1, (48, 64))  # fits inside when doubled
    zooms = [DetectionAugmenter(SIZE, **options)(picture, epoch=0, image_key=k).scale / 2 for k in range(300)]
    assert min(zooms) >= low - 1e-9
    assert max(zooms) <= high + 1e-9
    if high > low:
        share = (np.log(zooms) - math.log(low)) / math.log(high / low)
        assert abs(share.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 300)
        assert min(share) < 0.05
        assert max(share) > 0.95


@pytest.mark.parametrize(("flips", "n_turns"), [("none", 1), ("horizontal", 2), ("all", 8)])
def test_the_turns_that_flips_allow(flips: str, n_turns: int):
    """Three marks of the same size in an L tell all eight apart."""
    boxes, labels = [[8, 8, 24, 24], [72, 8, 88, 24], [8, 72, 24, 88]], [0, 1, 2]
    picture = picture_of(draw((96, 96), boxes, labels), boxes, labels)
    augmenter = DetectionAugmenter((96, 96), "light", flips=flips, multi_scale=(0.7, 0.7))
    seen = set()
    for key in range(150):
        result = augmenter(picture, epoch=0, image_key=key)
        _agree(result)
        middles = result.boxes_xyxy[np.argsort(result.label_ids)].reshape(3, 2, 2).mean(1)
        seen.add(tuple(np.sign(np.round(middles[1:] - middles[0], 1)).astype(int).ravel().tolist()))
    assert len(seen) == n_turns
    if flips == "horizontal":
        assert seen == {(1, 0, 0, 1), (-1, 0, 0, 1)}


def test_a_picture_with_room_is_not_cut():
    boxes = [[0, 0, 20, 20], [108, 76, 128, 96]]
    picture = picture_of(draw(SIZE, boxes, [0, 1]), boxes, [0, 1])
    augmenter = DetectionAugmenter(SIZE, "standard", multi_scale=(0.6, 0.75))
    places = set()
    for key in range(40):
        result = augmenter(picture, epoch=0, image_key=key)
        sides = (result.boxes_xyxy[:, 2:] - result.boxes_xyxy[:, :2]) / result.scale
        assert np.allclose(sides, 20)
        places.add(tuple(result.boxes_xyxy[0].tolist()))
    assert len(places) > 30


@pytest.mark.parametrize("name", NAMES)
def test_a_mosaic_shows_four_pictures_and_their_boxes(name: str):
    augmenter = DetectionAugmenter(SIZE, name, flips="all", mosaic=1.0, seed=2)
    for key in range(25):
        four = [_picture(100 + 4 * key + i) for i in range(4)]
        result = augmenter(four[0], epoch=0, image_key=key, mosaic=four[1:])
        _is_sound(result, SIZE, (96, 128))
        for label in range(3):  # what has the colour of a class, and what its boxes cover, are the same pixels
            colour = mask_of(result.pixels, label)
            ignored = _painted(result.ignore_xyxy) & colour
            boxes = _painted(result.boxes_xyxy[result.label_ids == label]) | ignored
            if boxes.sum() > 200:
                assert (boxes & colour).sum() / (boxes | colour).sum() > 0.8


def _painted(boxes_xyxy: np.ndarray) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    for x1, y1, x2, y2 in np.round(boxes_xyxy).astype(int):
        mask[y1:y2, x1:x2] = True
    return mask


def test_a_mosaic_takes_from_all_four():
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    pictures = [picture_of(np.full((*SIZE, 3), c, np.uint8), [[0, 0, 128, 96]], [i]) for i, c in enumerate(colours)]
    augmenter = DetectionAugmenter(SIZE, "none", mosaic=1.0)
    corners = set()
    for key in range(20):
        result = augmenter(pictures[0], epoch=0, image_key=key, mosaic=pictures[1:])
        assert sorted(result.label_ids.tolist()) == [0, 1, 2, 3]
        for box, label in zip(result.boxes_xyxy.astype(int), result.label_ids, strict=True):
            x1, y1, x2, y2 = box
            assert (result.pixels[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1] == colours[label]).all()
        # 0.7 of a picture is larger than half of the canvas in every direction, so that nothing is left grey but edges
        assert (result.pixels == GREY).all(-1).mean() < 0.15
        corners.add(tuple((result.boxes_xyxy[result.label_ids == 0][0, :2] > 10).tolist()))
    assert len(corners) == 4


def test_pasted_objects_have_exact_boxes_and_hide_little():
    target = draw((200, 200), [(20, 20, 100, 100), (120, 120, 180, 180)], [0, 0])
    source = draw((200, 200), [(30, 40, 70, 60), (100, 100, 130, 190)], [1, 2])
    picture = picture_of(target, [[20, 20, 100, 100], [120, 120, 180, 180]], [0, 0])
    partner = picture_of(source, [[30, 40, 70, 60], [100, 100, 130, 190]], [1, 2])
    augmenter = DetectionAugmenter((200, 200), "none", copy_paste=1.0)
    shapes = set()
    for key in range(30):
        result = augmenter(picture, epoch=0, image_key=key, paste=partner)
        assert result.label_ids.tolist()[:2] == [0, 0]
        for box in picture.boxes_xyxy:
            x1, y1, x2, y2 = box.astype(int)
            assert mask_of(result.pixels, 0)[y1:y2, x1:x2].mean() > 0.35  # two objects may hide 0.3 each
        for box, label in zip(result.boxes_xyxy[2:], result.label_ids[2:], strict=True):
            assert box_iou(box[None], found_boxes(result.pixels, label)).max() > 0.6
            wide, high = box[2:] - box[:2]
            assert wide / high == pytest.approx(2 if label == 1 else 1 / 3, rel=1e-9)
            assert math.exp(-0.2) <= wide / (40 if label == 1 else 30) <= math.exp(0.2)
            shapes.add(round(wide, 3))
    assert len(shapes) > 20
    assert np.array_equal(picture.pixels, target)
    assert np.array_equal(partner.pixels, source)


def test_nothing_is_pasted_where_there_is_no_room():
    everywhere = picture_of(draw((64, 64), [(0, 0, 64, 64)], [0]), [[0, 0, 64, 64]], [0])
    large = picture_of(draw((64, 64), [(0, 0, 64, 60)], [1]), [[0, 0, 64, 60]], [1])
    result = DetectionAugmenter((64, 64), "none", copy_paste=1.0)(everywhere, epoch=0, image_key=0, paste=large)
    assert result.label_ids.tolist() == [0]
    assert np.array_equal(result.pixels, everywhere.pixels)


def test_colours_change_and_padding_does_not():
    picture = picture_of(np.full((50, 50, 3), (150, 100, 60), np.uint8), np.zeros((0, 4)), np.zeros(0))
    augmenter = DetectionAugmenter((96, 96), "standard", multi_scale=(0.6, 0.6))
    results = [augmenter(picture, epoch=0, image_key=k).pixels for k in range(60)]
    inside = np.array([np.median(p[(p != GREY).any(-1)], axis=0) for p in results])
    assert inside[:, 0].std() > 15  # brightness alone is even in +-38
    assert ((inside[:, 0] > inside[:, 1]) & (inside[:, 1] > inside[:, 2])).all()  # as the hue stays
    assert all((p == GREY).all(-1).sum() > 96 * 96 * 0.6 for p in results)


def test_a_compose_of_the_users_worked_out_by_hand():
    # albumentations counts in float32 shares of the sides: exact where these are powers of two
    boxes = [[10, 40, 30, 60], [50, 27, 60, 37], [0, 0, 4, 4]]
    picture = picture_of(draw((64, 64), boxes, [2, 0, 1]), boxes, [2, 0, 1], [[40, 56, 64, 64]])
    compose = a.Compose([a.HorizontalFlip(p=1), a.Crop(0, 32, 64, 64)], bbox_params=a.BboxParams("pascal_voc"))
    result = DetectionAugmenter((64, 64), compose)(picture, epoch=0, image_key=0)
    assert result.pixels.shape == (32, 64, 3)
    # mirrored in 64, 32 rows less; the second loses half of its height, the third is gone
    assert sorted(map(tuple, result.boxes_xyxy.tolist())) == [(4, 0, 14, 5), (34, 8, 54, 28)]
    assert sorted(result.label_ids.tolist()) == [0, 2]
    assert result.ignore_xyxy.tolist() == [[0, 24, 24, 32]]
    assert math.isnan(result.scale)
    _agree(result)


@pytest.mark.parametrize("fields", [None, ["kinds"], ["kinds", "more"]])
def test_a_compose_with_label_fields_is_a_function_of_seed_epoch_and_image(fields: list[str] | None):
    params = a.BboxParams("pascal_voc", label_fields=fields, min_visibility=0.3)
    steps = [a.RandomCrop(60, 80), a.VerticalFlip(), a.CoarseDropout(p=0.5), a.RandomBrightnessContrast()]
    augmenter = DetectionAugmenter(SIZE, a.Compose(steps, bbox_params=params), seed=8)
    picture = _picture(5)
    picture.pixels.flags.writeable = False
    first, other, again = (augmenter(picture, epoch=e, image_key=7) for e in (0, 1, 0))
    assert _same(first, again)
    assert not _same(first, other)
    for key in range(20):
        _is_sound_after_compose(augmenter(_picture(key), epoch=0, image_key=key))


def _is_sound_after_compose(result: Picture) -> None:
    assert result.pixels.shape == (60, 80, 3)
    assert (result.boxes_xyxy <= [80, 60, 80, 60]).all()
    for box, label in zip(result.boxes_xyxy, result.label_ids, strict=True):
        x1, y1, x2, y2 = np.round(box).astype(int)
        assert mask_of(result.pixels, label)[y1:y2, x1:x2].mean() > 0.4  # but for what was dropped out


def test_a_compose_gets_the_mosaic():
    compose = a.Compose([a.Resize(48, 64)], bbox_params=a.BboxParams("pascal_voc"))
    four = [_picture(i) for i in range(4)]
    result = DetectionAugmenter(SIZE, compose, mosaic=1.0)(four[0], epoch=0, image_key=0, mosaic=four[1:])
    plain = DetectionAugmenter(SIZE, "none", mosaic=1.0)(four[0], epoch=0, image_key=0, mosaic=four[1:])
    assert len(result.boxes_xyxy) + len(result.ignore_xyxy) == len(plain.boxes_xyxy) + len(plain.ignore_xyxy)
    assert result.pixels.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": "wild"}, "augment='wild': expected one of auto, none, light, standard, strong, or a Compose"),
        ({"augment": 3}, "augment=3: expected the name of an augmentation or an albumentations.Compose"),
        (
            {"augment": lambda: a.Compose([])},
            "boxes in the format None; expected 'pascal_voc': create it with bbox_params",
        ),
        (
            {"augment": lambda: a.Compose([a.HorizontalFlip()], bbox_params=a.BboxParams("coco"))},
            "format 'coco'; expected 'pascal_voc'",
        ),
        ({"flips": "vertical"}, "flips='vertical': expected one of none, horizontal, all"),
        ({"mosaic": 1.5}, "mosaic=1.5: expected a probability between 0 and 1"),
        ({"copy_paste": -0.1}, "copy_paste=-0.1: expected a probability"),
        ({"multi_scale": (1.5, 0.6)}, r"multi_scale=\(1.5, 0.6\): expected the smallest and the largest zoom"),
        ({"multi_scale": (0.0, 1.0)}, "multi_scale="),
        ({"multi_scale": (float("nan"), 1.0)}, "multi_scale="),
        ({"multi_scale": (1.0,)}, "multi_scale="),
    ],
)
def test_wrong_arguments_are_refused(options: dict, message: str):
    made = {name: value() if callable(value) else value for name, value in options.items()}
    with pytest.raises(ConfigError, match=message):
        DetectionAugmenter(SIZE, **made)


@pytest.mark.parametrize(
    "step", [lambda: a.Resize(97, 128), lambda: a.ToFloat(p=1), lambda: a.ToGray(num_output_channels=1, p=1)]
)
def test_a_result_that_does_not_fit_is_refused(step: Callable[[], a.BasicTransform]):
    steps = [a.HorizontalFlip(), step()]  # without a step that moves boxes, albumentations warns that they are no use
    augmenter = DetectionAugmenter(SIZE, a.Compose(steps, bbox_params=a.BboxParams("pascal_voc")))
    with pytest.raises(ConfigError, match=r"expected uint8 of at most \(96, 128, 3\): end the Compose with a crop"):
        augmenter(_picture(0), epoch=0, image_key=0)
