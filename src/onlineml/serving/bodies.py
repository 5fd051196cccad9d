"""The middleware that bounds the bodies of requests: the size of one, of all together, and how slowly one may come."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["TOGETHER", "Bounded"]

TOGETHER = 8  # largest requests that are held at one time
_FIRST_S, _BYTES_PER_S = 20.0, 500  # as Apache's RequestReadTimeout has them: body=20,MinRate=500


class Bounded:
    """ASGI middleware: refuses what is too large (413), too slow (408), encoded (415), or too much together (503).

    The error is raised where the application reads the body, so that the application words the answer; a body that is
    announced as too large is refused before it is sent.

    Args:
        app: what it surrounds.
        max_bytes: of a body; of all together, `TOGETHER` times as many.
        first_s: seconds that any body may take; one more for each 500 bytes that have come.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, first_s: float = _FIRST_S) -> None:
        self._app, self._max_bytes, self._first_s, self._held = app, max_bytes, first_s, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, received, complete = time.monotonic(), 0, False

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:  # what comes next is that the client leaves
                return await receive()
            if not received:
                self._check_headers(Headers(scope=scope))
            left_s = begin + self._first_s + received / _BYTES_PER_S - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), left_s)
            except TimeoutError as error:
                raise HTTPException(408, f"after {received:,} bytes the request came too slowly") from error
            n = len(message.get("body", b""))
            received, complete = received + n, not message.get("more_body", False)
            self._held += n
            if received > self._max_bytes:
                raise self._too_large()
            if self._held > TOGETHER * self._max_bytes:
                raise HTTPException(503, "too many large requests at one time: ask again", {"Retry-After": "1"})
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            self._held -= received

    def _check_headers(self, headers: Headers) -> None:
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            raise HTTPException(415, f"the request's Content-Encoding is {encoding!r}: send it without")
        announced = headers.get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > self._max_bytes:
            raise self._too_large()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"the request has more than {self._max_bytes:,} bytes: send fewer photos")
