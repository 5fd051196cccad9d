"""Files of the sample photos: camera-like names, EXIF orientations, JPEG quality, and damaged files."""

from __future__ import annotations

import io as buffers
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["FILE_NAMES", "FILE_PROBLEMS", "TURNS", "photo_bytes"]

FILE_NAMES = ("IMG_{:04d}.jpg", "DSC{:05d}.JPG", "PXL_2026{:04d}.jpg", "photo-{:d}.jpeg")
FILE_PROBLEMS = ("truncated", "empty", "not an image")
# Number of quarter turns of the pixels that the orientation tag undoes (EXIF 2.32, 4.6.4.A).
TURNS = {6: 1, 8: 3, 3: 2}

_EXIF_ORIENTATION = 0x0112
_NOT_AN_IMAGE = b"<html><head><title>403 Forbidden</title></head><body>You may not see this photo.</body></html>\n"


def photo_bytes(rng: Generator, pixels: NDArray[Any], *, turn: int = 1, problem: str = "") -> bytes:
    """Encode a photo's file.

    Args:
        rng: random generator, for the JPEG quality.
        pixels: (H, W, 3) uint8 RGB, upright.
        turn: the EXIF orientation to store, a key of `TURNS`; 1 is upright.
        problem: one of `FILE_PROBLEMS` damages the file; any other value does not.
    """
    from PIL import Image  # noqa: PLC0415 - heavy, and importing onlineml must stay quick

    if problem == "empty":
        return b""
    if problem == "not an image":
        return _NOT_AN_IMAGE
    exif = Image.Exif()
    if turn in TURNS:
        pixels = np.ascontiguousarray(np.rot90(pixels, TURNS[turn]))
        exif[_EXIF_ORIENTATION] = turn
    buffer = buffers.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(45, 95)), exif=exif)
    data = buffer.getvalue()
    return data[: len(data) * 2 // 3] if problem == "truncated" else data
