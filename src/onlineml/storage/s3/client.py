"""S3 through s3fs: one request per object, responses checked for their length, and conditional writes."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import fsspec.asyn
from fsspec.config import conf

from onlineml.errors import StorageError
from onlineml.storage import patience

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = [
    "Content",
    "RefusedError",
    "ShortError",
    "download",
    "is_s3",
    "put_if",
    "read",
    "region_of",
    "require_bucket",
    "server_code",
    "status_of",
    "with_defaults",
    "with_reason",
]

# One GET per object: otherwise, s3fs requests the size (a HEAD) before every read of a whole object. Listings are never
# cached: another process may have written since.
_DEFAULTS: dict[str, Any] = {"max_concurrency": 1, "use_listings_cache": False}
# 64 connections serve 64 concurrent reads; botocore's default is 10. Every wait is bounded. Transient errors of
# writes are retried by botocore, those of reads by `onlineml.storage.retries` as well; s3fs's own are off (retries=1).
_CONFIG: dict[str, Any] = {
    "max_pool_connections": 64,
    "connect_timeout": 10,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 4},
    "signature_version": "s3v4",  # the default except for presigned URLs
    "parameter_validation": False,  # of parameters that s3fs itself built: 5 % of the time of a small read
}
# S3 answers 409 while another conditional write to the same key is in progress, and asks for a retry
_BUSY, _CONFLICTS = frozenset({"ConditionalRequestConflict", "409"}), 8
_REFUSED = frozenset({"PreconditionFailed", "412"})
_STATUSES = frozenset({"400", "403", "301"})  # codes of answers to HEAD, which have no body
_REASON_S = 10.0  # for the reason of an answer that has none
_WRITER = "onlineml-writer"
_PART_BYTES = 16_000_000
_PARTS_AT_ONCE = 4
_buckets: set[tuple[Any, str]] = set()  # that exist


class RefusedError(Exception):
    """The condition of a write is not met."""


class ShortError(StorageError):
    """A response body was truncated."""


class Content(NamedTuple):
    """Result of a read.

    Attributes:
        data: the bytes.
        version: the store's tag of the object; ``""`` if the store returned none.
    """

    data: bytes
    version: str = ""


def with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    """Add onlineml's defaults to options of s3fs; the user's options and fsspec's configuration take precedence."""
    configured = conf.get("s3", {})
    for option, value in _DEFAULTS.items():
        if option not in configured:
            options.setdefault(option, value)
    config = options.get("config_kwargs", configured.get("config_kwargs", {}))
    return {**options, "config_kwargs": {**_CONFIG, **config}}


def is_s3(fs: Any) -> bool:
    """Return whether the filesystem is s3fs's."""
    return "s3" in ({fs.protocol} if isinstance(fs.protocol, str) else set(fs.protocol))


