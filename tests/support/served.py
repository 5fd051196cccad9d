"""A server of ours on loopback, and a client of it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
        request = urllib.request.Request(self.url + path, body, named)  # noqa: S310 - of ours
        try:
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - of ours
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
