"""Retries of reads by asynchronous filesystems; botocore retries writes to S3 (`onlineml.storage.s3.client`).

On S3 each attempt by s3fs includes botocore's own attempts; an attempt by obstore is one request.
"""

from __future__ import annotations

import asyncio
import random
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from onlineml.storage.s3 import client as s3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["ANSWERED", "persistently"]

_Result = TypeVar("_Result")

# per object; for filesystems without a timeout of their own, and for a server that sends very slowly
_ATTEMPT_S = 600.0
_ATTEMPTS = 6
_PATIENCE_S = 120.0  # for a store that asks for fewer requests (503), or one that answered before and does not now
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 10.0
_THROTTLED = frozenset({"SlowDown", "ServiceUnavailable", "503", "RequestLimitExceeded", "TooManyRequests", "429"})
_PASSING = _THROTTLED | {"InternalError", "500", "502", "504", "RequestTimeout"}
ANSWERED: weakref.WeakSet[Any] = weakref.WeakSet()  # filesystems that have answered, so their endpoint is valid


async def persistently(once: Callable[[], Awaitable[_Result]], fs: Any) -> _Result:
    """Retry a read while that may help, at growing, randomized intervals."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    attempt = 0
    while True:
        attempt += 1
        try:
            return await asyncio.wait_for(once(), _ATTEMPT_S)
        except Exception as err:
            wait = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311
            is_late = loop.time() + wait - begin > _PATIENCE_S
            if is_late or attempt >= _attempts(err, fs):
                raise
        await asyncio.sleep(wait)


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
        return float("inf") if fs in ANSWERED else 2
    return 1