def server_code(err: BaseException) -> str:
    """Return the server's error code of an exception that s3fs translated, or ``""``."""
    response = getattr(err.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def status_of(err: BaseException) -> int:
    """Return the HTTP status of an answer that is an error, of S3 or of another store; 0 where there is no answer."""
    response = getattr(err.__cause__, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") or getattr(err, "status", 0)  # aiohttp's
    return status if isinstance(status, int) else 0


def region_of(err: BaseException) -> str:
    """Return the region that the server names in an error, or ``""``."""
    response = getattr(err.__cause__, "response", None) or {}
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region") or response.get("Error", {}).get("Region") or "")


def with_reason(err: Exception, fs: Any, path: str) -> Exception:
    """Return an error with the server's reason, asked for by listing: an answer to HEAD only has a status."""
    if server_code(err) not in _STATUSES and not isinstance(err, FileNotFoundError):
        return err
    bucket, key, _ = fs.split_path(path)
    try:
        list_one = {"Bucket": bucket, "Prefix": key, "MaxKeys": 1}
        timeout_s = max(0.05, min(_REASON_S, patience.left_s()))
        fsspec.asyn.sync(fs.loop, fs._call_s3, "list_objects_v2", timeout=timeout_s, **list_one)  # noqa: SLF001
    except Exception as reason:  # noqa: BLE001 (whatever it is, the first error counts then)
        if server_code(reason) == "NoSuchBucket" or not isinstance(err, FileNotFoundError):
            return reason if server_code(reason) else err
    return err


def require_bucket(fs: Any, path: str, err: Exception) -> None:
    """Raise if nothing is found because the bucket does not exist, which is asked once per bucket.

    Raises:
        FileNotFoundError: with the server's code ``NoSuchBucket``.
    """
    if not is_s3(fs) or (fs, bucket := path.partition("/")[0]) in _buckets:
        return
    found = with_reason(err, fs, path)
    if server_code(found) == "NoSuchBucket":
        raise found
    _buckets.add((fs, bucket))


async def read(fs: Any, path: str, part: tuple[int, int] | None = None) -> Content:
    """Read an object, or a part of it given by its first byte and the one after the last, in one GET.

    Raises:
        ShortError: the number of received bytes differs from the response's header.
    """
    bucket, key, version_id = fs.split_path(path)
    options: dict[str, Any] = {"VersionId": version_id} if version_id else {}
    if part is not None:
        options["Range"] = f"bytes={part[0]}-{part[1] - 1}"
    answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, **options)  # noqa: SLF001 (call_s3, asynchronous)
    body = answer["Body"]
    try:
        data = bytes(await body.read())
    finally:
        body.close()
    declared = answer.get("ContentLength")
    if declared is not None and declared != len(data):
        raise ShortError(f"s3://{path}: the response is truncated: {len(data):,} of {declared:,} bytes arrived")
    return Content(data, str(answer.get("ETag", "")).strip('"'))


async def download(
    fs: Any, path: str, target: str, *, attempt: Callable[[Callable[[], Awaitable[Content]], Any], Awaitable[Content]]
) -> None:
    """Write an object to a local file, a few parts at a time, all of the same version.

    Args:
        fs: s3fs's filesystem.
        path: bucket and key.
        target: the local file; created, or overwritten.
        attempt: calls a read, with retries.

    Raises:
        StorageError: the object was overwritten during the download.
    """
    info = await fs._info(path)  # noqa: SLF001 (info, asynchronous)
    size, version = int(info["size"]), str(info.get("ETag", "")).strip('"')
    gate = asyncio.Semaphore(_PARTS_AT_ONCE)
    with open(target, "wb") as file:  # noqa: PTH123, ASYNC230 (a local disk; the event loop has its own thread)

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


async def put_if(
    fs: Any,
    path: str,
    data: bytes,
    *,
    condition: Mapping[str, str],
    attempt: Callable[[Callable[[], Awaitable[Any]], Any], Awaitable[Any]],
) -> str:
    """Write an object with an S3 condition (``IfNoneMatch``, ``IfMatch``); return its tag.

    Args:
        fs: s3fs's filesystem.
        path: bucket and key.
        data: the content.
        condition: a header's name and value.
        attempt: sends a request, with retries.

    If the response to a write is lost, botocore or a layer below it retries, and the retry is refused because the
    object exists. Each write therefore stores a token, which shows that a refused write had succeeded.

    Raises:
        RefusedError: the condition is not met.
        OSError: the store's error.
    """
    bucket, key, _ = fs.split_path(path)
    token = secrets.token_hex(8)
    marks = {**fs.s3_additional_kwargs.get("Metadata", {}), _WRITER: token}
    call = fs._call_s3  # noqa: SLF001 (call_s3, asynchronous)

    async def put() -> Any:
        return await call("put_object", Bucket=bucket, Key=key, Body=data, Metadata=marks, **condition)

    for number in range(_CONFLICTS):
        try:
            answer = await attempt(put, fs)
            break
        except OSError as err:
            code = server_code(err)
            if code in _BUSY and number < _CONFLICTS - 1:
                continue
            if not isinstance(err, FileExistsError | FileNotFoundError) and code not in _REFUSED:
                raise
            if code == "NoSuchBucket":
                raise
            refusal = err
        try:
            answer = await attempt(lambda: call("head_object", Bucket=bucket, Key=key), fs)
        except FileNotFoundError:
            raise RefusedError from refusal
        if answer.get("Metadata", {}).get(_WRITER) != token:
            raise RefusedError from refusal
        break
    return str(answer.get("ETag", "")).strip('"')
