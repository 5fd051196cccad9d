"""Connections to FastDFS servers: kept for reuse, never shared across a fork, every wait bounded."""

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

_CHUNK = 1 << 20  # of a file that is sent
_FIRST = 1 << 16  # of a reply: most are read in one go
_MAX_IDLE = 64  # connections kept to one server
_SMALL_REPLY = 1 << 20  # longer ones are downloads, whose length is known before


class ServerError(OSError):
    """A server answered with an errno: its own trouble, so neither a `ConnectionError` nor a `FileExistsError` here."""


class Payload:
    """The data of an upload, from memory or from a file that can be read again for another try.

    Attributes:
        size: bytes.
        crc32: of what has been sent.
    """

    def __init__(self, source: bytes | memoryview | IO[bytes], size: int | None = None) -> None:
        self._source = source
        self.size = len(source) if isinstance(source, bytes | memoryview) else size or 0
        self.crc32 = 0

    def chunks(self) -> Iterator[bytes | memoryview]:
        """All of it, from the start."""
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
                raise OSError(errno.EIO, f"the file that is uploaded became shorter: {left} of {self.size} bytes lack")
            left -= len(chunk)
            yield self._counted(chunk)

    def _counted(self, chunk: bytes | memoryview) -> bytes | memoryview:
        self.crc32 = zlib.crc32(chunk, self.crc32)
        return chunk


class Connections:
    """The idle connections of this process, by server. Threads take one each and give it back."""

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
            FileNotFoundError: the server has no such file.
            ServerError: the server's answer is another errno.
            OSError: of the network.
        """
        return self.finish(address, self.begin(address, request, payload), limit=limit)

    def begin(self, address: Address, request: bytes, payload: Payload | None = None) -> socket.socket:
        """Send a request; the reply is had by `finish`, unless the connection is closed instead."""
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
        """The body of the reply.

        The connection is dropped on any error but "no such file", after which alone the servers keep it in order.
        """
        try:
            body, status = _receive(connection, limit)
        except BaseException:
            connection.close()
            raise
        if status not in {0, errno.ENOENT}:
            connection.close()
            raise ServerError(status, f"{os.strerror(status)}, says the FastDFS server {address.host}:{address.port}")
        self._give(address, connection)
        if status:
            raise FileNotFoundError(status, os.strerror(status))
        return body

    def forget(self, address: Address) -> None:
        """Close what is idle to a server that failed: its other connections are as old."""
        for connection in self._idle.pop(address, []):
            connection.close()

    def _take(self, address: Address) -> socket.socket:
        if self._pid != os.getpid():  # a forked child: the connections are its parent's
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
    """Whether an idle connection is as it must be: open, with nothing to read."""
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
    if head is not None:  # no data at all
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
        raise BrokenReplyError(f"a reply of {length} bytes; at most {min(limit, length)} were expected")
    whole = bytearray(length)
    whole[: len(body)] = body
    view, done = memoryview(whole), len(body)
    while done < length:
        count = connection.recv_into(view[done:])
        if not count:
            raise BrokenReplyError(f"the server ended the connection after {done} of {length} bytes")
        done += count
    return bytes(whole), status


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(_FIRST)
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, "the server ended the connection")
    return data
