"""S3 through s3fs: one request an object, answers checked for length, and writes that are made on a condition."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from fsspec.config import conf

from onlineml.errors import StorageError
from onlineml.storage.s3 import plain as s3_plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "Content",
    "RefusedError",
    "ShortError",
    "download",
    "is_s3",
    "put_if",
    "read",
    "server_code",
    "with_defaults",
]

# One GET an object: with more, s3fs asks for the size (a HEAD) before every whole-object read.
# Listings are never cached: another process may have written since.
_DEFAULTS: dict[str, Any] = {"max_concurrency": 1, "use_listings_cache": False}
# 64 connections serve 64 concurrent reads; botocore's default is 10. No wait is without bound, and what may pass is
# tried again here, by botocore, alone: s3fs around it would multiply its attempts by 5, or by 25.
_CONFIG: dict[str, Any] = {
    "max_pool_connections": 64,
    "connect_timeout": 10,
    "read_timeout": 60,
    "retries": {"mode": "standard", "total_max_attempts": 4},
    "signature_version": "s3v4",  # is the default but for URLs that are signed beforehand
    "parameter_validation": False,  # of what s3fs itself has put together: 5 % of the time of a small read
}
# S3 answers 409 while another conditional write to the same key is in flight, and asks to try again
_BUSY, _CONFLICTS = frozenset({"ConditionalRequestConflict", "409"}), 8
_REFUSED = frozenset({"PreconditionFailed", "412"})
_WRITER = "onlineml-writer"
_PART_BYTES = 16_000_000
_PARTS_AT_ONCE = 4


class RefusedError(Exception):
    """The condition of a write does not hold."""


class ShortError(StorageError):
    """A body came short, or broke off."""


class Content(NamedTuple):
    """What a read gave.

    Attributes:
        data: the bytes.
        version: the store's tag of the object that they are of; ``""`` where it tells none.
    """

    data: bytes
    version: str = ""


def with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """Options of s3fs with ours behind them; what the user or fsspec's configuration says comes first."""
    configured = conf.get("s3", {})
    for option, value in _DEFAULTS.items():
        if option not in configured:
            options.setdefault(option, value)
    config = options.get("config_kwargs", configured.get("config_kwargs", {}))
    return {**options, "config_kwargs": {**_CONFIG, **config}}


def is_s3(fs: Any) -> bool:
    """Whether the filesystem is s3fs's."""
    return "s3" in ({fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol))


def server_code(err: BaseException) -> str:
    """The server's own code of an error that s3fs translated, or ``""``."""
    response = getattr(err.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


async def read(fs: Any, path: str, part: tuple[int, int] | None = None) -> Content:
    """An object, or the part of it from a first byte to the one behind the last, in one GET.

    Raises:
        ShortError: there came another number of bytes than the answer's header told.
    """
    bucket, key, version_id = fs.split_path(path)
    plain = None if version_id else await s3_plain.get(fs, bucket, key, part)
    if plain is not None:
        return Content(plain.data, plain.headers.get("etag", "").strip('"'))
    options: dict[str, Any] = {"VersionId": version_id} if version_id else {}
    if part is not None:
        options["Range"] = f"bytes={part[0]}-{part[1] - 1}"
    answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, **options)  # noqa: SLF001 (call_s3, asynchronous)
    body = answer["Body"]
    try:
        data = bytes(await body.read())
    finally:
        body.close()
    told = answer.get("ContentLength")
    if told is not None and told != len(data):
        raise ShortError(f"s3://{path} came short: {len(data):,} bytes of {told:,}")
    return Content(data, str(answer.get("ETag", "")).strip('"'))


async def download(
    fs: Any, path: str, target: str, *, attempt: Callable[[Callable[[], Awaitable[Content]], Any], Awaitable[Content]]
) -> None:
    """Write an object to a local file, a few parts at a time, all of one and the same version.

    Args:
        fs: s3fs's filesystem.
        path: bucket and key.
        target: the local file; made, or emptied.
        attempt: calls a read, again where that may help.

    Raises:
        StorageError: the object was overwritten meanwhile.
    """
    info = await fs._info(path)  # noqa: SLF001 (info, asynchronous)
    size, version = int(info["size"]), str(info.get("ETag", "")).strip('"')
    gate = asyncio.Semaphore(_PARTS_AT_ONCE)
    with open(target, "wb") as file:  # noqa: PTH123, ASYNC230 (a local disk; the loop has a thread of its own)

        async def part(start: int) -> None:
            async with gate:
                stop = min(start + _PART_BYTES, size)
                content = await attempt(lambda: read(fs, path, (start, stop)), fs)
                if content.version != version or len(content.data) != stop - start:
                    raise StorageError(f"s3://{path} was overwritten while it was being downloaded; try again")
                file.seek(start)
                file.write(content.data)

        tasks = [asyncio.ensure_future(part(start)) for start in range(0, size, _PART_BYTES)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        file.flush()
        os.fsync(file.fileno())


async def put_if(fs: Any, path: str, data: bytes, **condition: str) -> str:
    """Write an object on a condition of S3's (``IfNoneMatch``, ``IfMatch``); returns its tag.

    A write whose answer is lost is sent again, by botocore or below it, and then refused for being there already.
    Therefore each write bears a token, by which a refused one is known to have been done.

    Raises:
        RefusedError: the condition does not hold.
        OSError: the store's error.
    """
    bucket, key, _ = fs.split_path(path)
    token = secrets.token_hex(8)
    marks = {**fs.s3_additional_kwargs.get("Metadata", {}), _WRITER: token}
    call = fs._call_s3  # noqa: SLF001 (call_s3, asynchronous)
    for attempt in range(_CONFLICTS):
        try:
            answer = await call("put_object", Bucket=bucket, Key=key, Body=data, Metadata=marks, **condition)
            break
        except OSError as err:
            code = server_code(err)
            if code in _BUSY and attempt < _CONFLICTS - 1:
                continue
            if not isinstance(err, FileExistsError | FileNotFoundError) and code not in _REFUSED:
                raise
            if code == "NoSuchBucket":
                raise
            refusal = err
        try:
            answer = await call("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            raise RefusedError from refusal
        if answer.get("Metadata", {}).get(_WRITER) != token:
            raise RefusedError from refusal
        break
    return str(answer.get("ETag", "")).strip('"')
