"""Reads of many objects at once, each complete or failed, from this machine's cache if their version is known."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec.asyn

from onlineml.errors import ChangedError, NotFoundError, StorageError
from onlineml.storage import local as local_files
from onlineml.storage.cache import byte_cache
from onlineml.storage.filesystems import filesystem, our_error, translated
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.retries import persistently
from onlineml.storage.s3 import client as s3
from onlineml.storage.s3 import obstore as s3_obstore
from onlineml.storage.s3.client import Content
from onlineml.storage.shards import Place, never_changes, place_of, spans
from onlineml.storage.urls import local_path, redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["download_file", "read_bytes", "read_many", "read_place"]

_CONCURRENCY = 64


def read_bytes(url: Url, *, storage_options: Options = None) -> bytes:
    """Return the whole content of one file, or of one image in a shard (see `onlineml.Manifest.pack`)."""
    at = Location.of(url, storage_options)
    place = place_of(at.url)
    local = local_path(place.url)
    with translated(at):
        if local is not None:
            return _read_local(local, place).data
        fs, path = filesystem(replace(at, url=place.url))
        if getattr(fs, "async_impl", False):
            content: Content = fsspec.asyn.sync(fs.loop, read_place, fs, path, place)
            return content.data
        return _read_blocking(fs, path, place)


def read_many(
    urls: Sequence[str | Location],
    *,
    versions: Sequence[str] | None = None,
    digests: Sequence[str] | None = None,
    first_bytes: int | None = None,
    storage_options: Options = None,
    concurrency: int = _CONCURRENCY,
) -> list[bytes | OSError]:
    """Read many files, on one or several filesystems, in one concurrent fetch.

    Transient failures (throttling, a broken connection, a truncated body) are retried for up to two minutes.

    Args:
        urls: the files; parts of shards (see `onlineml.Manifest.pack`) that lie close together are fetched in one
            request.
        versions: the store's tag, or the sha256, of each content. An object with a version is kept in this machine's
            cache (see `onlineml.storage.cache`) and taken from there the next time; one with ``""`` is always read from
            the store.
        digests: the sha256 of each content, or ``""``; one that has neither this nor its version fails.
        first_bytes: read at most this many bytes from the start of each file; None reads all.
        storage_options: options of the filesystems that are not local, for URLs; a location has its own.
        concurrency: maximum number of concurrent requests.

    Returns:
        The content for each URL, in order; for one that failed, the error in its place.
    """
    results: list[bytes | OSError] = [NotFoundError()] * len(urls)
    frozen = _Frozen(versions or (), digests or ())
    cache = byte_cache() if versions is not None and first_bytes is None else None
    filesystems = _Filesystems()
    remote: dict[Any, list[_Wanted]] = {}
    for index, at in enumerate(urls):
        url, options = (at, storage_options) if isinstance(at, str) else (at.url, at.options)
        place = place_of(url) if first_bytes is None else place_of(url).beginning(first_bytes)
        local = local_path(place.url)
        try:
            if local is not None:
                results[index] = frozen.checked(index, url, _read_local(local, place))
                continue
            fs, path = filesystems.of(place.url, options)
            version = versions[index] if versions is not None and cache is not None else ""
            found = cache.get(_name(fs, url), version) if version and cache is not None else None
            if found is None:
                remote.setdefault(fs, []).append(_Wanted(index, path, place, version))
            else:
                results[index] = found
        except Exception as err:  # noqa: BLE001 (each backend has exceptions of its own)
            results[index] = our_error(err, Location(url, options))
    for fs, several in remote.items():
        for wanted, content in _fetched(fs, several, concurrency):
            at = Location.of(urls[wanted.position], storage_options)
            if isinstance(content, Exception):
                results[wanted.position] = our_error(content, at)
                continue
            results[wanted.position] = frozen.checked(wanted.position, at.url, content)
            if cache is not None and wanted.version and _is_of(content, wanted):
                cache.put(_name(fs, at.url), wanted.version, content.data)
    return results


class _Frozen(NamedTuple):
    """Versions and digests that contents had when a dataset was frozen."""

    versions: Sequence[str]
    digests: Sequence[str]

    def checked(self, index: int, url: str, content: Content) -> bytes | OSError:
        """Return a content, or the error that it is another one than then."""
        digest = self.digests[index] if self.digests else ""
        if not digest or digest in url or never_changes(place_of(url)):
            return content.data
        if content.version and self.versions and content.version == self.versions[index]:
            return content.data
        if sha256(content.data).hexdigest() == digest:
            return content.data
        return ChangedError(f"{redacted(url)} was overwritten since it was checked; import it again")


class _Wanted(NamedTuple):
    position: int
    path: str
    place: Place
    version: str


class _Filesystems:
    """Filesystems of many URLs; fsspec's lookup takes a tenth of the time of a small read, so the result is reused."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], Any] = {}

    def of(self, url: str, options: Options) -> tuple[Any, str]:
        scheme, _, rest = url.partition("://")
        # options are told apart by identity: they live as long as the call, and comparing them would take longer
        key = f"{scheme}://{rest.partition('/')[0]}" if scheme == "fastdfs" else scheme, id(options)
        if key in self._known:
            return self._known[key], self._known[key]._strip_protocol(url)  # noqa: SLF001 (as url_to_fs does)
        fs, path = filesystem(Location(url, options))
        # schemes whose URLs contain no other options
        if "::" not in url and scheme in {"s3", "s3a", "gs", "gcs", "memory", "fastdfs"}:
            self._known[key] = fs
        return fs, path


