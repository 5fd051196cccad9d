"""A server of objects in memory with the reading half of S3: GET (ranges too), HEAD and ListObjectsV2, unsigned.

Who writes is denied it, as in a bucket that may only be read.

moto serves some 200 objects a second on one core, less than what is to be measured; this one serves some thousands.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sys
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_MODIFIED = formatdate(0, usegmt=True)


class Objects(asyncio.Protocol):
    """One connection; requests are answered in order."""

    def __init__(self, bucket: str, objects: dict[str, bytes]) -> None:
        self.bucket, self.objects = bucket, objects
        self.etags = {key: hashlib.md5(data).hexdigest() for key, data in objects.items()}  # noqa: S324 (S3's ETag)
        self.pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (for the type checker)
        self.transport = transport
        self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head = self.pending[:end].decode("latin-1")
            size = next((int(v) for n, _, v in map(_field, head.split("\r\n")) if n == "content-length"), 0)
            if len(self.pending) < end + 4 + size:
                if "100-continue" in head:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self.pending = self.pending[end + 4 + size :]
            self.transport.write(self.answer(head))

    def answer(self, head: str) -> bytes:
        lines = head.split("\r\n")
        method, target, _ = lines[0].split(" ")
        if method not in {"GET", "HEAD"}:
            return _response(403, b"<Error><Code>AccessDenied</Code></Error>")
        fields = {name: value for name, _, value in map(_field, lines[1:])}
        parts = urlsplit(target)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not key:
            return _response(200, self.listing(bucket, parse_qs(parts.query)))
        if bucket != self.bucket or key not in self.objects:
            return _response(404, b"<Error><Code>NoSuchKey</Code></Error>", send=method == "GET")
        body, status, extra = self.objects[key], 200, f'ETag: "{self.etags[key]}"\r\nLast-Modified: {_MODIFIED}\r\n'
        if "range" in fields:
            first, _, last = fields["range"].removeprefix("bytes=").partition("-")
            start, stop = int(first), min(int(last or len(body)) + 1, len(body))
            extra += f"Content-Range: bytes {start}-{stop - 1}/{len(body)}\r\n"
            body, status = body[start:stop], 206
        return _response(status, body, extra, send=method == "GET")

    def listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>1970-01-01T00:00:00Z</LastModified>"
            f"<ETag>&quot;{self.etags[key]}&quot;</ETag><Size>{len(self.objects[key])}</Size></Contents>"
            for key in sorted(self.objects)
            if key.startswith(prefix)
        )
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{escape(bucket)}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        ).encode()


def _field(line: str) -> tuple[str, str, str]:
    name, colon, value = line.partition(":")
    return name.lower(), colon, value.strip()


def _response(status: int, body: bytes, extra: str = "", *, send: bool = True) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode("latin-1")
    return head + body if send else head


async def serve(bucket: str, objects: dict[str, bytes]) -> None:
    """Serve objects as a bucket; prints the port."""
    template = Objects(bucket, objects)

    def connected() -> Objects:
        one = Objects(bucket, {})
        one.objects, one.etags = template.objects, template.etags
        return one

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main(folder: str, bucket: str) -> None:
    """Serve the files of a folder."""
    root = Path(folder)
    objects = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    asyncio.run(serve(bucket, objects))


if __name__ == "__main__":
    main(*sys.argv[1:])
