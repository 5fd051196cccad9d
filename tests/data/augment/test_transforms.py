"""Augmentation: a function of (seed, epoch, image) alone; fitting to size: against areas computed by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from albumentations_quietly import a
from onlineml.data.augment.classification import Augmenter, fit_to_size, limit_to_scale, training_scale
from onlineml.data.augment.crop import Crop, CropAugment, _mixed, _uniform
from onlineml.errors import ConfigError
from picture_files import noise, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NAMES = ("auto", "light", "standard", "strong")


def augmented(augmenter: Augmenter, pixels: NDArray[np.uint8], *, epoch: int, image_key: int) -> NDArray[np.uint8]:
    """A batch of one."""
    return augmenter([pixels], epoch=epoch, image_keys=np.array([image_key], dtype=np.uint64))[0]


def crops_of(augment: CropAugment, image_hw: tuple[int, int], n: int) -> list[Crop]:
    return augment.draw(np.array([image_hw] * n), 5, np.arange(n, dtype=np.uint64))


@pytest.mark.parametrize("name", NAMES)
def test_augmentation_is_a_function_of_seed_epoch_and_image(name: str):
    pixels = noise(0, (40, 50))
    augmenter = Augmenter((24, 24), name, seed=3)
    first = augmented(augmenter, pixels, epoch=2, image_key=77)
    augmented(augmenter, noise(1), epoch=0, image_key=5)  # whatever was augmented in between
    np.random.seed(1)
    again = augmented(Augmenter((24, 24), name, seed=3), pixels, epoch=2, image_key=77)
    assert first.shape == (24, 24, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    others = [
        augmented(augmenter, pixels, epoch=3, image_key=77),
        augmented(augmenter, pixels, epoch=2, image_key=78),
        augmented(Augmenter((24, 24), name, seed=4), pixels, epoch=2, image_key=77),
    ]
    assert not any(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("key", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_every_key_and_seed_is_taken(key: int, seed: int):
    augmenter = Augmenter((8, 8), "standard", seed=seed)
    assert augmented(augmenter, noise(0), epoch=100_000, image_key=key).shape == (8, 8, 3)


def test_strengths_order_how_much_of_a_picture_is_kept():
    """On a picture whose grey is its column, the range of greys in a crop is the share of the width that is kept."""
    pixels = np.repeat(np.linspace(0, 255, 256).astype(np.uint8)[None, :, None], 256, axis=0).repeat(3, axis=2)
    steps_of = {
        "light": CropAugment((64, 64), least_area=0.8),
        "standard": CropAugment((64, 64), least_area=0.5),
        "strong": a.Compose(Augmenter((64, 64), "strong").transform.transforms[:1]),
    }
    share = {}
    for name, steps in steps_of.items():
        augmenter = Augmenter((64, 64), "light")
        augmenter.transform = steps
        crops = [augmented(augmenter, pixels, epoch=0, image_key=k) for k in range(200)]
        share[name] = np.mean([(int(c.max()) - int(c.min())) / 255 for c in crops])
    assert share["light"] > share["standard"] > share["strong"]
    # Areas s of .8 to 1, shapes that fit: the density of s falls as -ln s, the mean width of one is (1 - s) / -ln s.
    mean_width = 0.02 / (0.2 + 0.8 * np.log(0.8))
    assert share["light"] == pytest.approx(mean_width * 63 / 64, abs=0.01)  # 63 steps from the first pixel to the last
    flips = Augmenter((64, 64), "light")
    ends = [augmented(flips, pixels, epoch=0, image_key=k)[0, [0, -1], 0].tolist() for k in range(300)]
    flipped = np.mean([left > right for left, right in ends])
    assert flipped == pytest.approx(0.5, abs=0.1)  # 3.5 deviations of a fair coin thrown 300 times


@pytest.mark.parametrize("image_hw", [(80, 100), (33, 61), (200, 90)])
def test_a_crop_is_what_albumentations_makes_of_the_same_one(image_hw: tuple[int, int]):
    pixels = noise(3, image_hw)
    augment = CropAugment((64, 48), least_area=0.5, light=0.25, p_light=0.8)
    for crop in crops_of(augment, image_hw, 40):
        reference = a.Compose(
            [
                a.Crop(crop.left, crop.top, crop.left + crop.width, crop.top + crop.height),
                a.Resize(64, 48),
                a.HorizontalFlip(p=float(crop.mirrored)),
                a.RandomBrightnessContrast((crop.brightness,) * 2, (crop.contrast - 1,) * 2, p=1.0),
            ]
        )
        expected = reference(image=pixels)["image"].astype(int)
        out = np.zeros((64, 48, 3), dtype=np.uint8)
        augment.apply(pixels, crop, out)
        assert np.abs(out.astype(int) - expected).max() <= 1  # it cuts where this rounds


@pytest.mark.parametrize("image_hw", [(100, 100), (60, 120), (1, 1), (1, 50), (400, 3)])
def test_crops_stay_inside_and_are_of_the_areas_and_shapes_that_were_asked_for(image_hw: tuple[int, int]):
    augment = CropAugment((8, 8), least_area=0.5, light=0.25, p_light=0.8)
    crops = crops_of(augment, image_hw, 500)
    height, width = image_hw
    for crop in crops:
        assert crop.height >= 1 and crop.width >= 1  # noqa: PT018
        assert crop.top >= 0 and crop.top + crop.height <= height  # noqa: PT018
        assert crop.left >= 0 and crop.left + crop.width <= width  # noqa: PT018
        out = np.zeros((8, 8, 3), dtype=np.uint8)
        augment.apply(plain(10, image_hw), crop, out)
        if crop.contrast == 1.0:
            assert (out == plain(10, (8, 8))).all()
    if image_hw != (100, 100):
        return
    areas = np.array([crop.height * crop.width for crop in crops]) / 100**2
    shapes = np.array([crop.width / crop.height for crop in crops])
    assert 0.49 < areas.min() < 0.55
    assert areas.max() > 0.9
    assert 0.78 < shapes.min() < 0.85
    assert 1.18 < shapes.max() < 1.28
    lit = np.array([(crop.contrast, crop.brightness) for crop in crops if crop.contrast != 1.0])
    assert len(lit) == pytest.approx(400, abs=40)  # 4.5 deviations
    assert np.allclose(lit.min(0), (0.75, -0.25), atol=0.02)
    assert np.allclose(lit.max(0), (1.25, 0.25), atol=0.02)
    for place, size in ((np.array([c.top for c in crops]), height), (np.array([c.left for c in crops]), width)):
        assert place.min() == 0
        assert place.max() > 0.2 * size


@pytest.mark.parametrize("name", NAMES)
def test_who_else_is_in_a_batch_changes_no_image(name: str):
    augmenter = Augmenter((16, 16), name, seed=2)
    pictures = [noise(i, (20 + i, 30 - i)) for i in range(8)]
    keys = np.array([0, 1, 2, 3, 2**63, 2**64 - 1, 77, 78], dtype=np.uint64)
    batch = augmenter(pictures, epoch=3, image_keys=keys)
    for picture, key, row in zip(pictures, keys.tolist(), batch, strict=True):
        assert np.array_equal(augmented(augmenter, picture, epoch=3, image_key=key), row)
    assert augmenter([], epoch=3, image_keys=keys[:0]).shape == (0, 16, 16, 3)


def test_drawn_numbers_are_splitmix64s_and_independent():
    # the first three of SplitMix64 started at 1234567, from its authors' reference in C
    step = np.uint64(0x9E3779B97F4A7C15)
    state = np.uint64(1234567) + step * np.arange(1, 4, dtype=np.uint64)
    assert _mixed(state).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]
    drawn = _uniform(7, np.arange(5000, dtype=np.uint64), 6)  # neighbouring keys
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.allclose(drawn.mean(0), 0.5, atol=0.02)  # 4.9 deviations
    assert np.allclose(drawn.var(0), 1 / 12, atol=0.006)
    other = _uniform(8, np.arange(5000, dtype=np.uint64), 6)  # the next epoch
    between = np.corrcoef(np.concatenate([drawn, other, np.roll(drawn, -1, axis=0)], axis=1).T)
    assert np.abs(between - np.eye(18)).max() < 0.07  # 4.9 deviations


def test_none_only_fits():
    pixels = noise(0, (40, 50))
    augmenter = Augmenter((16, 16), "none")
    assert np.array_equal(augmented(augmenter, pixels, epoch=0, image_key=0), fit_to_size(pixels, (16, 16)))
    assert np.array_equal(augmented(augmenter, pixels, epoch=5, image_key=9), fit_to_size(pixels, (16, 16)))


def test_a_compose_of_the_users():
    augmenter = Augmenter((10, 12), a.Compose([a.RandomCrop(10, 12), a.Transpose(p=0), a.HorizontalFlip()]), seed=1)
    pixels = noise(4, (30, 30))
    crops = [augmented(augmenter, pixels, epoch=0, image_key=k) for k in range(20)]
    assert {c.shape for c in crops} == {(10, 12, 3)}
    assert len({c.tobytes() for c in crops}) > 15
    assert np.array_equal(augmented(augmenter, pixels, epoch=0, image_key=7), crops[7])
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (10, 12, 3)).reshape(-1, 10, 12, 3)
    for crop in crops:  # each is a window of the picture, or the mirror image of one
        assert any((windows == way).all((1, 2, 3)).any() for way in (crop, crop[:, ::-1]))


def test_a_compose_that_works_in_place_leaves_the_pixels_alone():
    def paint(image: np.ndarray, **_: object) -> np.ndarray:
        image[:] = 9
        return image

    pixels = noise(4, (8, 8))
    before = pixels.copy()
    pixels.flags.writeable = False  # as those of the cache
    result = augmented(Augmenter((8, 8), a.Compose([a.Lambda(image=paint, p=1)])), pixels, epoch=0, image_key=0)
    assert (result == 9).all()
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    ("compose", "found"),
    [
        (lambda: a.Compose([a.HorizontalFlip()]), r"\(20, 20, 3\) and type uint8"),
        (lambda: a.Compose([a.RandomCrop(8, 8), a.Normalize()]), r"\(8, 8, 3\) and type float32"),
    ],
)
def test_a_compose_that_gives_something_else_is_refused_with_the_remedy(compose: Callable[[], a.Compose], found: str):
    with pytest.raises(ConfigError, match=found + r"; expected \(8, 8, 3\) and uint8: end the Compose with a crop"):
        augmented(Augmenter((8, 8), compose()), noise(0), epoch=0, image_key=0)


@pytest.mark.parametrize("augment", ["heavy", "", None, 3, lambda image: image, np.flip])
def test_anything_else_is_refused_with_the_choices(augment: object):
    with pytest.raises(ConfigError, match=r"expected one of auto, none, light, standard, strong,? or"):
        Augmenter((8, 8), augment)


def test_importing_changes_nothing_and_building_looks_for_no_update():
    """In a process of its own whose sockets refuse to be made."""
    program = """