def _name(fs: Any, url: str) -> str:
    """Return a unique name of an object, including its endpoint: two servers may have buckets of the same name."""
    client = getattr(fs, "client_kwargs", None) or {}
    return f"{getattr(fs, 'endpoint_url', None) or client.get('endpoint_url') or ''} {url}"


def _is_of(content: Content, wanted: _Wanted) -> bool:
    """Return whether content may be cached under the version the caller knows; it may have been overwritten since."""
    if len(wanted.version) == 64:
        return sha256(content.data).hexdigest() == wanted.version
    if wanted.place.part is not None:
        return True  # a shard never changes
    return not content.version or content.version == wanted.version


def _fetched(fs: Any, wanted: list[_Wanted], concurrency: int) -> list[tuple[_Wanted, Content | Exception]]:
    if getattr(fs, "async_impl", False):
        pairs: list[tuple[_Wanted, Content | Exception]] = fsspec.asyn.sync(fs.loop, _fetch, fs, wanted, concurrency)
        return pairs
    if hasattr(fs, "cat_tagged"):  # blocking, but with a thread pool of its own
        found = fs.cat_tagged([one.path for one in wanted], [one.place.part for one in wanted])
        return [(one, _tagged(content, one)) for one, content in zip(wanted, found, strict=True)]
    pairs = []
    for one in wanted:
        try:
            pairs.append((one, Content(_read_blocking(fs, one.path, one.place))))
        except Exception as err:  # noqa: BLE001 (returned in the object's place)
            pairs.append((one, err))
    return pairs


def _tagged(found: tuple[bytes, str] | Exception, wanted: _Wanted) -> Content | Exception:
    if isinstance(found, Exception):
        return found
    try:
        _require_whole(found[0], wanted.path, wanted.place)
    except StorageError as err:
        return err
    return Content(*found)


