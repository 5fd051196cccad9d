"""The application: routes, the token, and errors as JSON."""

from __future__ import annotations

import asyncio
import hmac
import logging
import threading
from collections.abc import AsyncIterator  # noqa: TC003 - FastAPI reads annotations
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from onlineml import __version__
from onlineml.errors import ConfigError, DataError, OnlineMLError, without_credentials
from onlineml.inference.predictor import predict
from onlineml.serving.batching import Batcher, BusyError, Options
from onlineml.serving.bodies import Bounded
from onlineml.serving.forms import photos_in
from onlineml.serving.kserve import BINARY, infer_request, metadata, outputs_of
from onlineml.serving.metrics import Metrics, Watched
from onlineml.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.serving.batching import Answer
    from onlineml.serving.current import CurrentModel
    from onlineml.serving.server import Limits

__all__ = ["application"]

_LOG = logging.getLogger(__name__)
_ALL = 1_000_000  # classes of a photo, or objects
_LEAVING_S = 5.0  # for a look that is under way when the server ends
_LEFT = 499  # as nginx counts it
_VERSION = "onlineml-model-version"  # header of each answer


class _Server:
    """Model, counters and threads, which the routes share."""

    def __init__(self, current: CurrentModel, name: str, limits: Limits) -> None:
        self.current, self.name, self.limits = current, name, limits
        self.metrics = Metrics(lambda: self.batcher.waiting, lambda: current.opened)
        self.batcher = Batcher(
            current,
            max_batch=limits.max_batch,
            max_waiting=limits.max_waiting,
            on_batch=self.metrics.on_batch,
        )
        self._follower: threading.Thread | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the threads that do not run yet: an application within a larger one is never told that it starts."""
        self.batcher.start()
        if self.current.moves and self._follower is None:
            self._stopped = threading.Event()
            options = {"every_s": self.limits.look_every_s, "stopped": self._stopped, "on_look": self.metrics.on_look}
            self._follower = threading.Thread(
                target=self.current.follow, kwargs=options, name="onlineml-follow", daemon=True
            )
            self._follower.start()

    @asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run the threads."""
        self.start()
        try:
            yield
        finally:
            self._stopped.set()
            await asyncio.to_thread(self.batcher.stop)
            if self._follower is not None:
                await asyncio.to_thread(self._follower.join, _LEAVING_S)
                self._follower = None

    async def answer(self, request: Request, photos: Sequence[Any], options: Options) -> Answer:
        """Return the answer for photos; nothing is predicted for a client that has left.

        Raises:
            HTTPException: 503 if too many wait, 400 for options that the model does not take, 500 for anything else.
        """
        self.start()
        try:
            future = asyncio.wrap_future(self.batcher.submit(photos, options))
            answer = await _while_connected(request, future)
        except BusyError as error:
            most = self.limits.max_waiting
            raise HTTPException(503, f"{most} photos are waiting: ask again", {"Retry-After": "1"}) from error
        except (ConfigError, DataError) as error:  # also too few photos for a miss rate
            raise HTTPException(400, without_credentials(str(error))) from error
        except (OnlineMLError, RuntimeError, ValueError, MemoryError) as error:
            _LOG.error("%d photos were not predicted for: %s", len(photos), without_credentials(str(error)))
            raise HTTPException(500, "the model gave no answer; the server's log says why") from error
        self.metrics.unusable.inc(sum(row.error is not None for row in answer.rows))
        return answer


