"""Built-in augmentations for classification: crop, flip, and brightness and contrast.

They are implemented on OpenCV and draw random numbers for a whole batch at once: a `Compose` of the same steps takes
several times as long, and the loader competes with the network for the same processor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Crop", "CropAugment"]

_TRIES = 10  # attempts to find a crop of the drawn area and aspect ratio inside the image
_RATIO = 1.25  # largest aspect ratio, in either direction


class Crop(NamedTuple):
    """Parameters of one image's augmentation."""

    top: int
    left: int
    height: int
    width: int
    """The cropped region, in pixels."""
    mirrored: bool
    """Mirror horizontally."""
    contrast: float
    """Factor for every pixel value."""
    brightness: float
    """Offset added after the contrast, as a fraction of white."""


@dataclass(frozen=True, slots=True)
class CropAugment:
    """Crop of random area, aspect ratio and position (Szegedy et al. 2015), flip, brightness and contrast.

    Attributes:
        size_hw: height and width of the result, in pixels.
        least_area: area of the smallest crop, as a fraction of the image's area.
        light: largest change of brightness (fraction of white) and of contrast (relative).
        p_light: probability of that change.
        p_flip: probability of mirroring.
    """

    size_hw: tuple[int, int]
    least_area: float
    light: float = 0.0
    p_light: float = 0.0
    p_flip: float = 0.5

    def draw(self, images_hw: NDArray[np.int64], run_key: int, image_keys: NDArray[np.uint64]) -> list[Crop]:
        """Draw the augmentation of each image of a batch, a function of its height and width and of both keys only.

        Args:
            images_hw: (n, 2) int64.
            run_key: 64 bits that identify the run and the epoch.
            image_keys: (n,) uint64.
        """
        height, width = images_hw[:, :1].astype(np.float64), images_hw[:, 1:].astype(np.float64)
        drawn = _uniform(run_key, image_keys, 6 + 2 * _TRIES)
        area = height * width * (self.least_area + (1 - self.least_area) * drawn[:, 6 : 6 + _TRIES])
        ratio = _RATIO ** (2 * drawn[:, 6 + _TRIES :] - 1)
        # the last candidate, for a long image: as much of it as the aspect ratio allows
        tall = np.minimum(height, np.maximum(1, np.rint(width * _RATIO)))
        wide = np.minimum(width, np.maximum(1, np.rint(height * _RATIO)))
        h = np.concatenate([np.rint(np.sqrt(area / ratio)), tall], axis=1)
        w = np.concatenate([np.rint(np.sqrt(area * ratio)), wide], axis=1)
        first = ((h > 0) & (h <= height) & (w > 0) & (w <= width)).argmax(axis=1)[:, None]
        h, w = np.take_along_axis(h, first, axis=1), np.take_along_axis(w, first, axis=1)
        place = (drawn[:, :2] * (np.concatenate([height - h, width - w], axis=1) + 1)).astype(np.int64)
        reach = np.where(drawn[:, 3:4] < self.p_light, self.light, 0.0)
        change = reach * (2 * drawn[:, 4:6] - 1)
        columns = (place[:, 0], place[:, 1], h[:, 0].astype(np.int64), w[:, 0].astype(np.int64),
                   drawn[:, 2] < self.p_flip, 1 + change[:, 0], change[:, 1])  # fmt: skip
        return [Crop(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]

    def apply(self, pixels: NDArray[np.uint8], crop: Crop, out: NDArray[np.uint8]) -> None:
        """Augment (H, W, 3) uint8 into ``out``, contiguous ``size_hw`` + (3,) uint8, bilinear."""
        import cv2  # noqa: PLC0415

        part = pixels[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        cv2.resize(part, self.size_hw[::-1], dst=out, interpolation=cv2.INTER_LINEAR)
        if crop.mirrored:
            cv2.flip(out, 1, dst=out)
        if crop.contrast != 1.0 or crop.brightness != 0.0:
            cv2.addWeighted(out, crop.contrast, out, 0.0, 255 * crop.brightness, dst=out)


def _uniform(run_key: int, image_keys: NDArray[np.uint64], n: int) -> NDArray[np.float64]:
    """Draw (len(image_keys), n) float64 in [0, 1) with SplitMix64 (Steele, Lea, Flood 2014), one stream per key pair.

    The whole batch is drawn at once: resetting a generator for each image took as long as the crop itself.
    """
    step = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio
    start = _mixed(image_keys ^ _mixed(np.array([run_key], dtype=np.uint64) + step))
    drawn = _mixed(start[:, None] + step * np.arange(1, n + 1, dtype=np.uint64)) >> np.uint64(11)
    return drawn * np.float64(2.0**-53)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply SplitMix64's finalizer: every bit of the result depends on every bit of ``z``."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
