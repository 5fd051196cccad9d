"""Drawing of detection photos: several objects of different classes on one background, with their exact boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.data.samples.objects import CLASS_NAMES, make_patch
from onlineml.data.samples.scenes import bare_ground, camera, clutter, drop

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from onlineml.data.samples.objects import Patch

__all__ = ["SHAPES", "Group", "draw_group"]

# Height and width of a photo by shape, relative to its short side, which is drawn first.
SHAPES = {
    "square": (1.0, 1.0),
    "landscape": (1.0, 1.33),
    "portrait": (1.33, 1.0),
    "wide": (1.0, 6.0),
    "tall": (5.0, 1.0),
}
_SHARES = (0.24, 0.19, 0.16, 0.22, 0.19)  # of the objects, per class; real collections are rarely balanced
_OVER_EDGE = 0.12  # share of objects cut by the photo's edge, unless the caller asks for one
_MOST_COVERED = 0.12  # fraction of an object that those above it may hide
_TRIES = 25  # positions tried for an object; in a full photo it is omitted
_TINY = 0.16  # scale of tiny photos, which are reduced at the end, like thumbnails


@dataclass(frozen=True)
class Group:
    """A photo and its objects.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        labels: the class of each object.
        boxes_xyxy: (n, 4) boxes of the visible part of each object, in pixels.
        whole_xyxy: (n, 4) boxes of the whole objects, including parts beyond the photo's edges.
    """

    pixels: NDArray[np.uint8]
    labels: list[str]
    boxes_xyxy: NDArray[np.float64]
    whole_xyxy: NDArray[np.float64]


@dataclass
class _Table:
    """Index of the object visible at each pixel (0: none), (H, W); with labels, boxes and areas of the objects."""

    owner: NDArray[np.int32]
    labels: list[str] = field(default_factory=list)
    whole_xyxy: list[tuple[int, int, int, int]] = field(default_factory=list)
    areas: list[int] = field(default_factory=list)


def draw_group(rng: Generator, *, shape: str, n_objects: int, tiny: bool = False, over_edge: bool = False) -> Group:
    """Draw one photo with up to `n_objects` objects.

    Args:
        rng: random generator.
        shape: one of `SHAPES`.
        n_objects: maximum number of objects; there are fewer if there is no room. The first always finds a place.
        tiny: reduce the photo to a thumbnail of 30 to 60 pixels.
        over_edge: the photo's edge cuts the first object.
    """
    tall, wide = SHAPES[shape]
    long = max(tall, wide) > 2
    short = int(rng.integers(*((90, 140) if long else (200, 300))))
    height, width = round(short * tall), round(short * wide)
    scene, light = bare_ground(rng, height, width)
    clutter(rng, scene, light)
    table = _Table(np.zeros((height, width), np.int32))
    for number in range(n_objects):
        label = str(rng.choice(CLASS_NAMES, p=_SHARES))
        # log-uniform sizes; in a tiny or very long photo only those that are still recognizable
        low, high = (0.22, 0.36) if tiny or long else (0.11, 0.3)
        patch = make_patch(rng, label, short * float(np.exp(rng.uniform(np.log(low), np.log(high)))))
        cut = (over_edge and number == 0) or (not tiny and rng.random() < _OVER_EDGE)
        corner = _place(rng, table, patch.mask > 0.5, cut=cut)
        if corner is not None:
            drop(scene, patch, corner=corner, light=light)
            _lay(table, patch, label, corner)
    if rng.random() < 0.3:
        clutter(rng, scene, light)  # some of it covers the objects
    pixels, scale = camera(rng, scene, light), (1.0, 1.0)
    if tiny:
        pixels, scale = _shrink(pixels)
    return _group(table, pixels, scale)


def _place(rng: Generator, table: _Table, mask: NDArray[np.bool_], *, cut: bool) -> tuple[int, int] | None:
    """Return a corner (y, x) at which the patch hides little of the other objects; None if none was found."""
    top, left, bottom, right = _extent(mask)
    height, width = table.owner.shape
    for _ in range(_TRIES):
        y = int(rng.integers(-top, max(height - bottom, -top) + 1))
        x = int(rng.integers(-left, max(width - right, -left) + 1))
        if cut:  # a tenth to a third of it is outside the photo
            beyond = rng.uniform(0.1, 0.33)
            over_y, over_x = round(beyond * (bottom - top)), round(beyond * (right - left))
            side = int(rng.integers(4))
            y = (-top - over_y, y, height - bottom + over_y, y)[side]
            x = (x, -left - over_x, x, width - right + over_x)[side]
        rows, cols, inside = _window(table.owner, mask.shape[0], (y, x))
        hidden = np.bincount(table.owner[rows, cols][mask[inside]], minlength=len(table.areas) + 1)[1:]
        if (hidden <= _MOST_COVERED * np.asarray(table.areas)).all():
            return y, x
    return None


def _lay(table: _Table, patch: Patch, label: str, corner: tuple[int, int]) -> None:
    mask = patch.mask > 0.5
    rows, cols, inside = _window(table.owner, mask.shape[0], corner)
    table.labels.append(label)
    table.owner[rows, cols][mask[inside]] = len(table.labels)
    table.areas.append(int(mask[inside].sum()))
    top, left, bottom, right = _extent(mask)
    table.whole_xyxy.append((corner[1] + left, corner[0] + top, corner[1] + right, corner[0] + bottom))


def _window(owner: NDArray[Any], side: int, corner: tuple[int, int]) -> tuple[slice, slice, tuple[slice, slice]]:
    """Return the rows and columns of the photo that a patch covers, and the same part of the patch."""
    (y, x), (height, width) = corner, owner.shape
    rows, cols = slice(max(y, 0), min(y + side, height)), slice(max(x, 0), min(x + side, width))
    return rows, cols, (slice(rows.start - y, rows.stop - y), slice(cols.start - x, cols.stop - x))


def _extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return top, left, bottom and right of the set pixels, the last two exclusive."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def _shrink(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """Return a thumbnail, and its scale factors (vertical, horizontal)."""
    import cv2  # noqa: PLC0415 - heavy, and importing onlineml must stay fast

    height, width = pixels.shape[:2]
    small_h, small_w = round(height * _TINY), round(width * _TINY)
    small = cv2.resize(pixels, (small_w, small_h), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), (small_h / height, small_w / width)


def _group(table: _Table, pixels: NDArray[np.uint8], scale: tuple[float, float]) -> Group:
    boxes = []
    for number in range(1, len(table.labels) + 1):
        top, left, bottom, right = _extent(table.owner == number)
        boxes.append((left, top, right, bottom))
    factors = np.array((scale[1], scale[0], scale[1], scale[0]))
    seen, whole = (np.array(given, np.float64).reshape(-1, 4) * factors for given in (boxes, table.whole_xyxy))
    return Group(pixels, table.labels, seen, whole)
