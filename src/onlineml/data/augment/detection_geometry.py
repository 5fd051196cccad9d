"""Geometry of images with boxes: fitting inside a size, storing for training, cropping, flipping and batching."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "GREY",
    "MIN_SIDE",
    "Picture",
    "View",
    "canvas_hw",
    "fit_inside",
    "fit_scale",
    "fitted",
    "keep_inside",
    "kept_hw",
    "kept_scale",
    "least_side",
    "objects_within",
    "pad_together",
    "padded_side",
    "scaled",
    "shown",
    "turned",
    "view_hw",
    "view_scale",
]

GREY = 114  # padding value of YOLOv5 and its successors: near the mean of photos
_STRIDE = 32  # a batch's sides are multiples of the coarsest stride of common networks
_SCALE = 1.25  # images are stored this much larger than they are shown, so that a zoomed image is still sharp
# visible fraction of its area below which a cropped object is ignored (as in YOLOX and common use of albumentations)
_MIN_VISIBLE = 0.2
MIN_SIDE = 2.0  # pixels: a narrower object shows too little of its class


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An image with its annotations.

    Attributes:
        pixels: (h, w, 3) uint8 RGB.
        boxes_xyxy: (n, 4) float64, in these pixels.
        label_ids: (n,) int64.
        ignore_xyxy: (k, 4) float64, regions that are neither object nor background.
        scale: these pixels per pixel of the upright original; nan after a custom augmentation.
        size_hw: height and width of the upright original.
    """

    pixels: NDArray[np.uint8]
    boxes_xyxy: NDArray[np.float64]
    label_ids: NDArray[np.int64]
    ignore_xyxy: NDArray[np.float64]
    scale: float
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """Placement of an image on a canvas: scaled by `factor`, turned, at an offset.

    Attributes:
        canvas_hw: height and width of the result.
        factor: new pixels per pixel.
        transposed: swap rows and columns, before the flips.
        mirrored: flip left and right.
        upside_down: flip top and bottom.
        offset_yx: position of the upper left corner of the whole (turned and scaled) image, in the canvas's pixels;
            negative if it is cropped.
    """

    canvas_hw: tuple[int, int]
    factor: float
    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False
    offset_yx: tuple[int, int] = (0, 0)


def fit_scale(size_hw: tuple[int, int], inside_hw: tuple[int, int]) -> float:
    """Return the factor by which an image of ``size_hw`` just fits inside ``inside_hw``."""
    return min(inside_hw[0] / size_hw[0], inside_hw[1] / size_hw[1])


def view_scale(original_hw: tuple[int, int], size_hw: tuple[int, int], tile_size: int | None = None) -> float:
    """Return the factor by which an upright original is scaled for a network's input of ``size_hw``.

    With tiles of that many pixels of an original, see `onlineml.data.augment.tiles.Tiles`, none is shrunk further than
    a tile, nor enlarged further than a tile or its own pixels; without, each just fits.
    """
    fits = fit_scale(original_hw, size_hw)
    return fits if tile_size is None else max(min(fits, 1.0), fit_scale((tile_size, tile_size), size_hw))


def view_hw(original_hw: tuple[int, int], size_hw: tuple[int, int], tile_size: int | None = None) -> tuple[int, int]:
    """Return the largest height and width of an image that was scaled by `view_scale`."""
    if tile_size is None:
        return size_hw
    scale = view_scale(original_hw, size_hw, tile_size)
    height, width = (max(1, math.floor(n * scale + 0.5)) for n in original_hw)
    return height, width


