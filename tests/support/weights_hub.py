"""A small hub of weights on loopback, with the troubles of real ones."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Hub", "weights_hub"]


@dataclass
class Hub:
    """What the hub holds and does.

    Attributes:
        files: content by path.
        cuts: the number of bytes after which each of the next answers is broken off.
        fails: status codes of the next answers.
        silent_s: seconds before an answer.
        ranges: whether parts can be asked for.
        lied: content that is sent in place of a file, once.
        asked: the path and range of each request.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    fails: list[int] = field(default_factory=list)
    silent_s: float = 0.0
    ranges: bool = True
    lied: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def weights_hub() -> Iterator[Hub]:
    """Serve a hub; a path that begins with ``/redirected`` answers like Hugging Face's, with a checksum."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            time.sleep(hub.silent_s)
            path = self.path.removeprefix(hub.url)  # a proxy is asked for the whole URL
            path = "/" + path.split("://", 1)[-1].split("/", 1)[-1] if "://" in path else path
            hub.asked.append((self.path, self.headers.get("Range", "")))
            if hub.fails:
                return self.send_error(hub.fails.pop(0))
            content = hub.files.get(path.removeprefix("/redirected"))
            if content is None:
                return self.send_error(404)
            if path.startswith("/redirected"):
                self.send_response(302)
                self.send_header("X-Linked-Etag", f'"{sha256(content).hexdigest()}"')
                self.send_header("Location", hub.url + path.removeprefix("/redirected"))
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if hub.lied:
                content = hub.lied.pop(0)
            begin = int(self.headers["Range"][6:-1]) if hub.ranges and "Range" in self.headers else 0
            if begin >= len(content) > 0:
                return self.send_error(416)
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            self.wfile.write(content[begin:][: hub.cuts.pop(0) if hub.cuts else None])
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
