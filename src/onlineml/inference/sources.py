"""The inputs of ``predict`` as a stream of named images."""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onlineml.data.images.decode import from_pillow, is_image_name
from onlineml.data.images.policies import is_junk
from onlineml.errors import BadImageError, ConfigError, NotFoundError
from onlineml.storage.io import list_files
from onlineml.storage.location import Location, Options
from onlineml.storage.urls import is_listable, storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Item", "items_of"]


class Item(NamedTuple):
    """One image: a name without credentials; its content, or where to read it; the store's tag of it, where known."""

    name: str
    content: bytes | NDArray[np.uint8] | BadImageError | Location
    version: str = ""


def items_of(images: Any, *, storage_options: Options = None) -> Iterator[Item]:
    """Every image that ``images`` stands for, in order; see `onlineml.predict` for what it may be.

    Raises:
        ConfigError: something is not an image.
        NotFoundError: a folder or pattern contains no image.
    """
    if _is_one(images):
        images = [images]
    try:
        stream = iter(images)
    except TypeError:
        raise _no_image(images) from None
    for position, image in enumerate(stream):
        yield from _expand(image, position, storage_options)


def _is_one(image: Any) -> bool:
    return isinstance(image, (str, os.PathLike, Location, bytes, bytearray, memoryview)) or hasattr(
        image, "__array_interface__"
    )


def _expand(image: Any, position: int, storage_options: Options) -> Iterator[Item]:
    if isinstance(image, (bytes, bytearray, memoryview)):
        yield Item(f"bytes:{position}", bytes(image))
    elif isinstance(image, (str, os.PathLike, Location)):
        yield from _stored(Location.of(image, storage_options))
    elif hasattr(image, "getexif"):  # a PIL image
        yield Item(getattr(image, "filename", "") or f"image:{position}", _pixels_of(image))
    elif hasattr(image, "__array__"):
        yield Item(f"array:{position}", _as_rgb(np.asarray(image)))
    else:
        raise _no_image(image)


def _pixels_of(image: Any) -> NDArray[np.uint8] | BadImageError:
    try:
        return from_pillow(image)
    except BadImageError as error:
        return error


def _as_rgb(array: NDArray[Any]) -> NDArray[np.uint8] | BadImageError:
    shape = array.shape
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or 0 in array.shape:
        return BadImageError(
            "unreadable",
            f"an array of shape {shape} and type {array.dtype} is no image: expected (H, W, 3) RGB or (H, W) "
            "grey, uint8 in 0..255",
        )
    return np.ascontiguousarray(array)


def _stored(place: Location) -> Iterator[Item]:
    """Yield a file, or the image files of a folder or pattern, in order of path; all files if none has an extension."""
    url = place.url
    one = Item(storable(url), place)
    if not is_listable(url):  # ? starts a query, and there is no listing
        yield one
        return
    if any(c in url for c in "*?[") and not Path(url).exists():
        root = url[: min(url.find(c) for c in "*?[" if c in url)].rpartition("/")[0] or "."
        pattern = url[len(root) :].lstrip("/") if root != "." else url.removeprefix("./")
        found = [f for f in list_files(place.to(root)) if f.path == pattern or _matches(f.path, pattern)]
        found = [f for f in found if not is_junk(f.path) or is_junk(pattern)]
        if not found:
            raise NotFoundError(f"no file matches {place}: check the pattern; ** stands for any folders")
    elif is_image_name(url) and not Path(url).is_dir():
        yield one
        return
    else:
        found = [f for f in list_files(place) if not is_junk(f.path)]
        if not found and url and Path(url).is_dir():
            raise NotFoundError(f"the folder {place} holds no files: check the path")
        if not found:  # one file
            yield one
            return
    for file in [f for f in found if is_image_name(f.path)] or found:
        yield Item(storable(file.url), place.to(file.url), file.version)


def _matches(path: str, pattern: str) -> bool:
    """Shell-like matching: * within a folder, ** across folders."""
    return _match_parts(path.split("/"), pattern.split("/"))


def _match_parts(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match_parts(parts[i:], patterns[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0]) and _match_parts(parts[1:], patterns[1:])


def _no_image(image: Any) -> ConfigError:
    return ConfigError(
        f"a {type(image).__name__} is no image: expected a path or URL, bytes, an array, a PIL image, or an iterable "
        "of them"
    )
