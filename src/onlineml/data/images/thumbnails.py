"""Thumbnails of images on any storage, created once and cached on this machine's disk, for fast paging."""

from __future__ import annotations

import os
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onlineml.errors import BadImageError, ConfigError
from onlineml.storage.cache import byte_cache
from onlineml.storage.io import read_many
from onlineml.storage.location import Location, Url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Thumbnail", "drawn", "encoded", "shrink", "thumbnails"]

_AT_ONCE = 16  # images in memory at the same time: photos of phones have 5 MB each
_HEADER = struct.Struct("<II")  # height and width of the original; if zero, the rest is the error's text
_EXACT = 96  # thumbnails with at most this many pixels per side are stored losslessly: there, single pixels are visible
_QUALITY = 82
_one_large_image = threading.Lock()


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail of an image.

    Attributes:
        picture: a PNG or JPEG file; ``b""`` if the image cannot be used.
        size_hw: height and width of the upright original; zeros if it cannot be used.
        error: the reason why it cannot be used; ``""`` for a good one.
    """

    picture: bytes
    size_hw: tuple[int, int]
    error: str = ""


def thumbnails(
    urls: Sequence[Url],
    *,
    versions: Sequence[str] | None = None,
    side: int = 160,
) -> Iterator[Thumbnail]:
    """Yield upright thumbnails in the order of the images, each as soon as it and those before it are ready.

    Args:
        urls: the images.
        versions: the store's tag, or the sha256, of each content (see `onlineml.Manifest.versions`); thumbnails of
            images with a version are cached on disk. ``""`` means no version.
        side: the longer side in pixels; smaller images are not enlarged.

    Raises:
        ConfigError: ``side`` is less than 1, or the numbers of versions and URLs differ.
    """
    tags = [""] * len(urls) if versions is None else list(versions)
    if side < 1 or len(tags) != len(urls):
        raise ConfigError(
            f"side={side}, {len(urls)} urls, {len(tags)} versions: expected side >= 1 and one version per URL"
        )
    return _thumbnails([Location.of(url) for url in urls], tags, side)


def _thumbnails(urls: list[Location], tags: list[str], side: int) -> Iterator[Thumbnail]:
    with ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1))) as pool:
        for start in range(0, len(urls), _AT_ONCE):
            chunk, versions = urls[start : start + _AT_ONCE], tags[start : start + _AT_ONCE]
            known = [_kept(url.url, tag, side) for url, tag in zip(chunk, versions, strict=True)]
            wanted = [place for place, one in enumerate(known) if one is None]
            contents = read_many([chunk[place] for place in wanted], versions=[versions[place] for place in wanted])
            made = iter(pool.map(lambda content: _made(content, side), contents))
            for place, one in enumerate(known):
                if one is not None:
                    yield one
                    continue
                new, lasting = next(made)
                if lasting:
                    _keep(chunk[place].url, versions[place], side, new)
                yield new


def _kept(url: str, tag: str, side: int) -> Thumbnail | None:
    cache = byte_cache("thumbnails") if tag else None
    data = None if cache is None else cache.get(f"{side} {url}", tag)
    if data is None or len(data) < _HEADER.size:
        return None
    height, width = _HEADER.unpack_from(data)
    rest = data[_HEADER.size :]
    return Thumbnail(rest, (height, width)) if height else Thumbnail(b"", (0, 0), rest.decode())


def _keep(url: str, tag: str, side: int, made: Thumbnail) -> None:
    cache = byte_cache("thumbnails") if tag else None
    if cache is not None:
        cache.put(f"{side} {url}", tag, _HEADER.pack(*made.size_hw) + (made.picture or made.error.encode()))


def _made(content: bytes | OSError, side: int) -> tuple[Thumbnail, bool]:
    """Create a thumbnail, or an error; also return whether the result is permanent and may be cached."""
    from onlineml.data.images.decode import (  # noqa: PLC0415 (decoders are loaded only to decode)
        decode,
        may_need_much_memory,
    )

    if isinstance(content, OSError):
        return Thumbnail(b"", (0, 0), str(content) or type(content).__name__), False
    try:
        if may_need_much_memory(content, min_side=side):
            with _one_large_image:
                decoded = decode(content, min_side=side)
        else:
            decoded = decode(content, min_side=side)
    except BadImageError as error:
        return Thumbnail(b"", (0, 0), str(error)), True
    return Thumbnail(encoded(shrink(decoded.pixels, side)), decoded.size_hw), True


def shrink(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Shrink to (h, w, 3) uint8 whose longer side is at most ``side`` pixels; at least 1 pixel per side."""
    import cv2  # noqa: PLC0415

    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size_wh = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def encoded(pixels: NDArray[np.uint8], *, quality: int = _QUALITY) -> bytes:
    """Encode (H, W, 3) uint8 RGB as a JPEG file, or as a PNG file if it is so small that single pixels are visible."""
    import cv2  # noqa: PLC0415

    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    if max(pixels.shape[:2]) <= _EXACT:
        return bytes(cv2.imencode(".png", bgr)[1])
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])


def drawn(thumbnail: Thumbnail, boxes: Sequence[tuple[tuple[float, float, float, float], str]]) -> NDArray[np.uint8]:
    """Draw boxes on a thumbnail.

    Args:
        thumbnail: one with a picture.
        boxes: corners in pixels of the original, each with a colour such as ``"#d9604c"``.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    import cv2  # noqa: PLC0415

    pixels = cv2.imdecode(np.frombuffer(thumbnail.picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    canvas = np.array(pixels, dtype=np.uint8)
    scale = canvas.shape[1] / max(1, thumbnail.size_hw[1])
    for box_xyxy, color in boxes:
        red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
        x1, y1, x2, y2 = (round(value * scale) for value in box_xyxy)
        cv2.rectangle(canvas, (x1, y1), (max(x1, x2 - 1), max(y1, y2 - 1)), (red, green, blue), 1)
    return canvas
