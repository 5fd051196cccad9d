"""Upright sizes of many images, from the first bytes of their files if those are sufficient."""

from __future__ import annotations

import io as buffers
import struct
from typing import TYPE_CHECKING

import numpy as np

from onlineml.data.images.headers import declared_size_wh, exif_orientation, parse_jpeg, sniff
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from onlineml.storage.location import Location


__all__ = ["upright_size_hw", "upright_sizes_hw"]

# a JPEG's EXIF block with its thumbnail is one segment of at most this size; most headers are shorter
_HEAD_BYTES = 65_536
_TIFF_TAGS = (256, 257, 274)  # ImageWidth, ImageLength, Orientation
_TOGETHER = 512  # number of images whose first bytes are in memory at the same time


def upright_sizes_hw(urls: Sequence[str | Location]) -> npt.NDArray[np.int64]:
    """Return the sizes that `onlineml.data.images.decode` would return, without decoding pixels.

    Args:
        urls: N images; of most, only the first 64 KiB are read.

    Returns:
        (N, 2) height and width; 0 for an image that cannot be read.
    """
    sizes = np.zeros((len(urls), 2), dtype=np.int64)
    for start in range(0, len(urls), _TOGETHER):
        chunk = urls[start : start + _TOGETHER]
        heads = io.read_many(chunk, first_bytes=_HEAD_BYTES)
        incomplete = []
        for place, head in enumerate(heads):
            whole = isinstance(head, bytes) and len(head) < _HEAD_BYTES
            size_hw = None if isinstance(head, OSError) else upright_size_hw(head) if whole else _size_from_head(head)
            if size_hw is not None:
                sizes[start + place] = size_hw
            elif not whole:  # some stores return no first bytes of an empty object
                incomplete.append(place)
        contents = io.read_many([chunk[place] for place in incomplete])
        for place, content in zip(incomplete, contents, strict=True):
            if isinstance(content, bytes):
                sizes[start + place] = upright_size_hw(content) or (0, 0)
    return sizes


def upright_size_hw(data: bytes) -> tuple[int, int] | None:
    """Return the upright size of one image, given its whole file; None if it is not a readable image."""
    from onlineml.data.images.decode import OPENERS  # noqa: PLC0415 (decoders are loaded only where they are needed)

    size_hw = _size_from_head(data)
    kind = sniff(data)
    if size_hw is not None or kind not in OPENERS:
        return size_hw
    try:
        image = OPENERS[kind](buffers.BytesIO(data))
        if kind == "TIFF":  # its tags, because releases of Pillow differ in when they apply the orientation
            return _turned(*(int(image.tag_v2.get(tag, 1)) for tag in _TIFF_TAGS))
        return _turned(image.width, image.height, exif_orientation(image.info.get("exif", b"")))
    except Exception:  # noqa: BLE001 (decoders raise almost any exception for arbitrary bytes)
        return None


def _size_from_head(head: bytes) -> tuple[int, int] | None:
    """Return the size if these first bytes determine it."""
    kind = sniff(head)
    if kind == "JPEG":
        header = parse_jpeg(head)
        return None if header is None else _turned(header.width, header.height, header.orientation)
    if kind == "PNG":
        return _png_size(head)
    size_wh = declared_size_wh(head, kind) if kind in {"GIF", "BMP"} else None  # neither has an orientation
    return None if size_wh is None else _turned(*size_wh, 1)


def _png_size(head: bytes) -> tuple[int, int] | None:
    """Return a PNG's size from its chunks. An orientation after the pixels, which no known writer uses, is ignored."""
    declared, orientation, position = declared_size_wh(head, "PNG"), 1, 8
    while declared is not None and position + 8 <= len(head):
        length, name = struct.unpack_from(">I4s", head, position)
        if name == b"IDAT" and position + length + 12 > len(head):
            return _turned(*declared, orientation)
        if name == b"IEND":
            return _turned(*declared, orientation)
        if name == b"eXIf":
            orientation = exif_orientation(head[position + 8 : position + 8 + length])
        position += 12 + length
    return None


def _turned(width: int, height: int, orientation: int) -> tuple[int, int] | None:
    if width < 1 or height < 1:
        return None
    return (width, height) if 5 <= orientation <= 8 else (height, width)  # rows are columns
