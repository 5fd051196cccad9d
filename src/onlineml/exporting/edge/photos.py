"""Photos as the model was trained on them: read upright as 8-bit RGB, and brought to the size of its input."""

from typing import Any

import numpy as np
from PIL import Image

Pixels = Any  # (height, width, 3) uint8


def read(path: str, least: int) -> tuple[Pixels, tuple[int, int]]:
    """Return upright RGB, reduced while its shorter side keeps `least` pixels, and height and width of the whole."""
    with Image.open(path) as image:
        (width, height), is_jpeg, exif = image.size, image.format in {"JPEG", "MPO"}, Image.Exif()
        times = next((n for n in (8, 4, 2) if min(width, height) // n >= least), 1)
        if is_jpeg:
            image.draft(image.mode, (width // times, height // times))
        image.load()
        try:
            exif.load(image.info.get("exif", b""))
            turn = int(exif.get(274, 1)) if image.format != "TIFF" else 1  # Pillow turns a TIFF upright itself
        except (SyntaxError, ValueError, TypeError, KeyError, OSError):  # broken: it says nothing
            turn = 1
        pixels = rgb(image)
        height, width = pixels.shape[:2] if image.format == "TIFF" else (height, width)
    if not is_jpeg and width * height > 1_000_000:
        pixels = np.asarray(Image.fromarray(pixels).reduce(times))
    pixels = pixels.transpose(1, 0, 2) if turn in {5, 6, 7, 8} else pixels
    pixels = pixels[:: -1 if turn in {3, 4, 7, 8} else 1, :: -1 if turn in {2, 3, 6, 7} else 1]
    return pixels, (width, height) if turn in {5, 6, 7, 8} else (height, width)


def rgb(image: Image.Image) -> Pixels:
    """Return 8 bits of 16, and what is transparent on white."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return np.stack([((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)] * 3, axis=2)
    if image.mode in {"I", "F"}:
        raise ValueError("samples of 32 bits have no defined range; convert the image to 8 or 16 bits")
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA")).astype(np.uint16)
    return ((rgba[:, :, :3] * rgba[:, :, 3:] + 255 * (255 - rgba[:, :, 3:]) + 127) // 255).astype(np.uint8)


def resized(pixels: Pixels, size_hw: Any, *, mean: bool, step: float = 0.0) -> Pixels:
    """Resize by the mean of each area, or bilinearly; `step` is the width of a new pixel, else the size decides."""
    values = pixels.astype(np.float64)
    for axis, n in ((1, size_hw[1]), (0, size_hw[0])):
        wide = step or values.shape[axis] / n
        places = np.arange(n + 1) * wide if mean else np.arange(n) * wide + wide / 2 - 0.5
        values = np.insert(values.cumsum(axis), 0, 0, axis) if mean else values
        places = np.clip(places, 0, values.shape[axis] - 1)
        low, high = places.astype(int), np.minimum(places.astype(int) + 1, values.shape[axis] - 1)
        share = np.expand_dims(places - low, (1 - axis, 2))
        share = share if mean else np.round(share * 2048) / 2048  # OpenCV's precision of bilinear weights
        parts = values.take(low, axis) * (1 - share), values.take(high, axis) * share
        if axis == 0 and not mean:  # and of the second sum: quarters of a grey level
            parts = np.floor(4 * parts[0]) / 4, np.floor(4 * parts[1]) / 4
        values = parts[0] + parts[1]
        values = np.diff(values, axis=axis) / np.expand_dims(np.diff(places), (1 - axis, 2)) if mean else values
    return np.floor(values + 0.5).astype(np.uint8)  # halves go up, as where OpenCV averages 2 x 2 pixels


def stretched(pixels: Pixels, size_hw: Any) -> Pixels:
    """Resize bilinearly to the nearest multiple of the size, then by means."""
    times = max(1, round(min(have / want for have, want in zip(pixels.shape, size_hw))))
    return resized(resized(pixels, [times * side for side in size_hw], mean=False), size_hw, mean=True)


def covering(pixels: Pixels, size_hw: Any) -> Pixels:
    """Cut the middle that has the shape of the size, and resize it."""
    scale = max(want / have for want, have in zip(size_hw, pixels.shape))
    height, width = (min(have, max(1, round(want / scale))) for want, have in zip(size_hw, pixels.shape))
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return stretched(pixels[top : top + height, left : left + width], size_hw)
