"""The memory and time that decoding an image takes, known from its header.

The figures were measured at the limits, on noise: bytes at the peak for each pixel, and the number of pixels that one
core decodes in about five seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onlineml.errors import BadImageError

if TYPE_CHECKING:
    from onlineml.data.images.headers import JpegHeader

__all__ = ["MAX_BYTES", "MAX_PIXELS", "check_cost", "needed_bytes", "reduction"]

MAX_BYTES = 500_000_000  # a file may take this much memory while it is decoded, the result included
MAX_PIXELS = 200_000_000  # the largest sensors of phones; a decompression bomb declares far more

_BYTES = {"WEBP": 20.0, "AVIF": 20.0, "JPEG2000": 20.0}
_OTHERS_BYTES = 7.5  # Pillow's 4 bytes and the 3 of the result
_MOST_PIXELS = {"JPEG2000": 12_000_000}
_MOST_PROGRESSIVE = {3: 100_000_000, 4: 40_000_000}  # by the number of channels


def reduction(width: int, height: int, min_side: int | None) -> int:
    """Return the largest of 1, 2, 4, 8 by which an image may be divided so that its shorter side keeps `min_side`."""
    if min_side is None:
        return 1
    short = min(width, height)
    return next((d for d in (8, 4, 2) if short // d >= max(min_side, 1)), 1)


def needed_bytes(
    size_wh: tuple[int, int], format_name: str, header: JpegHeader | None = None, *, min_side: int | None = None
) -> float:
    """Return the bytes that decoding takes at its peak.

    A JPEG is reduced while it is decoded. One that is progressive keeps the coefficients of the whole picture.
    """
    n = size_wh[0] * size_wh[1]
    if format_name != "JPEG":
        return n * _BYTES.get(format_name, _OTHERS_BYTES)
    reduced = n / reduction(*size_wh, min_side) ** 2
    if header is None:
        return reduced * _OTHERS_BYTES
    decoded = reduced * (6.0 if header.plain else _OTHERS_BYTES)
    return (
        max(decoded, 2 * n * header.samples_per_pixel + reduced * header.n_channels) if header.progressive else decoded
    )


def check_cost(
    size_wh: tuple[int, int],
    format_name: str,
    header: JpegHeader | None = None,
    *,
    min_side: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Refuse an image that would take too much memory or time, before any of either is spent.

    Raises:
        BadImageError: `finding` is ``"empty"`` (no pixels) or ``"oversized"``.
    """
    width, height = size_wh
    if width <= 0 or height <= 0:
        raise BadImageError("empty", f"the declared size is {width} x {height} pixels")
    most = min(max_pixels, _MOST_PIXELS.get(format_name, MAX_PIXELS))
    if header is not None and header.progressive:
        most = min(most, _MOST_PROGRESSIVE[4 if header.n_channels > 3 else 3])
    declared = f"the file declares {width} x {height} pixels"
    if width * height > most:
        raise BadImageError("oversized", f"{declared}; at most {most:,} are allowed in a file of this kind")
    needed = needed_bytes(size_wh, format_name, header, min_side=min_side)
    if needed > MAX_BYTES:
        detail = f"{declared}, and decoding them takes about {needed / 1e6:,.0f} MB"
        raise BadImageError("oversized", f"{detail}; at most {MAX_BYTES / 1e6:,.0f} MB are used for an image")
