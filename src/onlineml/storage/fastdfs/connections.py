"""Connections to FastDFS servers: reused, never shared across a fork, with a timeout on every wait."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
import weakref
import zlib
from typing import IO, TYPE_CHECKING, TypeVar

from onlineml.errors import StorageError
from onlineml.storage import patience
from onlineml.storage.fastdfs.wire import HEADER_BYTES, BrokenReplyError, header_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.storage.fastdfs.ids import Address

__all__ = ["Connections", "LostError", "Payload", "ServerError"]

T = TypeVar("T")

_CHUNK = 1 << 20  # bytes of a file per send
_FIRST = 1 << 16  # bytes of the first receive; most replies fit
_MAX_IDLE = 64  # idle connections kept per server
_SMALL_REPLY = 1 << 20  # longer replies are downloads, whose length is known in advance
_LEAST_RATE = 16_384  # bytes per second of a reply, after the timeout for its beginning
_PROBE_S = 1.0  # timeout of a server that did not answer last time
_LONGEST_SILENCE_S = 30.0  # until a server that does not answer is asked first again
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL})
_REMEDIES = {errno.ENOSPC: "; free some space on it: project.sweep() lists what can be deleted of a project"}


class ServerError(StorageError):
    """Errno that a server returned; it is about the server, so not a `ConnectionError` or `FileExistsError` here."""


class LostError(StorageError):
    """A server that cannot be reached, does not answer in time, or ends the connection; another attempt may succeed."""


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
                raise StorageError(f"the file shrank during upload: {left} of {self.size} bytes are missing")
            left -= len(chunk)
            yield self._counted(chunk)

    def _counted(self, chunk: bytes | memoryview) -> bytes | memoryview:
        self.crc32 = zlib.crc32(chunk, self.crc32)
        return chunk


class Connections:
    """Idle connections of this process, by server. Each thread takes one and returns it.

    Servers that do not answer are remembered: they are asked last for a while, with a short timeout.
    """

    def __init__(self, *, connect_timeout_s: float, timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._pid = os.getpid()
        self._idle: dict[Address, list[socket.socket]] = {}
        self._silent: dict[Address, tuple[int, float]] = {}  # failures in a row, and until when it is asked last
        weakref.finalize(self, _close_all, self._idle)

    def exchange(
        self,
        address: Address,
        request: bytes,
        payload: Payload | None = None,
        *,
        parsed: Callable[[bytes], T] = bytes,  # type: ignore[assignment] # T is bytes then
        limit: int = _SMALL_REPLY,
    ) -> T:
        """Send a request and return its reply, parsed.

        Raises:
            FileNotFoundError: the server does not have the file.
            ServerError: the server replied with another errno.
            LostError: there is no whole reply.
            BrokenReplyError: the reply is not one of the protocol.
        """
        body = self.finish(address, self.begin(address, request, payload), limit=limit)
        try:
            return parsed(body)
        except BrokenReplyError as err:
            raise BrokenReplyError(f"{_named(address)}: {err}") from err

    def begin(self, address: Address, request: bytes, payload: Payload | None = None) -> socket.socket:
        """Send a request; the caller must call `finish` for the reply, or close the connection."""
        try:
            connection = self._take(address)
        except OSError as err:
            raise self._failure(address, err) from err
        try:
            if payload is None:
                connection.sendall(request)
            else:
                _send(connection, request, payload)
        except BaseException as err:
            connection.close()
            if isinstance(err, OSError) and not isinstance(err, StorageError):
                raise self._failure(address, err) from err
            raise
        return connection

    def finish(self, address: Address, connection: socket.socket, *, limit: int = _SMALL_REPLY) -> bytes:
        """Receive a reply and return its body.

        The connection is closed on any error except "no such file", the only one after which servers keep it usable.
        """
        try:
            body, status = _receive(connection, limit, self._wait_s(address))
        except BaseException as err:
            connection.close()
            if isinstance(err, BrokenReplyError):
                raise BrokenReplyError(f"{_named(address)}: {err}") from err
            if isinstance(err, OSError):
                raise self._failure(address, err) from err
            raise
        self._silent.pop(address, None)
        if status not in {0, errno.ENOENT}:
            connection.close()
            text = f"{os.strerror(status)} (from {_named(address)}){_REMEDIES.get(status, '')}"
            raise ServerError(status, text)
        self._give(address, connection)
        if status:
            raise FileNotFoundError(status, os.strerror(status))
        return body

    def forget(self, address: Address) -> None:
        """Close idle connections to a server that failed: they are probably broken too."""
        for connection in self._idle.pop(address, []):
            connection.close()

    def is_silent(self, address: Address) -> bool:
        """Return whether a server did not answer several times in a row, and the next attempt is not yet due."""
        return time.monotonic() < self._silent.get(address, (0, 0.0))[1]

    def _wait_s(self, address: Address) -> float:
        """Return the timeout of a server's next answer; a third of the rest of a click, so that others are asked."""
        wait_s = min(self._timeout_s, _PROBE_S) if address in self._silent else self._timeout_s
        return max(0.05, min(wait_s, patience.left_s() / 3))

    def _failure(self, address: Address, err: OSError) -> StorageError:
        if not isinstance(err, ConnectionError | TimeoutError) and err.errno not in _UNREACHABLE:
            return StorageError(f"{_named(address)}: {err}")  # such as no address of this name, or too many open files
        if isinstance(err, ConnectionResetError | BrokenPipeError):  # perhaps only of this connection
            return LostError(f"{_named(address)} ended the connection ({err})")
        failures = self._silent.get(address, (0, 0.0))[0] + 1
        silence_s = 0.0 if failures == 1 else min(_LONGEST_SILENCE_S, 2.0 ** (failures - 2))
        self._silent[address] = failures, time.monotonic() + silence_s
        return LostError(f"{_named(address)} does not answer ({err})")

    def _take(self, address: Address) -> socket.socket:
        if self._pid != os.getpid():  # a forked child: the connections belong to its parent
            _close_all(self._idle)
            self._pid = os.getpid()
        wait_s = self._wait_s(address)
        idle = self._idle.get(address, [])
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread took the last one
                break
            if _is_quiet(connection):
                connection.settimeout(wait_s)
                return connection
            connection.close()
        connection = socket.create_connection(address, timeout=min(self._connect_timeout_s, wait_s))
        connection.settimeout(wait_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _give(self, address: Address, connection: socket.socket) -> None:
        idle = self._idle.setdefault(address, [])
        if len(idle) < _MAX_IDLE:
            idle.append(connection)
        else:
            connection.close()


def _named(address: Address) -> str:
    return f"the FastDFS server {address.host}:{address.port}"


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


def _receive(connection: socket.socket, limit: int, wait_s: float) -> tuple[bytes, int]:
    """Return the body and status of a reply, whose memory is taken as it arrives, at a least rate.

    Raises:
        TimeoutError: it does not begin within ``wait_s``, or is slower than the least rate.
    """
    until = time.monotonic() + wait_s
    first = _some(connection)
    while len(first) < HEADER_BYTES:
        _allow(connection, until)
        first += _some(connection)
    length, status = header_reply(first)
    body = first[HEADER_BYTES:]
    if len(body) == length:
        return body, status
    if length > limit or len(body) > length:
        raise BrokenReplyError(f"a reply has {length} bytes; expected at most {min(limit, length)}")
    until = min(until + length / _LEAST_RATE, time.monotonic() + patience.left_s())
    whole, done = bytearray(body), len(body)
    while done < length:
        if done == len(whole):
            whole.extend(bytes(min(length - done, max(done, _CHUNK))))
        _allow(connection, until)
        with memoryview(whole) as view:
            count = connection.recv_into(view[done:])
        if not count:
            raise BrokenReplyError(f"the server closed the connection after {done} of {length} bytes")
        done += count
    return bytes(whole), status


def _allow(connection: socket.socket, until: float) -> None:
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("its reply is too slow")
    connection.settimeout(left_s)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(_FIRST)
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, "the server closed the connection")
    return data
