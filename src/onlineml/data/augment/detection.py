"""Augmentation of images with boxes: zoom, shift, flips, colour, mosaic, pasted objects; by (seed, epoch, image).

Own code on OpenCV: with decoded images at hand it takes a third of a millisecond where albumentations takes several,
and it can tell a box that is cut away from one that was never there. A `Compose` of the user's runs all the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from onlineml.data.augment.classification import Augment
from onlineml.data.augment.compose import UsersCompose
from onlineml.data.augment.detection_geometry import (
    GREY,
    MIN_SIDE,
    Picture,
    View,
    canvas_hw,
    fit_scale,
    fitted,
    objects_within,
    scaled,
    shown,
)
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["DetectionAugmenter", "Flips", "Partners"]

Flips = Literal["none", "horizontal", "all"]

_MOSAIC_ZOOM = 0.7  # of the usual zoom: a quarter of the canvas then shows about half of its image
_PASTED = 3  # at most this many objects of one partner
_TRIES = 10  # to find a place for one
_COVERED = 0.3  # share of another object that a pasted one may hide


Window = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, slots=True)
class _Strength:
    """Ranges of a named augmentation.

    Attributes:
        zoom: of the fitted size; drawn evenly on a logarithmic scale.
        shift: largest, as a share of the canvas, beyond what the zoom leaves free.
        brightness: largest change, as a share of white.
        contrast, saturation: largest relative change.
        hue: largest turn of the colours, in degrees.
        blur: chance of a light blur.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0


# luma and the two colour differences of NTSC (Rec. 601), in which a turn changes the hue and nothing else
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB_OF_YIQ = np.linalg.inv(_YIQ)

_STRENGTHS: dict[str, _Strength] = {
    "none": _Strength(),
    "light": _Strength((0.8, 1.25), 0.05, 0.1, 0.1, 0.1),
    "standard": _Strength((0.6, 1.5), 0.1, 0.15, 0.25, 0.25),
    "strong": _Strength((0.4, 2.0), 0.2, 0.2, 0.35, 0.5, 15.0, 0.15),
}


class Partners(NamedTuple):
    """The other images, as places in the pool of the training images, that an image is mixed with."""

    mosaic: tuple[int, ...]
    """Three, or none."""
    paste: int | None


