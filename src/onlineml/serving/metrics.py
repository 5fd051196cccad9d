"""Counters for Prometheus, and the middleware that counts requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from onlineml.serving.current import Opened

__all__ = ["Metrics", "Watched"]

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_PHOTOS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        waiting: returns the number of photos that wait.
        opened: returns the model of now.
    """

    def __init__(self, waiting: Callable[[], int], opened: Callable[[], Opened]) -> None:
        self._registry, self._opened = CollectorRegistry(), opened
        own: dict[str, Any] = {"registry": self._registry}
        self.requests = Counter("onlineml_requests", "Requests", ["path", "code"], **own)
        self.request_s = Histogram("onlineml_request_seconds", "Time of a request", ["path"], buckets=_SECONDS, **own)
        self.batch = Histogram("onlineml_batch_photos", "Photos predicted for together", buckets=_PHOTOS, **own)
        self.batch_s = Histogram("onlineml_batch_seconds", "Time of a batch", buckets=_SECONDS, **own)
        self.unusable = Counter("onlineml_unusable_photos", "Photos that could not be used", **own)
        self.looks = Counter("onlineml_model_changes", "Models opened after the first", ["outcome"], **own)
        self._model = Gauge("onlineml_model_info", "The model that answers", ["version", "engine"], **own)
        Gauge("onlineml_waiting_photos", "Photos that wait for their turn", **own).set_function(waiting)

    def on_batch(self, photos: int, seconds: float) -> None:
        """Count a batch."""
        self.batch.observe(photos)
        self.batch_s.observe(seconds)

    def on_look(self, changed: bool) -> None:
        """Count a change of the model, or a failure."""
        self.looks.labels("changed" if changed else "failed").inc()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        opened = self._opened()
        self._model.clear()
        self._model.labels(opened.version, opened.engine).set(1)
        return generate_latest(self._registry)


class Watched:
    """ASGI middleware: counts requests and their time.

    Args:
        app: what it surrounds.
        metrics: that count.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin, code = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(path, str(code)).inc()
            self._metrics.request_s.labels(path).observe(time.perf_counter() - begin)
