"""Connections to FastDFS servers: reused, never shared across a fork, with a timeout on every wait."""

from __future__ import annotations

import errno
import os
import select
import socket
import weakref
import zlib
from typing import IO, TYPE_CHECKING

from onlineml.storage.fastdfs.wire import HEADER_BYTES, BrokenReplyError, header_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onlineml.storage.fastdfs.ids import Address

__all__ = ["Connections", "Payload", "ServerError"]

_CHUNK = 1 << 20  # bytes of a file per send
_FIRST = 1 << 16  # bytes of the first receive; most replies fit
_MAX_IDLE = 64  # idle connections kept per server
_SMALL_REPLY = 1 << 20  # longer replies are downloads, whose length is known in advance


class ServerError(OSError):
    """Errno that a server returned; it is about the server, so not a `ConnectionError` or `FileExistsError` here."""


class Payload:
    """Data of an upload, from memory or from a file that can be read again for a retry.

    Attributes:
        size: bytes.
        crc32: checksum of the bytes sent so far.
    """

    def __init__(self, source: bytes | memoryview | IO[bytes], size: int | None = None) -> None:
        self._source = source
        self.size = len(source) if isinstance(source, bytes | memoryview) else size or 0
        self.crc32 = 0

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield all data, from the start."""
        self.crc32 = 0
        if isinstance(self._source, bytes | memoryview):
            view = memoryview(self._source)
            for start in range(0, self.size, _CHUNK):
                yield self._counted(view[start : start + _CHUNK])
            return
        self._source.seek(0)
        left = self.size
        while left:
            chunk = self._source.read(min(_CHUNK, left))
            if not chunk:
                raise OSError(errno.EIO, f"the file shrank during upload: {left} of {self.size} bytes are missing")
            left -= len(chunk)
            yield self._counted(chunk)

    def _counted(self, chunk: bytes | memoryview) -> bytes | memoryview:
        self.crc32 = zlib.crc32(chunk, self.crc32)
        return chunk


class Connections:
    """Idle connections of this process, by server. Each thread takes one and returns it."""

    def __init__(self, *, connect_timeout_s: float, timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._pid = os.getpid()
        self._idle: dict[Address, list[socket.socket]] = {}
        weakref.finalize(self, _close_all, self._idle)

    def exchange(
        self, address: Address, request: bytes, payload: Payload | None = None, *, limit: int = _SMALL_REPLY
    ) -> bytes:
        """Send a request and return the body of its reply.

        Raises:
            FileNotFoundError: the server does not have the file.
            ServerError: the server replied with another errno.
            OSError: a network error.
        """
        return self.finish(address, self.begin(address, request, payload), limit=limit)

    def begin(self, address: Address, request: bytes, payload: Payload | None = None) -> socket.socket:
        """Send a request; the caller must call `finish` for the reply, or close the connection."""
        connection = self._take(address)
        try:
            if payload is None:
                connection.sendall(request)
            else:
                _send(connection, request, payload)
        except BaseException:
            connection.close()
            raise
        return connection

    def finish(self, address: Address, connection: socket.socket, *, limit: int = _SMALL_REPLY) -> bytes:
        """Receive a reply and return its body.

        The connection is closed on any error except "no such file", the only one after which servers keep it usable.
        """
        try:
            body, status = _receive(connection, limit)
        except BaseException:
            connection.close()
            raise
        if status not in {0, errno.ENOENT}:
            connection.close()
            raise ServerError(status, f"{os.strerror(status)} (from the FastDFS server {address.host}:{address.port})")
        self._give(address, connection)
        if status:
            raise FileNotFoundError(status, os.strerror(status))
        return body

    def forget(self, address: Address) -> None:
        """Close idle connections to a server that failed: they are probably broken too."""
        for connection in self._idle.pop(address, []):
            connection.close()

    def _take(self, address: Address) -> socket.socket:
        if self._pid != os.getpid():  # a forked child: the connections belong to its parent
            _close_all(self._idle)
            self._pid = os.getpid()
        idle = self._idle.get(address, [])
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took the last one
                break
            if _is_quiet(connection):
                return connection
            connection.close()
        connection = socket.create_connection(address, timeout=self._connect_timeout_s)
        connection.settimeout(self._timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _give(self, address: Address, connection: socket.socket) -> None:
        idle = self._idle.setdefault(address, [])
        if len(idle) < _MAX_IDLE:
            idle.append(connection)
        else:
            connection.close()


def _close_all(idle: dict[Address, list[socket.socket]]) -> None:
    for connections in idle.values():
        for connection in connections:
            connection.close()
    idle.clear()


def _is_quiet(connection: socket.socket) -> bool:
    """Return whether an idle connection is usable: open, with no unread bytes."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return not poll.poll(0)


def _send(connection: socket.socket, request: bytes, payload: Payload) -> None:
    head: bytes | None = request
    for chunk in payload.chunks():
        if head is not None and len(chunk) < _FIRST:
            connection.sendall(head + bytes(chunk))
        else:
            if head is not None:
                connection.sendall(head)
            connection.sendall(chunk)
        head = None
    if head is not None:  # the payload is empty
        connection.sendall(head)


def _receive(connection: socket.socket, limit: int) -> tuple[bytes, int]:
    first = b""
    while len(first) < HEADER_BYTES:
        first += _some(connection)
    length, status = header_reply(first)
    body = first[HEADER_BYTES:]
    if len(body) == length:
        return body, status
    if length > limit or len(body) > length:
        raise BrokenReplyError(f"a reply has {length} bytes; expected at most {min(limit, length)}")
    whole = bytearray(length)
    whole[: len(body)] = body
    view, done = memoryview(whole), len(body)
    while done < length:
        count = connection.recv_into(view[done:])
        if not count:
            raise BrokenReplyError(f"the server closed the connection after {done} of {length} bytes")
        done += count
    return bytes(whole), status


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(_FIRST)
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
    return data