class DetectionAugmenter:
    """Random changes of a training image and its boxes that depend on nothing but (seed, epoch, image).

    Args:
        size_hw: the result fits inside it, in pixels.
        augment: ``"auto"`` (as ``"light"``), ``"none"`` (only fitted inside ``size_hw``), ``"light"`` (zoom, shift,
            flip, brightness, contrast, saturation), ``"standard"`` (more of these), ``"strong"`` (still more, hue,
            blur) or an `albumentations.Compose` of yours with ``bbox_params`` of the format ``"pascal_voc"``.
        seed: the run's seed.
        flips: of the named augmentations but ``"none"``: ``"horizontal"``; ``"all"`` (also upside down and transposed:
            for pictures without an up, such as those of microscopes and satellites); or ``"none"`` (where left and
            right differ, as in text).
        multi_scale: smallest and largest zoom, of the size that just fits; None is what ``augment`` says. It goes
            before a Compose of yours, as mosaic and pasted objects do.
        mosaic: chance of a picture put together of four.
        copy_paste: chance that objects of another image are pasted in.

    Raises:
        ConfigError: an argument is none of these.
    """

    def __init__(
        self,
        size_hw: tuple[int, int],
        augment: Augment | Any = "auto",
        *,
        seed: int = 0,
        flips: Flips = "horizontal",
        multi_scale: tuple[float, float] | None = None,
        mosaic: float = 0.0,
        copy_paste: float = 0.0,
    ) -> None:
        if flips not in get_args(Flips):
            raise ConfigError(f"flips={flips!r}: expected one of {', '.join(get_args(Flips))}")
        if multi_scale is not None and not (len(multi_scale) == 2 and 0.1 <= multi_scale[0] <= multi_scale[1] <= 10):
            raise ConfigError(f"multi_scale={multi_scale}: expected the smallest and the largest zoom, each 0.1..10")
        for name, chance in (("mosaic", mosaic), ("copy_paste", copy_paste)):
            if not 0 <= chance <= 1:
                raise ConfigError(f"{name}={chance}: expected a chance between 0 and 1")
        self.size_hw, self.seed, self.flips = size_hw, seed, flips
        self.mosaic, self.copy_paste = mosaic, copy_paste
        self._users = None if isinstance(augment, str) else UsersCompose(augment, size_hw)
        self._strength = _strength(augment) if isinstance(augment, str) else _Strength()
        if multi_scale is not None:
            self._strength = replace(self._strength, zoom=multi_scale)
        if self._users is not None or augment == "none":
            self.flips = "none"
        self._is_plain = self._strength == _Strength()

    def partners(self, n_pool: int, *, epoch: int, image_key: int) -> Partners:
        """Which of ``n_pool`` images this one is mixed with; itself may be among them."""
        if not n_pool or not (self.mosaic or self.copy_paste):
            return Partners((), None)
        rng = self._rng(epoch, image_key, stream=1)
        has_mosaic, has_paste = rng.random(2) < (self.mosaic, self.copy_paste)
        *others, paste = rng.integers(n_pool, size=4).tolist()
        return Partners(tuple(others) if has_mosaic else (), paste if has_paste else None)

    def __call__(
        self,
        picture: Picture,
        *,
        epoch: int,
        image_key: int,
        mosaic: Sequence[Picture] = (),
        paste: Picture | None = None,
    ) -> Picture:
        """Augment one image.

        Args:
            picture: the image as it is kept; not changed.
            epoch: 0, 1, …
            image_key: 64 bits that name the image, whatever its place in the manifest.
            mosaic: three others for a mosaic, or none.
            paste: another image whose objects are pasted in.

        Returns:
            A picture inside ``size_hw``, its boxes within its pixels.
        """
        rng = self._rng(epoch, image_key, stream=0)
        canvas = canvas_hw(picture.size_hw, self.size_hw)
        filled = None
        if mosaic:
            result = self._mosaic([picture, *mosaic], canvas, rng)
        elif not self._is_plain:
            result, filled = self._placed(picture, canvas, rng)
        else:
            result = picture if self._users is not None else fitted(picture, self.size_hw)
            result = objects_within(result, (0, 0, *result.pixels.shape[1::-1]))
        if paste is not None:
            result = self._with_pasted(result, paste, filled, rng)
        return result if self._users is None else self._users(result, rng)

    def _rng(self, epoch: int, image_key: int, *, stream: int) -> Generator:
        key = np.array([(self.seed << 24) ^ epoch, image_key], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))

    def _placed(
        self, picture: Picture, canvas: tuple[int, int], rng: Generator, *, zoom: float = 1.0
    ) -> tuple[Picture, Window]:
        """The picture zoomed, shifted, flipped and recoloured on a canvas, and the part of the canvas it fills."""
        strength = self._strength
        low, high = strength.zoom
        zoom *= math.exp(rng.uniform(math.log(low), math.log(high)))
        scale = fit_scale(picture.size_hw, self.size_hw) * zoom
        mirrored, upside_down, transposed = (rng.random(3) < 0.5).tolist()
        view = View(
            canvas,
            scale / picture.scale,
            transposed=transposed and self.flips == "all",
            mirrored=mirrored and self.flips != "none",
            upside_down=upside_down and self.flips == "all",
        )
        turned_hw = picture.pixels.shape[1::-1] if view.transposed else picture.pixels.shape[:2]
        offsets = []
        for n, side in zip(turned_hw, canvas, strict=True):
            # anywhere, as long as nothing is cut that has room; where it has little room, shifted all the same
            free = side - n * view.factor
            middle, reach = free / 2, max(abs(free) / 2, strength.shift * side)
            offsets.append(int(rng.integers(math.ceil(middle - reach), math.floor(middle + reach) + 1)))
        result, filled = shown(picture, replace(view, offset_yx=(offsets[0], offsets[1])))
        result.pixels[filled] = self._recoloured(result.pixels[filled], rng)
        return result, filled

    def _recoloured(self, pixels: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
        import cv2  # noqa: PLC0415

        strength = self._strength
        if self._is_plain:
            return pixels
        brightness, contrast, saturation, hue = rng.uniform(-1.0, 1.0, size=4).tolist()
        blurred = rng.random() < strength.blur
        matrix = _colour_matrix(
            brightness=strength.brightness * brightness,
            contrast=1 + strength.contrast * contrast,
            saturation=1 + strength.saturation * saturation,
            hue_degrees=strength.hue * hue,
        )
        pixels = np.asarray(cv2.transform(pixels, matrix), dtype=np.uint8)
        return np.asarray(cv2.GaussianBlur(pixels, (3, 3), 0), dtype=np.uint8) if blurred else pixels

    def _mosaic(self, pictures: Sequence[Picture], canvas: tuple[int, int], rng: Generator) -> Picture:
        """Four pictures around a random middle of the canvas; the first is the one that the result is of."""
        middle_y, middle_x = (round(side * rng.uniform(0.35, 0.65)) for side in canvas)
        cells = [(y, x) for y in ((0, middle_y), (middle_y, canvas[0])) for x in ((0, middle_x), (middle_x, canvas[1]))]
        pixels = np.full((*canvas, 3), GREY, dtype=np.uint8)
        boxes, ignore = [], []
        parts: list[Picture] = []
        for picture, which in zip(pictures, rng.permutation(4).tolist(), strict=True):
            (top, bottom), (left, right) = cells[which]
            part, _ = self._placed(picture, (bottom - top, right - left), rng, zoom=_MOSAIC_ZOOM)
            pixels[top:bottom, left:right] = part.pixels
            shift = np.array([left, top, left, top], dtype=np.float64)
            boxes.append(part.boxes_xyxy + shift)
            ignore.append(part.ignore_xyxy + shift)
            parts.append(part)
        labels = np.concatenate([part.label_ids for part in parts])
        return replace(
            parts[0],
            pixels=pixels,
            boxes_xyxy=np.concatenate(boxes),
            label_ids=labels,
            ignore_xyxy=np.concatenate(ignore),
        )

    def _with_pasted(self, picture: Picture, source: Picture, filled: Window | None, rng: Generator) -> Picture:
        """Objects of another picture, at about the zoom of this one, where they hide little of what is there."""
        zoom = picture.scale / fit_scale(picture.size_hw, self.size_hw)
        pixels, boxes, labels = picture.pixels.copy(), picture.boxes_xyxy, [picture.label_ids]
        window = (slice(0, pixels.shape[0]), slice(0, pixels.shape[1])) if filled is None else filled
        for which in rng.permutation(len(source.boxes_xyxy))[:_PASTED].tolist():
            factor = fit_scale(source.size_hw, self.size_hw) * zoom / source.scale * math.exp(rng.uniform(-0.2, 0.2))
            x1, y1, x2, y2 = source.boxes_xyxy[which].tolist()
            left, top = math.floor(x1), math.floor(y1)  # whole pixels are pasted, a little more than the box
            part = source.pixels[top : math.ceil(y2), left : math.ceil(x2)]
            patch = self._recoloured(scaled(part, factor), rng)
            box = (source.boxes_xyxy[which] - (left, top, left, top)) * factor
            place = _free_place(boxes, _room(part.shape[:2], factor), window, rng)
            if place is None or (box[2:] - box[:2]).min() < MIN_SIDE:
                continue
            y, x = place
            pixels[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
            boxes = np.concatenate([boxes, box[None] + (x, y, x, y)])
            labels.append(source.label_ids[which : which + 1])
        return replace(picture, pixels=pixels, boxes_xyxy=boxes, label_ids=np.concatenate(labels))


def _strength(augment: str) -> _Strength:
    if augment not in get_args(Augment):
        raise ConfigError(f"augment={augment!r}: expected one of {', '.join(get_args(Augment))} or a Compose")
    # in the few dozen epochs that a CPU affords, a network learns too little rather than by heart: on blood cells, the
    # zoom of "light" gave an mAP50 of .02 more than that of "standard"
    return _STRENGTHS["light" if augment == "auto" else augment]


def _room(size_hw: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Whole pixels for an object and its box, which may end within the last one."""
    return math.ceil(size_hw[0] * factor), math.ceil(size_hw[1] * factor)


def _free_place(
    boxes_xyxy: NDArray[np.float64], patch_hw: tuple[int, int], window: Window, rng: Generator
) -> tuple[int, int] | None:
    """Row and column in a window where a patch hides little of every box, or None."""
    low = [part.start for part in window]
    high = [part.stop - side + 1 for part, side in zip(window, patch_hw, strict=True)]
    if high[0] <= low[0] or high[1] <= low[1]:
        return None
    areas = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(1)
    for y, x in rng.integers(low, high, size=(_TRIES, 2)).tolist():
        patch = np.array([x, y, x + patch_hw[1], y + patch_hw[0]], dtype=np.float64)
        shared = np.minimum(boxes_xyxy[:, 2:], patch[2:]) - np.maximum(boxes_xyxy[:, :2], patch[:2])
        if (np.clip(shared, 0, None).prod(1) <= _COVERED * areas).all():
            return y, x
    return None


def _colour_matrix(*, brightness: float, contrast: float, saturation: float, hue_degrees: float) -> NDArray[np.float64]:
    """(3, 4): new RGB of (R, G, B, 1). Greys keep their hue and, but for brightness and contrast, their value."""
    angle = math.radians(hue_degrees)
    turn = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    turn[1:] *= saturation
    colours = contrast * _RGB_OF_YIQ @ turn @ _YIQ
    offset = (1 - contrast) * 127.5 + brightness * 255
    return np.concatenate([colours, np.full((3, 1), offset)], axis=1)