async def _fetch(fs: Any, wanted: list[_Wanted], concurrency: int) -> list[tuple[_Wanted, Content | Exception]]:
    gate = asyncio.Semaphore(concurrency)

    async def fetch(path: str, place: Place) -> Content | Exception:
        async with gate:
            try:
                return await read_place(fs, path, place)
            except Exception as err:  # noqa: BLE001 (returned in the object's place)
                return err

    async def part_of(path: str, place: Place, inside: list[_Wanted]) -> list[tuple[_Wanted, Content | Exception]]:
        content = await fetch(path, place)
        if isinstance(content, Exception) or place.part is None:
            return [(one, content) for one in inside]
        return [(one, content._replace(data=_cut(content.data, one.place, place.part[0]))) for one in inside]

    by_path: dict[str, list[_Wanted]] = {}
    for one in wanted:
        by_path.setdefault(one.path, []).append(one)
    requests = []
    for path, several in by_path.items():
        whole = [one for one in several if one.place.part is None]
        requests += [part_of(path, one.place, [one]) for one in whole]
        parts = [one for one in several if one.place.part is not None]
        for span in spans([one.place.part or (0, 0) for one in parts]):
            inside = [parts[i] for i in span.wanted]
            place = Place(inside[0].place.url, (span.start, span.stop), whole=inside[0].place.whole)
            requests.append(part_of(path, place, inside))
    return [pair for pairs in await asyncio.gather(*requests) for pair in pairs]


def _cut(data: bytes, place: Place, begin: int) -> bytes:
    start, stop = place.part or (begin, begin + len(data))
    return data if (start, stop - start) == (begin, len(data)) else data[start - begin : stop - begin]


async def read_place(fs: Any, path: str, place: Place) -> Content:
    """Read a file of an asynchronous filesystem, or a part of it, with retries."""
    if place.part is not None and place.part[0] == place.part[1]:
        return Content(b"")  # a range of zero bytes cannot be requested

    async def once() -> Content:
        try:
            if s3.is_s3(fs):
                content = await s3_obstore.read(fs, path, place.part)
            else:
                start, stop = place.part or (None, None)
                content = Content(bytes(await fs._cat_file(path, start=start, end=stop)))  # noqa: SLF001 (cat, asynchronous)
        except Exception as err:
            if not place.whole and s3.server_code(err) in {"InvalidRange", "416"}:
                return Content(b"")  # the file is empty
            raise
        _require_whole(content.data, path, place)
        return content

    return await persistently(once, fs)


def _require_whole(data: bytes, path: str, place: Place) -> None:
    """Raise if fewer bytes than requested were read.

    Raises:
        StorageError: a shard ends before its image does.
    """
    if place.part is not None and place.whole and len(data) != place.part[1] - place.part[0]:
        start, stop = place.part
        raise StorageError(
            f"{path} is truncated: only {len(data):,} of its bytes {start:,} to {stop:,} exist; restore it"
        )


def _read_blocking(fs: Any, path: str, place: Place) -> bytes:
    if place.part is None:
        return bytes(fs.cat_file(path))
    data = bytes(fs.cat_file(path, start=place.part[0], end=place.part[1]))
    _require_whole(data, path, place)
    return data


def _read_local(path: str, place: Place) -> Content:
    with open(path, "rb") as file:  # noqa: PTH123 (making a Path takes a tenth of the time of reading a small file)
        if place.part is None:
            return Content(file.read(), local_files.version_of(os.fstat(file.fileno())))
        file.seek(place.part[0])
        data = file.read(place.part[1] - place.part[0])
    _require_whole(data, path, place)
    return Content(data)


def download_file(url: Url, local_file: str | os.PathLike[str], *, storage_options: Options = None) -> None:
    """Copy a URL to a local file in pieces; the local file appears complete or not at all."""
    at = Location.of(url, storage_options)
    local = at.local
    with translated(at), local_files.temporary_beside(str(local_file)) as temporary:
        if local is not None:
            local_files.copy_synced(Path(local), temporary)
        else:
            fs, path = filesystem(at)
            if s3.is_s3(fs):
                fsspec.asyn.sync(fs.loop, s3.download, fs, path, str(temporary), attempt=persistently)
            else:
                fs.get_file(path, str(temporary))
        temporary.replace(local_file)
