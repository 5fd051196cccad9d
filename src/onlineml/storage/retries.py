"""Retries of requests by asynchronous filesystems: reads, and writes that may be done twice.

On S3 each attempt by s3fs includes botocore's own attempts; an attempt by obstore is one request.
"""

from __future__ import annotations

import asyncio
import random
import time
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from onlineml.storage.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["patiently", "persistently"]

_Result = TypeVar("_Result")

# per object; for filesystems without a timeout of their own, and for a server that sends very slowly
_ATTEMPT_S = 600.0
_ATTEMPTS = 6
_PATIENCE_S = 120.0  # for a store that asks for fewer requests (503), or one that answered before and does not now
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_THROTTLED = frozenset({"SlowDown", "ServiceUnavailable", "503", "RequestLimitExceeded", "TooManyRequests", "429"})
_PASSING = _THROTTLED | {"InternalError", "500", "502", "504", "RequestTimeout"}
_answered: weakref.WeakSet[Any] = weakref.WeakSet()  # filesystems that have answered, so their endpoint is valid


async def persistently(once: Callable[[], Awaitable[_Result]], fs: Any) -> _Result:
    """Repeat a request while that may help, at growing, randomized intervals."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    attempt = 0
    while True:
        attempt += 1
        try:
            result = await asyncio.wait_for(once(), _ATTEMPT_S)
        except Exception as err:
            wait = _wait_s(err, fs, attempt=attempt, elapsed_s=loop.time() - begin)
            if wait is None:
                raise
        else:
            _answered.add(fs)
            return result
        await asyncio.sleep(wait)


def patiently(once: Callable[[], _Result], fs: Any) -> _Result:
    """Repeat a blocking request, as `persistently` does; a write must be one that may be done twice.

    Filesystems that are not asynchronous are asked once: they are local, or repeat requests themselves.
    """
    if not getattr(fs, "async_impl", False):
        return once()
    begin = time.monotonic()
    attempt = 0
    while True:
        attempt += 1
        try:
            result = once()
        except Exception as err:
            wait = _wait_s(err, fs, attempt=attempt, elapsed_s=time.monotonic() - begin)
            if wait is None:
                raise
        else:
            _answered.add(fs)
            return result
        time.sleep(wait)


def _wait_s(err: Exception, fs: Any, *, attempt: int, elapsed_s: float) -> float | None:
    """Return the seconds until the next attempt; None if there is none."""
    wait = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311
    return None if elapsed_s + wait > _PATIENCE_S or attempt >= _attempts(err, fs) else wait


def _attempts(err: Exception, fs: Any) -> float:
    """Return the number of attempts for an error; unlimited within the time limit if the store is only unavailable."""
    code = s3.server_code(err)
    if code:
        return float("inf") if code in _THROTTLED else _ATTEMPTS if code in _PASSING else 1
    from aiohttp import ClientError, ClientPayloadError  # noqa: PLC0415 (heavy, and here only where something failed)
    from botocore.exceptions import ConnectionError as BrokenConnectionError  # noqa: PLC0415
    from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError  # noqa: PLC0415

    if isinstance(err, (s3.ShortError, ClientPayloadError, IncompleteReadError, ResponseStreamingError)):
        return _ATTEMPTS
    if isinstance(err, (ClientError, HTTPClientError, BrokenConnectionError, TimeoutError, ConnectionError)):
        return float("inf") if fs in _answered else 2
    return 1
