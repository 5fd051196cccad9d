"""Augmentation of images with boxes: zoom, shift, flips, colour, mosaic, copy-paste; depends on (seed, epoch, image).

It is implemented on OpenCV: for decoded images it takes a third of a millisecond, albumentations several, and it
distinguishes a box that is cropped away from one that never existed. A custom `Compose` is supported as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from onlineml.arguments.checks import number, one_of
from onlineml.data.augment.classification import Augment
from onlineml.data.augment.compose import UsersCompose
from onlineml.data.augment.detection_geometry import (
    GREY,
    MIN_SIDE,
    Picture,
    View,
    canvas_hw,
    fitted,
    objects_within,
    scaled,
    shown,
    turned,
    view_scale,
)
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from onlineml.data.augment.tiles import Tiles

__all__ = ["DetectionAugmenter", "Flips", "Partners"]

Flips = Literal["none", "horizontal", "all"]

_MOSAIC_ZOOM = 0.7  # times the usual zoom: a quarter of the canvas then shows about half of its image
_PASTED = 3  # maximum number of objects pasted from one partner
_TRIES = 10  # attempts to place each of them
_AROUND = 0.5  # fraction of the tiles that contain an object for certain: most of an aerial photo may be empty
_COVERED = 0.3  # fraction of another object that a pasted one may cover


Window = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, slots=True)
class _Strength:
    """Ranges of a named augmentation.

    Attributes:
        zoom: relative to the fitted size; log-uniform.
        shift: largest shift as a fraction of the canvas, in addition to the free space.
        brightness: largest change, as a fraction of white.
        contrast, saturation: largest relative change.
        hue: largest hue rotation, in degrees.
        blur: probability of a light blur.
    """

    zoom: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    blur: float = 0.0


# luma and the two colour differences of NTSC (Rec. 601), in which a rotation changes only the hue
_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB_OF_YIQ = np.linalg.inv(_YIQ)

_STRENGTHS: dict[str, _Strength] = {
    "none": _Strength(),
    "light": _Strength((0.8, 1.25), 0.05, 0.1, 0.1, 0.1),
    "standard": _Strength((0.6, 1.5), 0.1, 0.15, 0.25, 0.25),
    "strong": _Strength((0.4, 2.0), 0.2, 0.2, 0.35, 0.5, 15.0, 0.15),
}


class Partners(NamedTuple):
    """The other images that an image is combined with, as indices into the pool of the training images."""

    mosaic: tuple[int, ...]
    """Three, or none."""
    paste: int | None


class DetectionAugmenter:
    """Random augmentation of a training image and its boxes that depends only on (seed, epoch, image).

    Args:
        size_hw: maximum height and width of the result, in pixels.
        augment: ``"auto"`` (same as ``"light"``), ``"none"`` (fitted inside ``size_hw`` only), ``"light"`` (zoom,
            shift, flip, brightness, contrast, saturation), ``"standard"`` (larger ranges), ``"strong"`` (still larger
            ranges, hue, blur) or a custom `albumentations.Compose` with ``bbox_params`` of the format ``"pascal_voc"``.
        seed: the run's seed.
        flips: for all named augmentations except ``"none"``: ``"horizontal"``; ``"all"`` (also vertical and transposed,
            for images without an upright orientation, such as those of microscopes and satellites); or ``"none"`` (if
            left and right differ, as in text).
        multi_scale: smallest and largest zoom, relative to the fitted size; None uses the range of ``augment``. It is
            applied before a custom Compose, as are mosaic and pasted objects.
        mosaic: probability of combining four images.
        copy_paste: probability of pasting objects of another image.
        tiles: a random part of a larger image, at the scale of these, is shown instead of the whole; every second one
            around an object.

    Raises:
        ConfigError: an argument is invalid.
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
        tiles: Tiles | None = None,
    ) -> None:
        one_of("flips", flips, get_args(Flips))
        if multi_scale is not None:
            zooms = "the smallest and the largest zoom, each 0.1..10"
            ends = [*multi_scale] if np.shape(multi_scale) == (2,) else []
            for end in ends:
                number("multi_scale", end, zooms, least=0.1, most=10.0)
            if not ends or ends[0] > ends[1]:
                raise ConfigError(f"multi_scale={multi_scale}: expected {zooms}")
        self.size_hw, self.seed, self.flips, self.tiles = size_hw, seed, flips, tiles
        chance = "a probability between 0 and 1"
        self.mosaic = number("mosaic", mosaic, chance, least=0.0, most=1.0)
        self.copy_paste = number("copy_paste", copy_paste, chance, least=0.0, most=1.0)
        self._users = None if isinstance(augment, str) else UsersCompose(augment, size_hw)
        self._strength = _strength(augment) if isinstance(augment, str) else _Strength()
        if multi_scale is not None:
            self._strength = replace(self._strength, zoom=multi_scale)
        if self._users is not None or augment == "none":
            self.flips = "none"
        self._is_plain = self._strength == _Strength()

    def partners(self, n_pool: int, *, epoch: int, image_key: int) -> Partners:
        """Draw the images of a pool of size ``n_pool`` to combine this one with; the image itself may be among them."""
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
            picture: the stored image; not modified.
            epoch: 0, 1, …; of an image that is drawn several times in an epoch, the number of the draw.
            image_key: 64 bits that identify the image, independent of its position in the manifest.
            mosaic: three other images for a mosaic, or none.
            paste: another image whose objects are pasted.

        Returns:
            An image that fits inside ``size_hw``, with its boxes within its pixels.
        """
        rng = self._rng(epoch, image_key, stream=0)
        tile_size = self._tile_size
        if self.tiles is not None and self.tiles.shows_whole(epoch, picture.size_hw, self.size_hw):
            tile_size = None
        canvas = canvas_hw(picture.size_hw, self.size_hw, tile_size)
        filled = None
        if mosaic:
            result = self._mosaic([picture, *mosaic], canvas, rng)
        elif not self._is_plain or tile_size is not None:
            result, filled = self._placed(picture, canvas, rng, tile_size=tile_size)
        else:
            result = fitted(picture, self.size_hw) if self._users is None or self.tiles is not None else picture
            result = objects_within(result, (0, 0, *result.pixels.shape[1::-1]))
        if paste is not None:
            result = self._with_pasted(result, paste, filled, rng)
        return result if self._users is None else self._users(result, rng)

    def _rng(self, epoch: int, image_key: int, *, stream: int) -> Generator:
        key = np.array([(self.seed << 24) ^ epoch, image_key], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, stream]))

    @property
    def _tile_size(self) -> int | None:
        return None if self.tiles is None else self.tiles.size

    def _placed(
        self,
        picture: Picture,
        canvas: tuple[int, int],
        rng: Generator,
        *,
        zoom: float = 1.0,
        tile_size: int | None = None,
    ) -> tuple[Picture, Window]:
        """Zoom, shift, flip and recolour an image on a canvas; also return the part of the canvas that it fills."""
        strength = self._strength
        low, high = strength.zoom
        zoom *= math.exp(rng.uniform(math.log(low), math.log(high)))
        scale = view_scale(picture.size_hw, self.size_hw, tile_size) * zoom
        mirrored, upside_down, transposed = (rng.random(3) < 0.5).tolist()
        view = View(
            canvas,
            scale / picture.scale,
            transposed=transposed and self.flips == "all",
            mirrored=mirrored and self.flips != "none",
            upside_down=upside_down and self.flips == "all",
        )
        turned_hw = picture.pixels.shape[1::-1] if view.transposed else picture.pixels.shape[:2]
        near_yx = None if tile_size is None else _random_place(turned(picture.boxes_xyxy, view, turned_hw), rng)
        offsets = []
        for axis, (n, side) in enumerate(zip(turned_hw, canvas, strict=True)):
            # a uniform position without cropping if there is room; with little room, shifted nevertheless
            free = side - n * view.factor
            middle, reach = free / 2, max(abs(free) / 2, strength.shift * side)
            low, high = math.ceil(middle - reach), math.floor(middle + reach)
            if near_yx is not None:
                place = near_yx[axis] * view.factor
                low, high = max(low, min(high, math.ceil(-place))), min(high, max(low, math.floor(side - place)))
            offsets.append(int(rng.integers(low, high + 1)))
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
        """Combine four images around a random centre of the canvas; the result belongs to the first one."""
        middle_y, middle_x = (round(side * rng.uniform(0.35, 0.65)) for side in canvas)
        cells = [(y, x) for y in ((0, middle_y), (middle_y, canvas[0])) for x in ((0, middle_x), (middle_x, canvas[1]))]
        pixels = np.full((*canvas, 3), GREY, dtype=np.uint8)
        boxes, ignore = [], []
        parts: list[Picture] = []
        for picture, which in zip(pictures, rng.permutation(4).tolist(), strict=True):
            (top, bottom), (left, right) = cells[which]
            cell = (bottom - top, right - left)
            part, _ = self._placed(picture, cell, rng, zoom=_MOSAIC_ZOOM, tile_size=self._tile_size)
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
        """Paste objects of another image at about the zoom of this one, where they cover little of existing ones."""
        zoom = picture.scale / view_scale(picture.size_hw, self.size_hw, self._tile_size)
        pixels, boxes, labels = picture.pixels.copy(), picture.boxes_xyxy, [picture.label_ids]
        window = (slice(0, pixels.shape[0]), slice(0, pixels.shape[1])) if filled is None else filled
        for which in rng.permutation(len(source.boxes_xyxy))[:_PASTED].tolist():
            usual = view_scale(source.size_hw, self.size_hw, self._tile_size)
            factor = usual * zoom / source.scale * math.exp(rng.uniform(-0.2, 0.2))
            x1, y1, x2, y2 = source.boxes_xyxy[which].tolist()
            left, top = math.floor(x1), math.floor(y1)  # whole pixels are pasted, slightly more than the box
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


def _random_place(boxes_xyxy: NDArray[np.float64], rng: Generator) -> tuple[float, float] | None:
    """Return y and x of the centre of an object that a part of an image should contain; every second time None."""
    wanted, which = rng.random() < _AROUND, rng.random()
    if not len(boxes_xyxy) or not wanted:
        return None
    x1, y1, x2, y2 = boxes_xyxy[int(which * len(boxes_xyxy))].tolist()
    return (y1 + y2) / 2, (x1 + x2) / 2


def _strength(augment: str) -> _Strength:
    one_of("augment", augment, get_args(Augment), other="a Compose")
    # in the few dozen epochs that are feasible on a CPU, a network underfits rather than overfits: on blood cells, the
    # zoom of "light" gave an mAP50 .02 higher than that of "standard"
    return _STRENGTHS["light" if augment == "auto" else augment]


def _room(size_hw: tuple[int, ...], factor: float) -> tuple[int, int]:
    """Return the size in whole pixels of an object and its box, which may end within the last pixel."""
    return math.ceil(size_hw[0] * factor), math.ceil(size_hw[1] * factor)


def _free_place(
    boxes_xyxy: NDArray[np.float64], patch_hw: tuple[int, int], window: Window, rng: Generator
) -> tuple[int, int] | None:
    """Return the row and column in a window at which a patch covers little of every box, or None."""
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
    """Return the (3, 4) matrix from (R, G, B, 1) to the new RGB. Greys change only with brightness and contrast."""
    angle = math.radians(hue_degrees)
    turn = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
    turn[1:] *= saturation
    colours = contrast * _RGB_OF_YIQ @ turn @ _YIQ
    offset = (1 - contrast) * 127.5 + brightness * 255
    return np.concatenate([colours, np.full((3, 1), offset)], axis=1)
