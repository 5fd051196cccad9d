"""An HTTP proxy that does to requests what networks and careless servers do."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
ACCESS_DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
ANSWERS = {
    "503": (503, SLOW_DOWN),
    "429": (429, SLOW_DOWN.replace(b"SlowDown", b"TooManyRequests")),
    "500": (500, b""),
    "403": (403, ACCESS_DENIED),
    "409": (409, b"<Error><Code>ConditionalRequestConflict</Code></Error>"),
}


@dataclass
class FaultProxy:
    """A proxy for one server.

    Attributes:
        url: of the proxy.
        fault: of each request, by its method, path and number (of its method, from 0): what is done to it; None is
            nothing. ``"reset"``: the connection breaks before an answer. ``"cut"``: after half of the body.
            ``"503"``: SlowDown. ``"429"``: too many requests. ``"500"``: as it is. ``"403"``: access denied.
            ``"slow"``: a byte of the answer in 0.1 s. ``"corrupt"``: one bit of the body is another. ``"long"``: the
            body is announced as 2^40 bytes, and ends after its own. ``"409"``: another condition is being
            looked at, come again. ``"501"``: this condition is not implemented. ``"lost"``: the server does it, the
            answer never comes. ``"unconditional"``: its condition is dropped. ``"look first"``: whether something is
            there is looked at before the write, which comes later. ``"hang"``: nothing comes, until the client gives
            up. ``"says 403 ExpiredToken"``: this status and S3's code, from the region eu-north-7.
        seen: method and path of every request.
    """

    url: str
    fault: Callable[[str, str, int], str | None] = lambda *_: None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def count(self, method: str) -> int:
        return sum(seen[0] == method for seen in self.seen)


@contextlib.contextmanager
def fault_proxy_to(upstream: str) -> Iterator[FaultProxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.block_on_close = False
    proxy = FaultProxy(f"http://127.0.0.1:{server.server_address[1]}")
    server.proxy, server.upstream, server.lock = proxy, urlsplit(upstream).netloc, threading.Lock()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):  # what was reset is closed
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError, ValueError):
            super().finish()

    def _answer(self) -> None:
        proxy: FaultProxy = self.server.proxy
        path = self.path.partition("?")[0]
        with self.server.lock:
            number = proxy.count(self.command)
            proxy.seen.append((self.command, path))
        fault = proxy.fault(self.command, path, number)
        headers = dict(self.headers.items())
        if fault == "look first" and self._is_there(path):
            self._send(412, b"<Error><Code>PreconditionFailed</Code></Error>", {})
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault in {"unconditional", "look first"}:
            headers = {k: v for k, v in headers.items() if k.lower() not in {"if-none-match", "if-match"}}
            time.sleep(0.05 if fault == "look first" else 0)
        if fault == "reset":
            self._reset()
        elif fault == "hang":
            self._wait(5, proxy.fault)
            self._reset()
        elif fault in ANSWERS:
            self._send(*ANSWERS[fault], {})
        elif fault is not None and fault.startswith("says "):
            _, status, code = fault.split()
            error = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>No: {code}</Message></Error>".encode()
            self._send(int(status), error, {"x-amz-bucket-region": "eu-north-7"})
        elif fault == "501" and {"if-none-match", "if-match"} & {name.lower() for name in headers}:
            self._send(501, b"<Error><Code>NotImplemented</Code></Error>", {})
        else:
            self._pass_on(headers, body, fault)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer  # noqa: N815 (the names are http.server's)

    def _wait(self, seconds: float, fault: object) -> None:
        """Sleep, or until the proxy has another fault."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.server.proxy.fault is fault:
            time.sleep(0.01)

    def _is_there(self, path: str) -> bool:
        connection = HTTPConnection(self.server.upstream)
        connection.request("HEAD", path)
        with contextlib.closing(connection):
            return connection.getresponse().status == 200

    def _pass_on(self, headers: dict[str, str], body: bytes, fault: str | None) -> None:
        connection = HTTPConnection(self.server.upstream)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        passed = {k: v for k, v in answer.getheaders() if k.lower() not in {"transfer-encoding", "connection"}}
        if fault == "lost":
            self._reset()
            return
        if fault == "corrupt" and data:
            data = bytes([data[0] ^ 1]) + data[1:]
        self._send(answer.status, data, passed, how=fault or "")

    def _send(self, status: int, data: bytes, headers: dict[str, str], *, how: str = "") -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(1 << 40 if how == "long" else len(data)))
        self.end_headers()
        if self.command != "HEAD" and how == "slow":
            fault = self.server.proxy.fault
            for byte in data:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                self._wait(0.1, fault)
        elif self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if how == "cut" else data)
        if how in {"cut", "long"}:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.rfile.close()
            self.wfile.close()
        self.connection.close()


@pytest.fixture
def fault_proxy(request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    """In front of the main S3 server."""
    with fault_proxy_to(request.getfixturevalue("s3_server").endpoint_url) as proxy:
        yield proxy
