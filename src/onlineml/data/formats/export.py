"""Copying of a manifest's images into a new folder, under unique names, with a few images in memory at a time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import TYPE_CHECKING

from onlineml.data.formats.parts import absolute
from onlineml.errors import AlreadyExistsError, DataError
from onlineml.storage import io
from onlineml.storage.location import Location
from onlineml.storage.urls import redacted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["empty_folder", "image_chunks", "unique_paths", "write_many"]

_TOGETHER = 64  # images in memory at a time
_WRITERS = 16


def empty_folder(at: Location) -> Location:
    """Return the absolute location of an empty folder.

    Raises:
        AlreadyExistsError: the folder contains files.
    """
    target = Location(absolute(at.url), at.options)
    if io.list_files(target):
        raise AlreadyExistsError(f"{target} already contains files; export to a new folder")
    return target


def unique_paths(manifest: Manifest, folders: Sequence[str], *, by_stem: bool) -> list[str]:
    """Return a path for each image, unique regardless of case; if a name is taken, the image's id is prepended.

    Args:
        manifest: N images.
        folders: N folders, ``""`` for none.
        by_stem: names must differ without their extensions, because another file uses the same stem.
    """
    taken: set[str] = set()
    paths = []
    ids, uris = manifest.table["image_id"].to_pylist(), manifest.table["uri"].to_pylist()
    for own, uri, folder in zip(ids, uris, folders, strict=True):
        name = io.name(uri).lstrip(".").replace("\\", "_")
        for candidate in (name, f"{own}-{name}"):
            path = f"{folder}/{candidate}".lstrip("/")
            key = (path.rpartition(".")[0] if by_stem else path).casefold()
            if key not in taken:
                break
        taken.add(key)
        paths.append(path)
    return paths


def image_chunks(manifest: Manifest) -> Iterator[tuple[slice, list[bytes]]]:
    """Yield the contents of all images, in chunks, with their rows.

    Raises:
        StorageError: an image cannot be read.
        DataError: an image is not what it was when it was read first.
    """
    urls, versions, known = manifest.urls(), manifest.versions(), manifest.digests()
    for start in range(0, len(urls), _TOGETHER):
        rows = slice(start, start + _TOGETHER)
        contents = []
        found = io.read_many(urls[rows], versions=versions[rows], storage_options=manifest.storage_options)
        for url, digest, content in zip(urls[rows], known[rows], found, strict=True):
            if isinstance(content, OSError):
                raise content
            if digest and sha256(content).hexdigest() != digest:
                raise DataError(
                    f"{redacted(url)} was changed since it was checked; import it again, or check the manifest again"
                )
            contents.append(content)
        yield rows, contents


def write_many(folder: Location, files: Mapping[str, bytes]) -> None:
    """Write files, given by their paths below the folder, concurrently."""

    def write(path: str) -> None:
        io.write_bytes(folder / path, files[path])

    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(write, files))