import os, socket, sys
before = dict(os.environ)
def refuse(*args, **kwargs): raise AssertionError("the network was touched")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import urllib.request
urllib.request.urlopen = refuse
import onlineml.data.augment.classification as t
assert "albumentations" not in sys.modules and "cv2" not in sys.modules
assert dict(os.environ) == before
t.Augmenter((8, 8), "none")
assert "albumentations" not in sys.modules
t.Augmenter((8, 8), "strong")
assert "albumentations" in sys.modules
assert {k: v for k, v in os.environ.items() if "ALBU" in k} == {k: v for k, v in before.items() if "ALBU" in k}
"""
    environment = {k: v for k, v in os.environ.items() if k != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_users_own_setting_is_put_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "0")
    Augmenter((8, 8), "light")
    assert os.environ["NO_ALBUMENTATIONS_UPDATE"] == "0"


def test_fit_to_size_shows_the_middle():
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200  # the middle third is what a square shows
    assert np.array_equal(fit_to_size(pixels, (8, 8)), pixels[:, 8:16])
    assert (fit_to_size(pixels, (4, 4)) == 200).all()
    assert (fit_to_size(pixels.transpose(1, 0, 2), (16, 16)) == 200).all()


def test_fit_to_size_averages_areas_when_shrinking():
    pixels = noise(2, (32, 32))
    blocks = pixels.reshape(8, 4, 8, 4, 3).astype(float).mean((1, 3))
    assert np.abs(fit_to_size(pixels, (8, 8)) - blocks).max() <= 0.5 + 1e-6


def _exact_areas(pixels: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3): the mean over each cell of a grid, cut through pixels as it falls."""
    n = pixels.shape[0]
    edges = np.linspace(0, n, size + 1)
    start, stop = np.maximum(edges[:-1, None], np.arange(n)), np.minimum(edges[1:, None], np.arange(n) + 1)
    weights = np.maximum(0, stop - start) * size / n
    return np.einsum("ih,jw,hwc->ijc", weights, weights, pixels.astype(float), optimize=True)


