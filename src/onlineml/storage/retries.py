"""Retries of requests by asynchronous filesystems: reads, and writes that may be done twice.

On S3 each attempt by s3fs includes botocore's own attempts; an attempt by obstore is one request.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

import fsspec.asyn

from onlineml.storage import patience
from onlineml.storage.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["patiently", "persistently"]

_Result = TypeVar("_Result")

# per object, of work; for filesystems without a timeout of their own, and for a server that sends very slowly
_ATTEMPT_S = 600.0
# of a write, in seconds and bytes per second: aiohttp may wait for "100 Continue" without end (marin's issue 6719)
_WRITE_S, _LEAST_RATE = 10.0, 100_000
_ATTEMPTS = 6  # where a server answers, but wrongly
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})  # statuses
_answered: weakref.WeakSet[Any] = weakref.WeakSet()  # filesystems that have answered, so their endpoint is valid


async def persistently(once: Callable[[], Awaitable[_Result]], fs: Any, *, n_bytes: int | None = None) -> _Result:
    """Repeat a request while that may help, at growing, randomized intervals, as long as the patience lasts.

    Args:
        once: makes an attempt.
        fs: the filesystem.
        n_bytes: that are written; None if it is a read, whose server has a timeout of its own.

    Raises:
        TimeoutError: a click's patience is at its end, and the store has not answered.
    """
    loop = asyncio.get_running_loop()
    begin = loop.time()
    attempt = 0
    answer: Exception | None = None  # which says more than that the last attempt was cut short
    while True:
        attempt += 1
        try:
            result = await asyncio.wait_for(once(), _attempt_s(attempt, n_bytes))
        except Exception as err:
            wait = _wait_s(err, fs, attempt=attempt, elapsed_s=loop.time() - begin)
            if wait is None and answer is not None and isinstance(err, TimeoutError):
                raise answer from answer.__cause__
            if wait is None:
                raise
            answer = err if not isinstance(err, TimeoutError) else answer
        else:
            _answered.add(fs)
            patience.answered()
            return result
        await asyncio.sleep(wait)


def patiently(
    fs: Any, method: str, *args: Any, options: Mapping[str, Any] | None = None, n_bytes: int | None = None
) -> Any:
    """Call a blocking method of a filesystem, repeated as by `persistently`; it must be one that may be done twice.

    Filesystems that are not asynchronous are asked once: they are local, or repeat requests themselves.
    """
    if not isinstance(fs, fsspec.asyn.AsyncFileSystem):
        return getattr(fs, method)(*args, **(options or {}))
    once = getattr(fs, f"_{method}")  # fsspec's name of the asynchronous one
    return fsspec.asyn.sync(fs.loop, persistently, lambda: once(*args, **(options or {})), fs, n_bytes=n_bytes)


def _attempt_s(attempt: int, n_bytes: int | None) -> float:
    """Return the longest time of an attempt; of a click's first, half of the rest: another connection may answer."""
    longest = _ATTEMPT_S if n_bytes is None else max(_WRITE_S, patience.limit_s()) + n_bytes / _LEAST_RATE
    return min(longest, max(0.05, patience.left_s() / (2 if attempt == 1 else 1)))


def _wait_s(err: Exception, fs: Any, *, attempt: int, elapsed_s: float) -> float | None:
    """Return the seconds until the next attempt; None if there is none."""
    wait = min(_FIRST_WAIT_S * 2 ** min(attempt, 10), _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311
    left = min(patience.limit_s() - elapsed_s, patience.left_s())
    return None if wait > left or attempt >= _attempts(err, fs) else wait


def _attempts(err: Exception, fs: Any) -> float:
    """Return the number of attempts for an error; unlimited within the patience if the store is only unavailable."""
    status = s3.status_of(err)
    if status:
        return float("inf") if status in _PASSING or s3.server_code(err) == "RequestTimeout" else 1
    if isinstance(err, s3.ShortError):
        return _ATTEMPTS
    from aiohttp import ClientError  # noqa: PLC0415 (heavy, and here only where something failed)
    from botocore.exceptions import ConnectionError as BrokenConnectionError  # noqa: PLC0415
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError  # noqa: PLC0415

    broken = (ClientError, HTTPClientError, BrokenConnectionError, IncompleteReadError, ResponseStreamingError)
    if isinstance(err, (*broken, ConnectionError, TimeoutError)):
        return float("inf") if fs in _answered else 2
    return 1
