"""The memory and time that decoding an image takes, known from its header, or counted while it is read.

The figures were measured at the limits, on noise: bytes at the peak for each pixel, and the number of pixels that one
core decodes in about five seconds. Time is counted in units of work, so that the same files are refused everywhere.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from onlineml.data.images.headers import longest_tag, scan_count
from onlineml.errors import BadImageError

if TYPE_CHECKING:
    from onlineml.data.images.headers import JpegHeader

__all__ = ["MAX_BYTES", "MAX_PIXELS", "MeteredBytes", "check_cost", "check_numbers", "needed_bytes", "reduction"]

MAX_BYTES = 500_000_000  # a file may take this much memory while it is decoded, the result included
MAX_PIXELS = 200_000_000  # the largest sensors of phones; a decompression bomb declares far more

_BYTES = {"WEBP": 20.0, "AVIF": 20.0, "JPEG2000": 20.0}
_OTHERS_BYTES = 7.5  # Pillow's 4 bytes and the 3 of the result
_MOST_PIXELS = {"JPEG2000": 8_000_000}
_MOST_IN_TEXT = 2_000_000  # pixels of a PPM, PGM or PBM in text
_MOST_SCANNED = 3_000_000_000  # pixels times scans of a JPEG; scans without content take .2 ns a pixel
_MOST_READS = 1_000_000  # Pillow reads some kinds in Python, by chunk, run or pixel: up to 4 us each
_MOST_NUMBERS = 300_000  # in a tag of a TIFF: 14 us for the place of a tile
_MOST_PROGRESSIVE = {3: 100_000_000, 4: 40_000_000}  # by the number of channels


class MeteredBytes(io.BytesIO):
    """A file's content that refuses to be read in too many pieces: each takes time in Python."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as a file does.

        Raises:
            BadImageError: `finding` is ``"oversized"``.
        """
        self._reads += 1
        if self._reads > _MOST_READS:
            raise BadImageError("oversized", f"the file consists of more than {_MOST_READS:,} pieces")
        return super().read(size)


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
    data: bytes = b"",
) -> None:
    """Refuse an image that would take too much memory or time, before any of either is spent.

    Args:
        size_wh: width and height that it declares.
        format_name: see `onlineml.data.images.headers.sniff`.
        header: of a JPEG, if it could be parsed.
        min_side: see `onlineml.data.images.decode.decode`.
        max_pixels: of any image.
        data: the file; without it, the scans of a JPEG and pixels in text are not counted.

    Raises:
        BadImageError: `finding` is ``"empty"`` (no pixels) or ``"oversized"``.
    """
    width, height = size_wh
    if width <= 0 or height <= 0:
        raise BadImageError("empty", f"the declared size is {width} x {height} pixels")
    most = min(max_pixels, _MOST_PIXELS.get(format_name, MAX_PIXELS))
    if header is not None and header.progressive:
        most = min(most, _MOST_PROGRESSIVE[4 if header.n_channels > 3 else 3])
    if format_name == "PPM" and data[1:2] in {b"1", b"2", b"3"}:
        most = min(most, _MOST_IN_TEXT)
    declared = f"the file declares {width} x {height} pixels"
    if width * height > most:
        raise BadImageError("oversized", f"{declared}; at most {most:,} are allowed in a file of this kind")
    needed = needed_bytes(size_wh, format_name, header, min_side=min_side)
    if needed > MAX_BYTES:
        detail = f"{declared}, and decoding them takes about {needed / 1e6:,.0f} MB"
        raise BadImageError("oversized", f"{detail}; at most {MAX_BYTES / 1e6:,.0f} MB are used for an image")
    if format_name == "JPEG":
        _check_scans(data, width * height, header, declared)


def _check_scans(data: bytes, n: int, header: JpegHeader | None, declared: str) -> None:
    """Refuse a JPEG of too many scans, of which each goes through all pixels: a few bytes are enough for one."""
    start = 0 if header is None else header.scan_start
    if header is not None and not header.progressive and data[start + 4 : start + 5] == bytes([header.n_channels]):
        return  # its first scan has all channels, and is the only one that is decoded
    most = _MOST_SCANNED // n
    if data.count(b"\xff\xda", start) > most and scan_count(data, start, most=most) > most:
        raise BadImageError("oversized", f"{declared} in more than {most:,} scans")


def check_numbers(data: bytes) -> None:
    """Refuse a TIFF with a long list of numbers, such as the places of a million tiles.

    Raises:
        BadImageError: `finding` is ``"oversized"``.
    """
    if (n := longest_tag(data)) > _MOST_NUMBERS:
        raise BadImageError("oversized", f"a tag of the file has {n:,} numbers; at most {_MOST_NUMBERS:,} are read")
