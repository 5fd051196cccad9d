"""The inputs of ``predict`` as a stream of named images."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch

from onlineml.data.formats.columns import PATH_NAMES
from onlineml.data.formats.csv import key
from onlineml.data.images.decode import from_pillow, is_image_name
from onlineml.data.images.policies import is_archive_name, is_junk
from onlineml.data.manifest.manifest import Manifest
from onlineml.data.video.video import is_video_name
from onlineml.errors import BadImageError, ConfigError, NotFoundError
from onlineml.inference.arrays import images_in
from onlineml.inference.camera import Camera, is_endless, is_stream
from onlineml.storage.io import list_files
from onlineml.storage.location import Location, Options
from onlineml.storage.urls import is_listable, storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Item", "is_live", "is_stored", "items_of", "n_images"]


class Item(NamedTuple):
    """One image: a name without credentials; its content, or where to read it; the store's tag of it, where known."""

    name: str
    content: bytes | NDArray[np.uint8] | BadImageError | Location
    version: str = ""
    image_id: str = ""
    """Of the manifest or table that it came from."""


def items_of(images: Any, *, storage_options: Options = None) -> Iterator[Item]:
    """Every image that ``images`` stands for, in order; see `onlineml.predict` for what it may be.

    Raises:
        ConfigError: something is not an image, or an archive.
        DataError: a folder or file is inside an archive.
        NotFoundError: a folder or pattern contains no image, or a camera cannot be opened.
    """
    if isinstance(images, Manifest):
        yield from _of_manifest(images)
    elif _is_frame(images):
        yield from _of_frame(images, storage_options)
    elif is_live(images, storage_options):
        yield from _live(images)
    else:
        position = 0
        for image in _listed(images):
            n = 0
            for item in _expand(image, position, storage_options):
                yield item
                n += isinstance(item.content, np.ndarray | BadImageError)
            position += max(1, n)


def n_images(images: Any) -> int | None:
    """Return the number of images without looking at them; None where only that tells it, as for a folder."""
    if isinstance(images, Manifest) or _is_frame(images):
        return len(images)
    if isinstance(images, list | tuple) and all(map(_is_one_file, images)):
        return len(images)
    return None


def _is_one_file(image: Any) -> bool:
    if isinstance(image, str | os.PathLike | Location):
        url = image.url if isinstance(image, Location) else str(image)
        return is_image_name(url) and not any(c in url for c in "*?[")
    return isinstance(image, bytes)


def is_stored(images: Any) -> bool:
    """Return whether this is one file, folder or pattern, whose images are all listed before the first is read."""
    if not isinstance(images, str | os.PathLike | Location):
        return False
    url = (images.url if isinstance(images, Location) else str(images)).lower()
    return not is_stream(url) and not url.startswith(("http://", "https://"))


def is_live(images: Any, storage_options: Options = None) -> bool:
    """Return whether these are a camera's frames; a web server is asked where a URL's name does not tell."""
    if isinstance(images, str):
        return is_stream(images) or (
            images.lower().startswith(("http://", "https://"))
            and not is_image_name(images.partition("?")[0])
            and is_endless(Location.of(images, storage_options))
        )
    return isinstance(images, Camera) or (isinstance(images, int | np.integer) and not isinstance(images, bool))


def _live(images: Any) -> Iterator[Item]:
    for name, pixels in images if isinstance(images, Camera) else Camera(images):
        yield Item(name, pixels)


def _listed(images: Any) -> Iterable[Any]:
    if isinstance(images, np.ndarray) and images.dtype.kind in "OUS" and images.ndim == 1:
        return cast("list[Any]", images.tolist())
    if _is_one(images):
        return [images]
    if isinstance(images, Iterable) and not isinstance(images, Mapping):
        return images
    raise _no_image(images)


def _is_one(image: Any) -> bool:
    named = isinstance(image, (str, os.PathLike, Location, bytes, bytearray, memoryview))
    return named or _is_array(image) or hasattr(image, "getexif") or callable(getattr(image, "read", None))


def _is_array(image: Any) -> bool:
    return isinstance(image, np.ndarray | torch.Tensor) or (
        hasattr(image, "__array__") and not hasattr(image, "to_list")
    )


def _is_frame(images: Any) -> bool:
    kind = type(images)
    return kind.__name__ == "DataFrame" and kind.__module__.partition(".")[0] == "pandas"


def _of_manifest(manifest: Manifest) -> Iterator[Item]:
    columns = (manifest.column("image_id"), manifest.urls(), manifest.versions())
    for image_id, url, version in zip(*columns, strict=True):
        yield Item(storable(url), Location.of(url, manifest.storage_options), version, str(image_id))


def _of_frame(frame: Any, storage_options: Options) -> Iterator[Item]:
    column = _path_column([str(name) for name in frame.columns])
    ids = frame["image_id"].astype(str) if "image_id" in frame.columns else itertools.repeat("")
    for position, (image, image_id) in enumerate(zip(frame[column], ids, strict=False)):
        for item in _expand(image, position, storage_options):
            yield item._replace(image_id=image_id)


def _path_column(names: list[str]) -> str:
    by_key = {key(name): name for name in names}
    for synonyms in (("path",), *PATH_NAMES[:-1]):  # ids are no paths
        found = [by_key[name] for name in synonyms if name in by_key]
        if len(found) == 1:
            return found[0]
    raise ConfigError(
        f"the DataFrame has no column of paths, such as path, filename, image or uri, or several; it has "
        f"{', '.join(names)}: pass one of them, as in frame[{names[0] if names else 'path'!r}]"
    )


def _expand(image: Any, position: int, storage_options: Options) -> Iterator[Item]:
    if isinstance(image, Item):
        yield image
    elif isinstance(image, (bytes, bytearray, memoryview)):
        yield Item(f"bytes:{position}", bytes(image))
    elif isinstance(image, (str, os.PathLike, Location)):
        yield from _stored(Location.of(image, storage_options))
    elif hasattr(image, "getexif"):  # a PIL image
        yield Item(getattr(image, "filename", "") or f"image:{position}", _pixels_of(image))
    elif callable(getattr(image, "read", None)):
        yield _read(image, position)
    elif _is_array(image):
        yield from (Item(f"array:{position + i}", pixels) for i, pixels in enumerate(images_in(image)))
    else:
        raise _no_image(image)


def _read(file: Any, position: int) -> Item:
    content, name = file.read(), getattr(file, "name", None)
    if not isinstance(content, bytes):
        raise ConfigError(f"the file {name or position} was opened as text: expected open(path, 'rb')")
    return Item(name if isinstance(name, str) and name else f"bytes:{position}", content)


def _pixels_of(image: Any) -> NDArray[np.uint8] | BadImageError:
    try:
        return from_pillow(image)
    except BadImageError as error:
        return error


def _stored(place: Location) -> Iterator[Item]:
    """Yield a file, or the image files of a folder or pattern, in order of path; all files if none has an extension."""
    url = place.url
    one = Item(storable(url), place)
    if is_video_name(url) and not Path(url).is_dir():
        raise ConfigError(f"{place} is a video: use onlineml.predict_video(model, {str(place)!r})")
    if is_archive_name(url) and not Path(url).is_dir():
        raise ConfigError(f"{place} is an archive: unpack it, and pass its folder")
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
        f"a {type(image).__name__} is no image: expected a path or URL, bytes, a file, an array or tensor, a PIL "
        "image, a list of them, a manifest, a DataFrame with a column of paths, or a camera"
    )
