"""A FastDFS cluster as a client sees it: files stored, read and deleted, with failover and retries.

Nothing here knows of names: see `onlineml.storage._fastdfs_volume`.
"""

from __future__ import annotations

import contextlib
import errno
import random
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from onlineml.errors import StorageError
from onlineml.storage import _fastdfs_wire as wire
from onlineml.storage._fastdfs_connections import Connections, Payload, ServerError
from onlineml.storage._fastdfs_ids import Address, FileId, address_text

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

__all__ = ["Begun", "Client", "Settings", "backoff"]

T = TypeVar("T")

_ROUTE_S = 60.0  # for so long it is believed where a server is
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EADDRNOTAVAIL})
_LASTING = frozenset({errno.EINVAL, errno.ENOSPC, errno.EDQUOT, errno.EPERM, errno.EACCES, errno.EROFS})
_MAX_LOG = 1 << 30


@dataclass(frozen=True)
class Settings:
    """How a cluster is reached.

    Attributes:
        trackers: all of them; any one that answers will do.
        connect_timeout_s: for a connection.
        timeout_s: for each single wait for a server.
        attempts: how often a request that failed for the moment is made in all.
    """

    trackers: tuple[Address, ...]
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    attempts: int = 8


class _Route(NamedTuple):
    address: Address | None  # None: the trackers know no such server
    active: bool
    until: float


@dataclass(frozen=True, slots=True)
class Begun:
    """A read whose bytes are on their way."""

    connections: Connections
    address: Address
    connection: socket.socket
    file: FileId
    count: int

    def finish(self) -> bytes:
        """The bytes, checked; or whatever error."""
        data = self.connections.finish(self.address, self.connection, limit=self.count)
        return _whole(data, self.file, self.count, self.address)

    def drop(self) -> None:
        """Do without them."""
        self.connection.close()


def _whole(data: bytes, file: FileId, count: int, address: Address) -> bytes:
    """The data, if they are what was asked for; a whole file is held against the checksum in its id."""
    if len(data) != count:
        raise wire.BrokenReplyError(f"{file}: {len(data)} bytes came where {count} were asked for")
    if count == file.size and zlib.crc32(data) != file.crc32:
        raise wire.BrokenReplyError(f"{file} is damaged on {address.host}: its checksum is not that of its id")
    return data