@pytest.mark.parametrize("size", [110, 95, 80, 77, 70, 60, 50, 44, 33, 25, 21])
def test_shrinking_by_any_factor_is_like_averaging_areas(size: int):
    wave = np.sin(np.arange(120) / 4.0)
    smooth = np.uint8(127 + 60 * wave[:, None, None] * wave[None, :, None] + np.array([-20, 0, 20]))
    assert np.abs(fit_to_size(smooth, (size, size)) - _exact_areas(smooth, size)).mean() < 1.2
    stripes = np.uint8(np.arange(120) % 2 * 255)[None, :, None].repeat(120, 0).repeat(3, 2)
    fades = _exact_areas(stripes, size).std()
    assert fit_to_size(stripes, (size, size)).std() < fades * 1.25 + 8  # no more moire than exact averaging has


@pytest.mark.parametrize("image_hw", [(1, 1), (1, 500), (500, 1), (3, 3), (7, 4000), (20, 20), (31, 32)])
@pytest.mark.parametrize("size_hw", [(8, 8), (8, 64), (160, 9), (20, 20)])
def test_every_shape_fits_every_size(image_hw: tuple[int, int], size_hw: tuple[int, int]):
    fitted = fit_to_size(plain(7, image_hw), size_hw)
    assert fitted.shape == (*size_hw, 3)
    assert (fitted == 7).all()


