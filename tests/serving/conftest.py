"""What the tests of the server share: models of each task, and a real server on loopback."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tiny import CLASSES, decoded_photos, manifest, photos
from tiny_boxes import trained
from tiny_labels import knowing_model, label_manifest
from tiny_projects import colour_model, fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import onlineml as oml
    from onlineml.tasks.base import VisionModule

__all__ = ["decoded_photos", "manifest", "photos", "trained"]


class Answered(NamedTuple):
    """What came back."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Asked:
    """A client of one server."""

    def __init__(self, url: str, app: Any) -> None:
        self.url, self.app = url, app

    def __call__(self, path: str, body: bytes | None = None, **headers: str) -> Answered:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return Answered(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, error.headers, error.read())

    def form(self, files: Mapping[str, bytes], path: str = "/predict") -> Answered:
        parts = [
            f'--cut\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'.encode() + content
            for name, content in files.items()
        ]
        body = b"\r\n".join([*parts, b"--cut--\r\n"])
        return self(path, body, content_type="multipart/form-data; boundary=cut")


@contextlib.contextmanager
def running(app: Any) -> Iterator[Asked]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Asked(f"http://127.0.0.1:{port}", app)
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def serving() -> Iterator[Callable[..., Asked]]:
    """A function of `create_app`'s arguments that returns a client of a running server."""
    from onlineml.serving import create_app

    with contextlib.ExitStack() as stack:
        yield lambda *given, **named: stack.enter_context(running(create_app(*given, **named)))


@pytest.fixture(scope="package")
def small(known: oml.ImageClassifier) -> Iterator[Asked]:
    """A server with narrow limits."""
    from onlineml.serving import Limits, create_app

    with running(create_app(known, limits=Limits(max_photos=2, max_mb=0.05, max_batch=2))) as ask:
        yield ask


@pytest.fixture(scope="package")
def known(manifest: oml.Manifest) -> oml.ImageClassifier:
    return fitted(colour_model(CLASSES), manifest)


@pytest.fixture(scope="package")
def labelled(tmp_path_factory: pytest.TempPathFactory, decoded_photos: None) -> tuple[VisionModule, oml.Manifest]:
    data = label_manifest(tmp_path_factory.mktemp("labels"))
    return knowing_model(data), data