def kept_hw(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the maximum height and width of an image stored for training at ``size_hw``."""
    return math.ceil(_SCALE * size_hw[0]), math.ceil(_SCALE * size_hw[1])


def kept_scale(original_hw: tuple[int, int], size_hw: tuple[int, int], tile_size: int | None = None) -> float:
    """Return stored pixels per pixel of the upright original, for training at ``size_hw``; at most 1."""
    return min(1.0, view_scale(original_hw, kept_hw(size_hw), tile_size))


def least_side(size_hw: tuple[int, int], tile_size: int | None = None) -> int | None:
    """Return the pixels that the shorter side of an image must keep while it is decoded; None: all of them."""
    return min(kept_hw(size_hw)) if tile_size is None else None


def keep_inside(
    pixels: NDArray[np.uint8], original_hw: tuple[int, int], *, size_hw: tuple[int, int], tile_size: int | None = None
) -> NDArray[np.uint8]:
    """Shrink a decoded image to the scale at which it is stored for a network's input of ``size_hw``.

    Args:
        pixels: (h, w, 3) uint8, the upright image, possibly reduced by an integer factor in its decoder.
        original_hw: height and width of the upright original.
        size_hw: the network's input.
        tile_size: see `view_scale`.

    Returns:
        (h, w, 3) uint8 inside 1.25 times ``size_hw``, or with tiles inside 1.25 times their scale; a smaller image is
        not changed.
    """
    scale = kept_scale(original_hw, size_hw, tile_size)
    reduced = max(1, round(max(original_hw) / max(pixels.shape[:2])))
    if scale * reduced >= 1:
        return pixels
    height, width = view_hw(original_hw, kept_hw(size_hw), tile_size)
    return np.ascontiguousarray(scaled(pixels, scale * reduced)[:height, :width])


def fit_inside(
    pixels: NDArray[np.uint8],
    size_hw: tuple[int, int],
    *,
    original_hw: tuple[int, int] | None = None,
    tile_size: int | None = None,
) -> tuple[NDArray[np.uint8], float]:
    """Resize an image so that it just fits inside ``size_hw``, without cropping, at its aspect ratio.

    Args:
        pixels: (h, w, 3) uint8: an upright image or, with ``original_hw``, the result of `keep_inside`.
        size_hw: height and width of the network's input.
        original_hw: height and width of the upright original.
        tile_size: see `view_scale`; the image then may be larger than ``size_hw``.

    Returns:
        (h, w, 3) uint8, area-averaged when shrinking, bilinear when enlarging, at least 1 pixel per side; and its
        pixels per pixel of the original, the same in x and y.
    """
    have = 1.0 if original_hw is None else kept_scale(original_hw, size_hw, tile_size)
    full_hw = (pixels.shape[0], pixels.shape[1]) if original_hw is None else original_hw
    scale = view_scale(full_hw, size_hw, tile_size)
    height, width = view_hw(full_hw, size_hw, tile_size)
    return scaled(pixels, scale / have)[:height, :width], scale


def scaled(pixels: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """Scale by exactly ``factor`` in x and y; the last row or column may cover up to half a pixel more or less."""
    import cv2  # noqa: PLC0415

    if factor == 1.0:
        return pixels
    height, width = pixels.shape[:2]
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    size_wh = round(width * factor), round(height * factor)
    if min(size_wh) >= 1:  # given a size, OpenCV would scale x and y by slightly different factors
        return np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how), dtype=np.uint8)
    size_wh = max(1, size_wh[0]), max(1, size_wh[1])
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=how), dtype=np.uint8)


def canvas_hw(original_hw: tuple[int, int], size_hw: tuple[int, int], tile_size: int | None = None) -> tuple[int, int]:
    """Return height and width of the training image: those of the scaled image, rounded up as in its batch."""
    scale = view_scale(original_hw, size_hw, tile_size)
    height, width = (min(side, max(1, round(n * scale))) for n, side in zip(original_hw, size_hw, strict=True))
    return min(size_hw[0], padded_side(height)), min(size_hw[1], padded_side(width))


def pad_together(images: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Combine images to one batch, each at the upper left.

    Args:
        images: (h, w, 3) uint8 each.

    Returns:
        (B, H, W, 3) uint8, where H and W are the largest h and w rounded up to a multiple of 32; padding is grey.
    """
    height, width = (padded_side(max((image.shape[axis] for image in images), default=1)) for axis in (0, 1))
    batch = np.full((len(images), height, width, 3), GREY, dtype=np.uint8)
    for row, image in zip(batch, images, strict=True):
        row[: image.shape[0], : image.shape[1]] = image
    return batch


def padded_side(side: int) -> int:
    """Return a side of an image, rounded up to a multiple of 32 pixels as in a batch."""
    return -(-side // _STRIDE) * _STRIDE


def shown(picture: Picture, view: View) -> tuple[Picture, tuple[slice, slice]]:
    """Render an image in a view; also return the rows and columns of the canvas that it fills. The rest is grey.

    A box that is cropped to less than a fifth of its area, or to less than 2 pixels, becomes an ignored region.
    """
    import cv2  # noqa: PLC0415

    pixels, factor = picture.pixels, view.factor
    height, width = pixels.shape[:2]
    turned_hw = (width, height) if view.transposed else (height, width)
    (y, top, rows), (x, left, columns) = (
        _part(n, factor, offset, side)
        for n, offset, side in zip(turned_hw, view.offset_yx, view.canvas_hw, strict=True)
    )
    # the part is cropped before it is turned and scaled: that is faster, and keeps whole pixels
    first = [turned_hw[0] - rows.stop if view.upside_down else rows.start]
    first += [turned_hw[1] - columns.stop if view.mirrored else columns.start]
    y0, x0 = first[::-1] if view.transposed else first
    n_rows, n_columns = rows.stop - rows.start, columns.stop - columns.start
    part_hw = (n_columns, n_rows) if view.transposed else (n_rows, n_columns)
    part = pixels[y0 : y0 + part_hw[0], x0 : x0 + part_hw[1]]
    if view.transposed:
        part = np.asarray(cv2.transpose(part), dtype=np.uint8)
    if view.mirrored or view.upside_down:
        code = -1 if view.mirrored and view.upside_down else int(view.mirrored)
        part = np.asarray(cv2.flip(part, code), dtype=np.uint8)
    part = scaled(part, factor)[: view.canvas_hw[0] - y, : view.canvas_hw[1] - x]
    canvas = np.full((*view.canvas_hw, 3), GREY, dtype=np.uint8)
    filled = slice(y, y + part.shape[0]), slice(x, x + part.shape[1])
    canvas[filled] = part
    offset_xy = np.array([left, top], dtype=np.float64)
    boxes = turned(picture.boxes_xyxy, view, turned_hw) * factor + np.tile(offset_xy, 2)
    ignored = turned(picture.ignore_xyxy, view, turned_hw) * factor + np.tile(offset_xy, 2)
    scale = picture.scale * factor
    result = Picture(canvas, boxes, picture.label_ids, ignored, scale, picture.size_hw)
    return objects_within(result, (0, 0, *view.canvas_hw[::-1])), filled


def objects_within(picture: Picture, window_xyxy: tuple[float, float, float, float]) -> Picture:
    """Crop an image's boxes at a window's edges; those with too little left become ignored regions.

    Too little: less than a fifth of the box's area, or less than 2 pixels.
    """
    low, high = np.array(window_xyxy[:2] * 2, dtype=np.float64), np.array(window_xyxy[2:] * 2, dtype=np.float64)
    boxes, ignore = np.clip(picture.boxes_xyxy, low, high), np.clip(picture.ignore_xyxy, low, high)
    sides, before = boxes[:, 2:] - boxes[:, :2], picture.boxes_xyxy[:, 2:] - picture.boxes_xyxy[:, :2]
    keep = (sides >= MIN_SIDE).all(1) & (sides.prod(1) >= _MIN_VISIBLE * before.prod(1))
    ignore = np.concatenate([ignore, boxes[~keep]])
    ignore = ignore[(ignore[:, 2:] > ignore[:, :2]).all(1)]
    return replace(picture, boxes_xyxy=boxes[keep], label_ids=picture.label_ids[keep], ignore_xyxy=ignore)


def fitted(picture: Picture, size_hw: tuple[int, int], tile_size: int | None = None) -> Picture:
    """Scale a whole image as evaluation does, keeping every box, however small."""
    scale = view_scale(picture.size_hw, size_hw, tile_size)
    factor = scale / picture.scale
    height, width = view_hw(picture.size_hw, size_hw, tile_size)
    pixels = scaled(picture.pixels, factor)[:height, :width]
    boxes, ignore = picture.boxes_xyxy * factor, picture.ignore_xyxy * factor
    return replace(picture, pixels=pixels, boxes_xyxy=boxes, ignore_xyxy=ignore, scale=scale)


def _part(n: int, factor: float, offset: int, side: int) -> tuple[int, float, slice]:
    """Compute one axis: start of the part on the canvas, canvas position of the image's pixel 0, and the part."""
    start = min(n - 1, max(0, int(-offset / factor)))
    begin = min(side - 1, max(0, offset))
    stop = min(n, max(start + 1, start + math.ceil((side - begin) / factor)))
    return begin, begin - start * factor, slice(start, stop)


def turned(boxes_xyxy: NDArray[np.float64], view: View, turned_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Transform boxes to an image that is transposed, then flipped to ``turned_hw``."""
    boxes = boxes_xyxy[:, [1, 0, 3, 2]] if view.transposed else boxes_xyxy.copy()
    if view.mirrored:
        boxes[:, [0, 2]] = turned_hw[1] - boxes[:, [2, 0]]
    if view.upside_down:
        boxes[:, [1, 3]] = turned_hw[0] - boxes[:, [3, 1]]
    return boxes