@pytest.mark.parametrize(
    "image_hw", [(1, 1), (1, 500), (333, 1), (50, 100), (50, 101), (999, 100), (80, 81), (640, 480)]
)
@pytest.mark.parametrize("short_side", [1, 7, 80])
def test_limit_to_scale_keeps_what_the_cache_has_room_for(image_hw: tuple[int, int], short_side: int):
    kept = limit_to_scale(plain(3, image_hw), short_side)
    height, width = kept.shape[:2]
    assert min(height, width) == min(short_side, *image_hw)
    assert max(height, width) <= 2 * min(height, width)
    assert kept.size <= 2 * short_side**2 * 3
    if max(image_hw) <= 2 * min(image_hw):  # the picture's shape stays, to half a pixel
        assert abs(max(height, width) / min(height, width) - max(image_hw) / min(image_hw)) <= 0.5 / min(height, width)


def test_limit_to_scale_leaves_small_images_alone_and_cuts_long_ones_around_their_centre():
    small = noise(0, (30, 40))
    assert limit_to_scale(small, 30) is small
    long = np.zeros((10, 60, 3), np.uint8)
    long[:, 20:40] = 250
    assert np.array_equal(limit_to_scale(long, 10), long[:, 20:40])


def test_training_scale_has_room_for_a_crop():
    assert training_scale((64, 64)) == 80
    assert training_scale((96, 224)) == 280
