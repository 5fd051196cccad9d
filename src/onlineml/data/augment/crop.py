"""The named augmentations of classification that are a crop, a flip and a change of brightness and contrast.

Own code on OpenCV, which draws for a whole batch at once: a `Compose` of the same steps takes several times as long,
and what the loader takes, a network on the same processor does without.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Crop", "CropAugment"]

_TRIES = 10  # to find a crop of the drawn area and shape inside the image
_RATIO = 1.25  # of width to height, at most, either way


class Crop(NamedTuple):
    """What happens to one image."""

    top: int
    left: int
    height: int
    width: int
    """The part that is shown, in pixels."""
    mirrored: bool
    """Left becomes right."""
    contrast: float
    """Factor of every grey level."""
    brightness: float
    """Added then, as a share of white."""


@dataclass(frozen=True, slots=True)
class CropAugment:
    """A crop of random area, shape and place (Szegedy et al. 2015), a flip, and brightness and contrast.

    Attributes:
        size_hw: height and width of the result, in pixels.
        least_area: share of the image's area that the smallest crop shows.
        light: largest change of brightness (of white) and of contrast (relative).
        p_light: chance of that change.
    """

    size_hw: tuple[int, int]
    least_area: float
    light: float = 0.0
    p_light: float = 0.0

    def draw(self, images_hw: NDArray[np.int64], run_key: int, image_keys: NDArray[np.uint64]) -> list[Crop]:
        """What happens to each image of a batch, a function of its height and width and of both keys alone.

        Args:
            images_hw: (n, 2) int64.
            run_key: 64 bits that name the run and the epoch.
            image_keys: (n,) uint64.
        """
        height, width = images_hw[:, :1].astype(np.float64), images_hw[:, 1:].astype(np.float64)
        drawn = _uniform(run_key, image_keys, 6 + 2 * _TRIES)
        area = height * width * (self.least_area + (1 - self.least_area) * drawn[:, 6 : 6 + _TRIES])
        ratio = _RATIO ** (2 * drawn[:, 6 + _TRIES :] - 1)
        # last, for a long picture: as much of it as its shape allows
        tall = np.minimum(height, np.maximum(1, np.rint(width * _RATIO)))
        wide = np.minimum(width, np.maximum(1, np.rint(height * _RATIO)))
        h = np.concatenate([np.rint(np.sqrt(area / ratio)), tall], axis=1)
        w = np.concatenate([np.rint(np.sqrt(area * ratio)), wide], axis=1)
        first = ((h > 0) & (h <= height) & (w > 0) & (w <= width)).argmax(axis=1)[:, None]
        h, w = np.take_along_axis(h, first, axis=1), np.take_along_axis(w, first, axis=1)
        place = (drawn[:, :2] * (np.concatenate([height - h, width - w], axis=1) + 1)).astype(np.int64)
        reach = np.where(drawn[:, 3:4] < self.p_light, self.light, 0.0)
        change = reach * (2 * drawn[:, 4:6] - 1)
        columns = (place[:, 0], place[:, 1], h[:, 0].astype(np.int64), w[:, 0].astype(np.int64), drawn[:, 2] < 0.5,
                   1 + change[:, 0], change[:, 1])  # fmt: skip
        return [Crop(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def apply(self, pixels: NDArray[np.uint8], crop: Crop, out: NDArray[np.uint8]) -> None:
        """(H, W, 3) uint8 -> ``out``, contiguous ``size_hw`` + (3,) uint8, bilinear."""
        import cv2  # noqa: PLC0415

        part = pixels[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        cv2.resize(part, self.size_hw[::-1], dst=out, interpolation=cv2.INTER_LINEAR)
        if crop.mirrored:
            cv2.flip(out, 1, dst=out)
        if crop.contrast != 1.0 or crop.brightness != 0.0:
            cv2.addWeighted(out, crop.contrast, out, 0.0, 255 * crop.brightness, dst=out)


def _uniform(run_key: int, image_keys: NDArray[np.uint64], n: int) -> NDArray[np.float64]:
    """(len(image_keys), n) float64 in [0, 1) by SplitMix64 (Steele, Lea, Flood 2014), a stream for each pair of keys.

    All of a batch at once: setting a generator anew for each image took as long as cutting it out.
    """
    step = np.uint64(0x9E3779B97F4A7C15)  # the golden ratio, as a share of 2**64
    start = _mixed(image_keys ^ _mixed(np.array([run_key], dtype=np.uint64) + step))
    drawn = _mixed(start[:, None] + step * np.arange(1, n + 1, dtype=np.uint64)) >> np.uint64(11)
    return drawn * np.float64(2.0**-53)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer: every bit of the result hangs on every bit of ``z``."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