async def _while_connected(request: Request, future: asyncio.Future[Answer]) -> Answer:
    """Wait for an answer, and cancel it if the client leaves.

    Raises:
        HTTPException: it has left; nobody reads this.
    """
    left = asyncio.ensure_future(request.receive())  # the body has been read: what comes next is that it left
    try:
        await asyncio.wait((future, left), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            future.cancel()
            raise HTTPException(_LEFT, "the client has left")
        return future.result()
    finally:
        left.cancel()


def application(current: CurrentModel, *, name: str, token: str | None, limits: Limits) -> FastAPI:
    """Return the application.

    Args:
        current: the model.
        name: of the model in the KServe protocol.
        token: see `onlineml.serving.create_app`.
        limits: what it takes.
    """
    server = _Server(current, name, limits)
    app = FastAPI(
        title=f"onlineml: {name}", version=__version__, lifespan=server.running, docs_url=None, redoc_url=None
    )
    app.add_middleware(Bounded, max_bytes=limits.max_bytes)
    app.add_middleware(Watched, metrics=server.metrics)
    for kind in (HTTPException, RequestValidationError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, _as_json)
    guarded = [Depends(_guard(token))]
    _add_own(app, server, guarded)
    _add_kserve(app, server, guarded)
    return app


def _guard(token: str | None) -> Any:
    expected = None if token is None else f"Bearer {token.strip()}".encode()

    def checked(request: Request) -> None:
        given = request.headers.get("authorization", "").encode("latin-1")  # the bytes that came
        if expected is not None and not hmac.compare_digest(given, expected):
            raise HTTPException(401, "expected the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    return checked


async def _as_json(_request: Request, error: Exception) -> Response:
    """Answer an error as the KServe protocol does."""
    if isinstance(error, HTTPException):
        return _json({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))
    if isinstance(error, RequestValidationError):
        return _json({"error": "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())}, 400)
    if isinstance(error, ClientDisconnect):
        return _json({"error": "the client left before the request was complete"}, _LEFT)
    return _json({"error": "the server failed; its log says why"}, 500)  # which the middleware around this one logs


def _json(content: Any, code: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer in JSON; nan is null."""
    return Response(msgspec.json.encode(content), code, headers, "application/json")


def _add_own(app: FastAPI, server: _Server, guarded: Sequence[Any]) -> None:
    @app.post("/predict", dependencies=guarded)
    async def predict_photos(
        request: Request,
        top_k: Annotated[int | None, Query(ge=1)] = None,
        threshold: Annotated[float | None, Query(ge=0, le=1)] = None,
        miss_rate: Annotated[float | None, Query(gt=0, le=0.5)] = None,
    ) -> Response:
        """Predict for the photos of a form (files), of JSON ({"images": [base64, ...]}), or for the body itself."""
        limits = server.limits
        names, photos = await photos_in(request, max_photos=limits.max_photos, max_bytes=limits.max_bytes)
        answer = await server.answer(request, photos, Options(top_k, threshold, miss_rate))
        rows = [{**row.to_dict(), "uri": name} for name, row in zip(names, answer.rows, strict=True)]
        about = {"model": server.name, "version": answer.opened.version}
        return _json({**about, "task": answer.opened.model.task, "predictions": rows}, headers=_named(answer))

    @app.get("/metrics", dependencies=guarded)
    async def metrics() -> Response:
        """Everything that is counted, for Prometheus."""
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/")
    async def about() -> Response:
        """The model, and where to ask it."""
        opened = server.current.opened
        paths = ["/predict", f"/v2/models/{server.name}/infer", "/v2/health/ready", "/metrics", "/openapi.json"]
        told = {"version": opened.version, "engine": opened.engine, "class_names": list(opened.model.class_names)}
        return _json({"model": server.name, "task": opened.model.task, **told, "paths": paths})


def _named(answer: Answer) -> dict[str, str]:
    return {_VERSION: answer.opened.version} if answer.opened.version else {}


def _add_kserve(app: FastAPI, server: _Server, guarded: Sequence[Any]) -> None:
    @app.get("/v2")
    async def about_server() -> Response:
        """The server's metadata."""
        return _json({"name": "onlineml", "version": __version__, "extensions": ["binary_tensor_data"]})

    @app.get("/v2/health/live")
    async def live() -> Response:
        """Answer while the server runs."""
        return _json({"live": True})

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        """Answer 200 while it predicts."""
        server.start()
        alive = server.batcher.is_alive
        return _json({"ready": alive}, 200 if alive else 503)

    def known(model: str, version: str | None, now: str) -> None:
        if model != server.name:
            raise HTTPException(404, f"there is no model {model!r}: this server has {server.name!r}")
        if version is not None and version != now:
            raise HTTPException(404, f"there is no version {version!r} of {model!r}: this server answers with {now!r}")

    @app.get("/v2/models/{model}/ready")
    @app.get("/v2/models/{model}/versions/{version}/ready")
    async def model_ready(model: str, version: str | None = None) -> Response:
        """Answer 200 while the model predicts."""
        known(model, version, server.current.opened.version)
        return await ready()

    @app.get("/v2/models/{model}", dependencies=guarded)
    @app.get("/v2/models/{model}/versions/{version}", dependencies=guarded)
    async def about_model(model: str, version: str | None = None) -> Response:
        """The model's metadata."""
        opened = server.current.opened
        known(model, version, opened.version)
        tensors = task_of(opened.model).load("tensors")
        arrays = tensors(list(predict(opened.model, [])), opened.model.class_names)
        return _json(metadata(server.name, opened.version, arrays))

    @app.post("/v2/models/{model}/infer", dependencies=guarded)
    @app.post("/v2/models/{model}/versions/{version}/infer", dependencies=guarded)
    async def infer(request: Request, model: str, version: str | None = None) -> Response:
        """Predict for the photos of one input, BYTES (files) or UINT8 (pixels)."""
        known(model, version, server.current.opened.version)
        length = request.headers.get(BINARY)
        if length is not None and not length.isdecimal():
            raise HTTPException(400, f"the header {BINARY} is {length!r}: expected the JSON's length in bytes")
        json_bytes = None if length is None else int(length[:12])
        most, body = server.limits.max_photos, await request.body()
        asked = await asyncio.to_thread(infer_request, body, json_bytes=json_bytes, max_photos=most)
        answer = await server.answer(request, asked.photos, Options(_ALL, asked.threshold))
        opened = answer.opened
        known(model, version, opened.version)  # another one may have been promoted in between
        arrays = task_of(opened.model).load("tensors")(answer.rows, opened.model.class_names)
        about = {"model_name": model, "model_version": opened.version, "id": asked.id}
        return _json({**about, "outputs": outputs_of(arrays, asked.outputs)}, headers=_named(answer))