def backoff(attempt: int) -> None:
    """Wait before another attempt: about 0.05 s, 0.1 s, 0.2 s, …, 2 s at most."""
    time.sleep(min(2.0, 0.05 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)


def _passes(err: OSError) -> bool:
    """Whether another attempt may succeed."""
    if isinstance(err, ServerError):
        return err.errno not in _LASTING
    return isinstance(err, ConnectionError | TimeoutError) or err.errno in _UNREACHABLE


class Client:
    """A cluster. Threads may share it, and a forked child may go on using it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connections = Connections(connect_timeout_s=settings.connect_timeout_s, timeout_s=settings.timeout_s)
        self._trackers = list(settings.trackers)  # the last that answered comes first
        self._routes: dict[tuple[str, str], _Route] = {}

    # ---- trackers ----

    def _ask(self, request: bytes, parsed: Callable[[bytes], T]) -> T:
        """The answer of the first tracker that has one.

        Raises:
            FileNotFoundError: no tracker knows what was asked for.
            StorageError: no tracker answers.
        """
        failure: OSError | None = None
        for attempt in range(self.settings.attempts):
            if attempt:
                backoff(attempt - 1)
            missing = None
            failure = None
            for tracker in tuple(self._trackers):
                try:
                    answer = parsed(self._connections.exchange(tracker, request))
                except FileNotFoundError as err:
                    missing = err
                except OSError as err:
                    failure = err
                    self._connections.forget(tracker)
                else:
                    self._trackers = [tracker, *(other for other in self._trackers if other != tracker)]
                    return answer
            if missing is not None:
                raise missing
        names = address_text(self.settings.trackers)
        raise StorageError(f"no FastDFS tracker of {names} answers: {failure}") from failure

    def source(self, file: FileId, *, fresh: bool = False) -> _Route:
        """Where the server is that the file was uploaded to."""
        key = (file.group, file.source)
        route = self._routes.get(key)
        if route is None or fresh or route.until < time.monotonic():
            request = wire.list_storages(file.group, file.source)
            until = time.monotonic() + _ROUTE_S
            try:
                found = self._ask(request, lambda body: wire.storages_reply(body, file.source))[0]
                route = _Route(found.address, found.active, until)
            except FileNotFoundError:
                route = _Route(None, active=False, until=until)
            self._routes[key] = route
        return route

    def is_source(self, file: FileId, address: Address, *, fresh: bool = False) -> bool:
        """Whether a server is the one that the file was uploaded to."""
        known = self.source(file, fresh=fresh).address
        return known is not None and (known == address or (not known.port and known.host == address.host))

    def update_server(self, file: FileId) -> Address:
        """The server that the tracker has changes of the file made on."""
        return self._ask(wire.query_update(file), wire.server_reply)

    def read_server(self, file: FileId) -> Address:
        """The server that the tracker has the file read from."""
        return self._ask(wire.query_read(file), wire.server_reply)

    # ---- storing ----

    def upload(self, payload: Payload, *, extension: str = "", group: str | None = None) -> FileId:
        """Store a file and check what arrived; what a failed attempt may have left is of no name and harmless.

        Raises:
            StorageError: no server takes files.
            OSError: of the server or the network, after all attempts.
        """

        def attempt() -> FileId:
            file = self._stored(payload, extension, group, appender=False)
            if (file.size, file.crc32) != (payload.size, payload.crc32):
                with contextlib.suppress(OSError):
                    self.delete(file)
                raise wire.BrokenReplyError(f"{file} is not what was sent: {payload.size} bytes, {payload.crc32:08x}")
            return file

        return self._again(attempt)

    def upload_appender(self, data: bytes, *, extension: str = "", group: str | None = None) -> FileId:
        """Store a file to which bytes can be appended."""
        return self._again(lambda: self._stored(Payload(data), extension, group, appender=True))

    def _stored(self, payload: Payload, extension: str, group: str | None, *, appender: bool) -> FileId:
        try:
            target = self._ask(wire.query_store(group), wire.target_reply)
        except FileNotFoundError as err:
            where = f"the group {group!r}" if group else "any group"
            raise StorageError(
                f"the trackers {address_text(self.settings.trackers)} know no storage server of {where} that "
                "takes files; is one running, and has it space?"
            ) from err
        request = wire.upload(target.path_index, payload.size, extension, appender=appender)
        try:
            file = wire.file_id_reply(self._connections.exchange(target.address, request, payload))
        except ServerError as err:
            if err.errno != errno.EINVAL:
                raise
            # a server in trunk mode answers so while the trunk server is starting
            raise ServerError(errno.EAGAIN, str(err)) from err
        until = time.monotonic() + _ROUTE_S
        self._routes[file.group, file.source] = _Route(target.address, active=True, until=until)
        return file

    def _again(self, attempt: Callable[[], T]) -> T:
        for number in range(self.settings.attempts - 1):
            try:
                return attempt()
            except OSError as err:
                if not _passes(err):
                    raise
            backoff(number)
        return attempt()

    def delete(self, file: FileId) -> None:
        """Delete a file.

        Raises:
            FileNotFoundError: there is none.
        """
        for number in range(self.settings.attempts):
            try:
                self._connections.exchange(self.update_server(file), wire.delete(file))
            except FileNotFoundError:
                if not number:
                    raise  # else an attempt succeeded whose answer got lost
            except OSError as err:
                if not _passes(err) or number == self.settings.attempts - 1:
                    raise
                backoff(number)
                continue
            return

    # ---- reading ----

    def read(self, file: FileId, start: int, stop: int) -> bytes:
        """The bytes of a file from start to stop, which lie within it; from any replica that has them.

        Raises:
            FileNotFoundError: there is no such file.
        """
        if stop <= start:
            return b""
        begun = self.begin_read(file, start, stop)
        if begun is not None:
            with contextlib.suppress(OSError):
                return begun.finish()  # nearly always, and without any question to a tracker
        request, count = wire.download(file, start, stop - start), stop - start
        return self._from_any(
            file,
            lambda address: _whole(self._connections.exchange(address, request, limit=count), file, count, address),
        )

    def begin_read(self, file: FileId, start: int, stop: int) -> Begun | None:
        """Ask for bytes of a file where it was uploaded to, if that is known, without waiting for them."""
        route = self._routes.get((file.group, file.source))
        if route is None or route.address is None or route.until < time.monotonic():
            return None
        try:
            connection = self._connections.begin(route.address, wire.download(file, start, stop - start))
        except OSError:
            self._connections.forget(route.address)
            return None
        return Begun(self._connections, route.address, connection, file, stop - start)

    def info(self, file: FileId) -> wire.Info:
        """Size and time of a file, as a server sees it.

        Raises:
            FileNotFoundError: there is no such file.
        """
        request = wire.query_info(file)
        return self._from_any(file, lambda address: wire.info_reply(self._connections.exchange(address, request)))

    def _from_any(self, file: FileId, read: Callable[[Address], T]) -> T:
        failure: OSError | None = None
        for number in range(self.settings.attempts):
            if number:
                backoff(number - 1)
            failure = None
            for address in self._readers(file):
                try:
                    return read(address)
                except FileNotFoundError:
                    # the source knows, unless it is just being rebuilt; a replica may not have it yet, or still
                    if self.is_source(file, address) and self.source(file, fresh=True).active:
                        raise
                except OSError as err:
                    failure = err
                    self._connections.forget(address)
            if failure is None:
                raise FileNotFoundError(errno.ENOENT, f"no FastDFS server has {file}")
            if not (_passes(failure) or failure.errno == errno.EINVAL):  # EINVAL: a replica that has less of it
                raise failure
        assert failure is not None  # noqa: S101 (there is at least one attempt)
        raise failure

    def _readers(self, file: FileId) -> Iterator[Address]:
        """The servers that may have a file, the likeliest first; trackers are asked as late as possible."""
        seen = set()
        questions: tuple[Callable[[], list[Address | None]], ...] = (
            lambda: [self.source(file).address],
            lambda: [self.read_server(file)],
            lambda: [*self._ask(wire.query_read_all(file), wire.servers_reply)],
            lambda: [s.address for s in self._ask(wire.list_storages(file.group), wire.storages_reply) if s.active],
        )
        for question in questions:
            try:
                answers = question()
            except FileNotFoundError:
                continue
            for address in answers:
                if address is not None and address.port and address not in seen:
                    seen.add(address)
                    yield address

    # ---- appender files ----

    def append(self, address: Address, file: FileId, data: bytes) -> None:
        """Append to an appender file on one server, in one attempt; when it fails, it may have happened or not."""
        self._connections.exchange(address, wire.append(file, len(data)), Payload(data))

    def read_tail(self, file: FileId, offset: int) -> bytes:
        """What an appender file holds from an offset on, which is known to lie before its end.

        The server that it was uploaded to is asked; only where the tracker counts that one as down, a replica.

        Returns:
            The bytes; none where a replica is asked that has less.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: EINVAL where the file itself is not longer than the offset.
        """
        request = wire.download(file, offset)

        def attempt() -> bytes:
            address = self.source(file).address
            if address is None or not address.port:
                address = self.read_server(file)
            try:
                return self._connections.exchange(address, request, limit=_MAX_LOG)
            except OSError as err:
                self._connections.forget(address)
                if not _passes(err):
                    raise
            return self._replica_tail(file, request)

        return self._again(attempt)

    def _replica_tail(self, file: FileId, request: bytes) -> bytes:
        address = self.read_server(file)
        try:
            return self._connections.exchange(address, request, limit=_MAX_LOG)
        except OSError as err:
            if self.is_source(file, address):
                raise
            if err.errno == errno.EINVAL:
                return b""
            if isinstance(err, FileNotFoundError):
                raise StorageError(
                    f"{file} is not on {address.host}; the server {file.source} that has it is down, bring it back"
                ) from err
            raise
