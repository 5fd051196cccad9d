"""Bodies that come slowly, half, too large or all at once; and an application that others start, or nobody."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from onlineml.serving import create_app
from onlineml.serving.bodies import TOGETHER, Bounded

if TYPE_CHECKING:
    import pytest

    import onlineml as oml
    from served import Asked


def sent(ask: Asked, data: bytes) -> socket.socket:
    host, _, port = ask.url.rpartition("/")[2].partition(":")
    client = socket.create_connection((host, int(port)), timeout=30)
    client.sendall(data)
    return client


def read(bounded: Bounded, receive: Any) -> Any:
    """Run one request through the middleware, whose application reads the body; return it or the error."""

    async def run() -> None:
        await bounded({"type": "http", "headers": []}, receive, None)

    return run()


def reading(found: list[Any]) -> Any:
    async def app(scope: Any, receive: Any, _send: Any) -> None:
        try:
            found.append(await Request(scope, receive).body())
            await asyncio.sleep(0.05)  # it is held until the answer is given
        except HTTPException as error:
            found.append(error.status_code)

    return app


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def receive() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    found: list[Any] = []
    begin = time.monotonic()
    asyncio.run(read(Bounded(reading(found), max_bytes=1000, first_s=0.2), receive))
    assert found == [408]
    assert 0.2 <= time.monotonic() - begin < 5


def test_all_bodies_together_are_bounded_and_forgotten_afterwards() -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 1000, "more_body": False}

    async def run() -> None:
        await asyncio.gather(*(read(bounded, receive) for _ in range(TOGETHER + 3)))

    found: list[Any] = []
    bounded = Bounded(reading(found), max_bytes=1000)
    for _ in range(2):
        found.clear()
        asyncio.run(run())
        assert sorted(map(str, found)) == sorted(["503"] * 3 + [str(b"x" * 1000)] * TOGETHER)


def test_what_is_announced_as_too_large_is_refused_before_it_is_sent(small: Asked) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n"
    with sent(small, head) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_compressed_bodies_are_refused_by_name(small: Asked) -> None:
    for path in ("/predict", "/v2/models/model/infer"):
        answered = small(path, b"\x1f\x8b", content_encoding="gzip")
        assert (answered.code, "gzip" in answered.json["error"]) == (415, True)


def test_a_client_that_leaves_within_its_body_is_counted_and_logged_as_no_failure(
    small: Asked, caplog: pytest.LogCaptureFixture
) -> None:
    before = small("/metrics").body.count(b'code="500"')
    with caplog.at_level(logging.WARNING):
        sent(small, b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").close()
        until = time.monotonic() + 30
        while b'onlineml_requests_total{code="499",path="/predict"}' not in small("/metrics").body:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert not caplog.records
    assert small("/metrics").body.count(b'code="500"') == before


def ours() -> set[threading.Thread]:
    return {one for one in threading.enumerate() if one.name in ("onlineml-serving", "onlineml-follow")}


def test_an_application_starts_again_and_within_a_larger_one(
    known: oml.ImageClassifier, manifest: oml.Manifest
) -> None:
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    photo = Path(manifest.urls()[0]).read_bytes()
    app, before = create_app(known), ours()
    for _ in range(2):
        with TestClient(app) as client:
            assert client.post("/predict", content=photo).status_code == 200
        assert ours() == before
    whole = FastAPI()  # which tells an application within it neither that it starts nor that it ends
    whole.mount("/photos", app)
    with TestClient(whole) as client:
        assert client.get("/photos/v2/health/ready").status_code == 200
        assert client.post("/photos/predict", content=photo).status_code == 200
    with TestClient(app):
        pass
    assert ours() == before


def test_an_error_that_nobody_foresaw_is_json_too(known: oml.ImageClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    from onlineml.serving import app as routes

    monkeypatch.setattr(routes, "infer_request", lambda *_, **__: {}["secret"])
    with TestClient(create_app(known), raise_server_exceptions=False) as client:
        answered = client.post("/v2/models/model/infer", content=b"{}")
    assert answered.status_code == 500
    assert answered.json() == {"error": "the server failed; its log says why"}
