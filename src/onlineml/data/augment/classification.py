"""Augmentation of single images, with built-in crops or albumentations, which only this module imports."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from onlineml.arguments.checks import one_of
from onlineml.data.augment.crop import CropAugment
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Augment", "Augmenter", "Flips", "fit_to_size", "kept_for_training", "limit_to_scale", "training_scale"]

Augment = Literal["auto", "none", "light", "standard", "strong"]
Flips = Literal["auto", "horizontal", "none"]

_SCALE = 1.25  # a crop of half of the area of an image stored at this scale is shown at 88 % of its full sharpness
_MAX_ASPECT = 2.0  # a longer image is cropped around its centre: no crop at the training scale would show its ends


class Augmenter:
    """Random augmentation of training images that depends only on (seed, epoch, image).

    Args:
        size_hw: height and width of the result, in pixels.
        augment: ``"auto"`` (same as ``"standard"``), ``"none"`` (resize and centre crop only), ``"light"`` (crop of at
            least 80 % of the area, flip), ``"standard"`` (crop of at least half of the area, flip, brightness,
            contrast), ``"strong"`` (crop of at least a third, flip, affine, colour, blur) or a custom
            `albumentations.Compose` whose result has the size ``size_hw``.
        seed: the run's seed.
        flips: whether half of the images are mirrored by a named augmentation other than ``"none"``.

    Raises:
        ConfigError: ``augment`` is none of these.
    """

    def __init__(
        self, size_hw: tuple[int, int], augment: Augment | Any = "auto", *, seed: int = 0, flips: bool = True
    ) -> None:
        self.size_hw = size_hw
        self.seed = seed
        self._is_users = not isinstance(augment, str)
        self.transform = _build(augment, size_hw, flips=flips) if isinstance(augment, str) else augment
        if self._is_users and not callable(getattr(augment, "set_random_state", None)):
            raise ConfigError(
                f"augment={augment!r}: expected one of {', '.join(get_args(Augment))} or an albumentations.Compose"
            )

        self._philox, self._random = np.random.Philox(key=0), random.Random(0)  # noqa: S311
        self._generator = np.random.Generator(self._philox)
        if self.transform is not None and not isinstance(self.transform, CropAugment):
            self.transform.set_random_state(self._generator, self._random)

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], *, epoch: int, image_keys: NDArray[np.uint64]
    ) -> NDArray[np.uint8]:
        """Augment the images of a batch independently of each other.

        Args:
            images: n images of (H, W, 3) uint8, of any sizes.
            epoch: 0, 1, …
            image_keys: (n,) uint64 that identify the images, independent of their position in the manifest.

        Returns:
            (n,) + ``size_hw`` + (3,) uint8.
        """
        batch = np.empty((len(images), *self.size_hw, 3), dtype=np.uint8)
        run_key = (self.seed << 24) ^ epoch
        if isinstance(self.transform, CropAugment):
            images_hw = np.array([pixels.shape[:2] for pixels in images], dtype=np.int64).reshape(-1, 2)
            crops = self.transform.draw(images_hw, run_key, image_keys)
            for pixels, crop, out in zip(images, crops, batch, strict=True):
                self.transform.apply(pixels, crop, out)
        elif self.transform is None:
            for pixels, out in zip(images, batch, strict=True):
                out[:] = fit_to_size(pixels, self.size_hw)
        else:
            for pixels, key, out in zip(images, image_keys.tolist(), batch, strict=True):
                out[:] = self._composed(pixels, run_key, key)
        return batch

    def _composed(self, pixels: NDArray[np.uint8], run_key: int, image_key: int) -> NDArray[np.uint8]:
        self._seed(run_key, image_key)
        self._random.seed(run_key ^ (image_key * 3))
        if self._is_users:  # it may work in place, and `pixels` may belong to the cache
            pixels = pixels.copy()
        result: NDArray[np.uint8] = self.transform(image=pixels)["image"]
        if result.shape != (*self.size_hw, 3) or result.dtype != np.uint8:
            raise ConfigError(
                f"augment= returned an image of shape {result.shape} and type {result.dtype}; expected "
                f"{(*self.size_hw, 3)} and uint8: end the Compose with a crop or a resize to {self.size_hw}, "
                "without Normalize and ToTensorV2 (the model normalises)"
            )
        return result

    def _seed(self, run_key: int, image_key: int) -> None:
        """Reset the random state: Philox accepts 128 bits directly, in 1 us; a new generator takes 20 us."""
        key, counter = np.array([run_key, image_key], dtype=np.uint64), np.zeros(4, dtype=np.uint64)
        self._philox.state = {
            "bit_generator": "Philox",
            "state": {"counter": counter, "key": key},
            "buffer": counter,
            "buffer_pos": 4,  # the buffer is empty
            "has_uint32": 0,
            "uinteger": 0,
        }


def _build(augment: str, size_hw: tuple[int, int], *, flips: bool) -> Any:
    """Return None, a `CropAugment`, or an `albumentations.Compose`."""
    one_of("augment", augment, get_args(Augment), other="an albumentations.Compose")
    p_flip = 0.5 if flips else 0.0
    if augment == "none":
        return None
    if augment == "light":
        return CropAugment(size_hw, least_area=0.8, p_flip=p_flip)
    if augment != "strong":
        return CropAugment(size_hw, least_area=0.5, light=0.25, p_light=0.8, p_flip=p_flip)
    a = _albumentations()
    return a.Compose(
        [
            a.RandomResizedCrop(size_hw, scale=(0.33, 1.0), ratio=(0.8, 1.25)),
            a.HorizontalFlip(p=p_flip),
            a.Affine(rotate=(-15, 15), shear=(-8, 8), translate_percent=0.05, border_mode=4, p=0.5),
            a.ColorJitter(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.03, p=0.8),
            a.GaussianBlur(blur_limit=(3, 5), p=0.1),
        ]
    )


def _albumentations() -> Any:
    """Import albumentations without the online check for updates that its import would make."""
    name = "NO_ALBUMENTATIONS_UPDATE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        import albumentations  # noqa: PLC0415
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
    return albumentations


def fit_to_size(pixels: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an image to cover ``size_hw`` and crop the excess evenly on both sides.

    Args:
        pixels: (H, W, 3) uint8.
        size_hw: height and width of the result.

    Returns:
        ``size_hw`` + (3,) uint8; area-averaged when shrinking, bilinear when enlarging.
    """
    import cv2  # noqa: PLC0415

    height, width = pixels.shape[:2]
    scale = max(size_hw[0] / height, size_hw[1] / width)
    cut_h, cut_w = (min(have, max(1, round(want / scale))) for have, want in zip((height, width), size_hw, strict=True))
    top, left = (height - cut_h) // 2, (width - cut_w) // 2
    middle = pixels[top : top + cut_h, left : left + cut_w]
    if middle.shape[:2] == size_hw:
        return middle
    if scale < 1:
        return _shrink(middle, (size_hw[1], size_hw[0]))
    return np.asarray(cv2.resize(middle, (size_hw[1], size_hw[0]), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _shrink(pixels: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink almost as area averaging does, in half of OpenCV's time, which is fast only for integer factors.

    The image is resized bilinearly to the nearest integer multiple of the target size, which is at most half as large
    again as the image, then averaged. On photos the result differs from exact averaging by a third of a grey level;
    stripes one pixel wide lose as much contrast.
    """
    import cv2  # noqa: PLC0415

    height, width = pixels.shape[:2]
    times = max(1, round(min(width / size_wh[0], height / size_wh[1])))
    multiple = (size_wh[0] * times, size_wh[1] * times)
    if multiple != (width, height):
        pixels = np.asarray(cv2.resize(pixels, multiple, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    if times == 1:
        return pixels
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def training_scale(size_hw: tuple[int, int]) -> int:
    """Return the shorter side in pixels at which images are stored for a network's input of ``size_hw``."""
    return round(_SCALE * max(size_hw))


def kept_for_training(pixels: NDArray[np.uint8], size_hw: tuple[int, int], *, whole: bool) -> NDArray[np.uint8]:
    """Return an image as it is stored for a network's input of ``size_hw``.

    Args:
        pixels: (H, W, 3) uint8.
        size_hw: height and width of the input.
        whole: stretch the image to the input's shape, so that nothing of it is cropped; else keep its shape.
    """
    if not whole:
        return limit_to_scale(pixels, training_scale(size_hw))
    share = min(_SCALE, max(have / want for have, want in zip(pixels.shape, size_hw, strict=False)))
    height, width = (max(1, round(share * side)) for side in size_hw)
    return pixels if pixels.shape[:2] == (height, width) else _shrink(pixels, (width, height))


def limit_to_scale(pixels: NDArray[np.uint8], short_side: int) -> NDArray[np.uint8]:
    """Shrink an image to the scale at which it is stored for training; a smaller image is not changed.

    Args:
        pixels: (H, W, 3) uint8.
        short_side: target length of the shorter side in pixels.

    Returns:
        (h, w, 3) uint8 with min(h, w) <= short_side and max(h, w) <= 2 * min(h, w).
    """
    height, width = pixels.shape[:2]
    longest = int(min(height, width) * _MAX_ASPECT)
    if max(height, width) > longest:
        pixels = fit_to_size(pixels, (min(height, longest), min(width, longest)))
        height, width = pixels.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return pixels
    size_wh = (max(short_side, round(width * scale)), max(short_side, round(height * scale)))
    return _shrink(pixels, size_wh)
