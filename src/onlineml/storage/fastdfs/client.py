"""FastDFS client: files are stored, read and deleted, with failover and retries.

This module does not know names; see `onlineml.storage.fastdfs.volume`.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from onlineml.errors import StorageError
from onlineml.storage.fastdfs import wire
from onlineml.storage.fastdfs.connections import Connections, Payload, ServerError
from onlineml.storage.fastdfs.trackers import NoServerError, Settings, Trackers, passes, repeated

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from onlineml.storage.fastdfs.ids import Address, FileId

__all__ = ["Begun", "Client", "RefusedError"]

T = TypeVar("T")

_MAX_LOG = 1 << 30


class RefusedError(StorageError):
    """An appender file cannot be written now; nothing was written."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A read whose request was sent and whose response has not been read yet."""

    connections: Connections
    address: Address
    connection: socket.socket
    file: FileId
    count: int

    def finish(self) -> bytes:
        """Return the verified bytes, or raise any error."""
        data = self.connections.finish(self.address, self.connection, limit=self.count)
        return _whole(data, self.file, self.count, self.address)

    def drop(self) -> None:
        """Cancel the read."""
        self.connection.close()


def _whole(data: bytes, file: FileId, count: int, address: Address) -> bytes:
    """Return the data if it has the requested length; a whole file is verified against the checksum in its id."""
    if len(data) != count:
        raise wire.BrokenReplyError(f"{file}: {len(data)} bytes arrived, {count} were requested")
    if count == file.size and zlib.crc32(data) != file.crc32:
        raise wire.BrokenReplyError(f"{file} is damaged on {address.host}: its checksum differs from that in its id")
    return data


def _about(file: FileId, err: OSError) -> OSError:
    """Return an error that names the file, too."""
    return err if str(file) in str(err) else StorageError(f"{file}: {err}")


class Client:
    """Client of one cluster. Threads may share it, and a forked child may continue to use it.

    Attributes:
        settings: addresses, timeouts and number of attempts.
        trackers: the cluster's trackers.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._connections = Connections(connect_timeout_s=settings.connect_timeout_s, timeout_s=settings.timeout_s)
        self.trackers = Trackers(settings, self._connections)

    # ---- storing ----

    def upload(self, payload: Payload, *, extension: str = "", group: str | None = None) -> FileId:
        """Store a file and verify the stored copy; a file left by a failed attempt has no name and is harmless.

        Raises:
            StorageError: no server accepts files.
            OSError: an error of the server or the network, after all attempts.
        """

        def attempt() -> FileId:
            file = self._stored(payload, extension, group, appender=False)
            if (file.size, file.crc32) != (payload.size, payload.crc32):
                with contextlib.suppress(OSError):
                    self.delete(file)
                raise wire.BrokenReplyError(
                    f"{file} differs from the sent {payload.size} bytes with CRC-32 {payload.crc32:08x}"
                )
            return file

        return repeated(self.settings, attempt)

    def upload_appender(self, data: bytes, *, extension: str = "", group: str | None = None) -> FileId:
        """Store a file to which bytes can be appended."""
        return repeated(self.settings, lambda: self._stored(Payload(data), extension, group, appender=True))

    def _stored(self, payload: Payload, extension: str, group: str | None, *, appender: bool) -> FileId:
        target = self.trackers.store_server(group)
        request = wire.upload(target.path_index, payload.size, extension, appender=appender)
        try:
            file = self._connections.exchange(target.address, request, payload, parsed=wire.file_id_reply)
        except ServerError as err:
            if err.errno != errno.EINVAL:
                raise
            # the response of a server in trunk mode while the trunk server is starting
            raise ServerError(errno.EAGAIN, str(err)) from err
        self.trackers.learn_source(file, target.address)
        return file

    def delete(self, file: FileId) -> None:
        """Delete a file.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        attempts = itertools.count()

        def attempt() -> None:
            repeated = next(attempts)
            try:
                self._connections.exchange(self.trackers.update_server(file), wire.delete(file))
            except FileNotFoundError:
                if not repeated:
                    raise  # otherwise an earlier attempt succeeded and its response was lost

        try:
            repeated(self.settings, attempt)
        except FileNotFoundError:
            raise
        except OSError as err:
            raise _about(file, err) from err

    # ---- reading ----

    def read(self, file: FileId, start: int, stop: int) -> bytes:
        """Return the bytes of a file from start to stop, which lie within it, from any replica that has them.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        if stop <= start:
            return b""
        begun = self.begin_read(file, start, stop)
        if begun is not None:
            with contextlib.suppress(OSError):
                return begun.finish()  # the usual case, which needs no request to a tracker
        request, count = wire.download(file, start, stop - start), stop - start
        return self._from_any(
            file,
            lambda address: _whole(self._connections.exchange(address, request, limit=count), file, count, address),
            of_replicas=True,
        )

    def begin_read(self, file: FileId, start: int, stop: int) -> Begun | None:
        """Request bytes of a file from the server it was uploaded to, if that is known, without waiting for them."""
        address = self.trackers.known_source(file)
        if address is None:
            return None
        try:
            connection = self._connections.begin(address, wire.download(file, start, stop - start))
        except OSError:
            self._connections.forget(address)
            return None
        return Begun(self._connections, address, connection, file, stop - start)

    def info(self, file: FileId) -> wire.Info:
        """Return a file's size and modification time as a server reports them.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        request = wire.query_info(file)
        return self._from_any(file, lambda at: self._connections.exchange(at, request, parsed=wire.info_reply))

    def _from_any(self, file: FileId, read: Callable[[Address], T], *, of_replicas: bool = False) -> T:
        """Return what a server that has the file replies; only servers that were asked tell that it does not exist.

        Args:
            file: the file.
            read: asks a server.
            of_replicas: ask the others even if the file's own server says that it does not exist: it may have lost it.
                Not of facts about a file, which a replica that lags behind may still tell of one that was deleted.
        """

        def attempt() -> T:
            failure: OSError | None = None
            is_asked = False
            for address in self.trackers.readers(file):
                is_asked = True
                try:
                    return read(address)
                except FileNotFoundError:
                    # the source is authoritative unless it is being rebuilt; a replica may lag behind
                    if not of_replicas and self._is_active_source(file, address):
                        raise
                except OSError as err:
                    failure = err
                    self._connections.forget(address)
            own = self.trackers.source(file).address
            if failure is None and (not is_asked or (own is not None and not own.port)):
                failure = NoServerError(
                    f"no storage server of the group {file.group} that may have {file} is up; start it"
                )
            if failure is None:
                raise FileNotFoundError(errno.ENOENT, f"no FastDFS server has {file}")
            if failure.errno == errno.EINVAL:  # a replica that has fewer bytes
                raise wire.BrokenReplyError(str(failure)) from failure
            raise failure

        try:
            return repeated(self.settings, attempt)
        except FileNotFoundError:
            raise
        except OSError as err:
            raise _about(file, err) from err

    def _is_active_source(self, file: FileId, address: Address) -> bool:
        return self.trackers.is_source(file, address) and self.trackers.source(file, fresh=True).active

    # ---- appender files ----

    def append(self, file: FileId, data: bytes) -> None:
        """Append to an appender file in one attempt, on the server that it was created on and on no other.

        Raises:
            RefusedError: the tracker considers that server down; nothing was sent.
            OSError: the server failed; the append may or may not have happened.
        """
        try:
            address = self.trackers.update_server(file)
        except NoServerError as err:
            raise RefusedError(
                f"no server of the group {file.group} accepts changes now; check that one is running"
            ) from err
        if not any(self.trackers.is_source(file, address, fresh=fresh) for fresh in (False, True)):
            raise RefusedError(
                f"files of the server {file.source} are read-only now: the tracker considers that server "
                f"down (it returns {address.host} instead); restart that server"
            )
        self._connections.exchange(address, wire.append(file, len(data)), Payload(data))

    def read_tail(self, file: FileId, offset: int) -> bytes:
        """Return the bytes of an appender file from an offset on, which is known to lie before its end.

        The server that it was uploaded to is asked, or a replica if the tracker considers that server down.

        Returns:
            The bytes; empty if a replica is asked that has fewer.

        Raises:
            FileNotFoundError: the file does not exist, as a storage server says.
            StorageError: no server that may have it is up.
            OSError: EINVAL if the file itself is not longer than the offset.
        """
        request = wire.download(file, offset)

        def attempt() -> bytes:
            address = self.trackers.source(file).address
            if address is not None and address.port and not self._connections.is_silent(address):
                try:
                    return self._connections.exchange(address, request, limit=_MAX_LOG)
                except OSError as err:
                    self._connections.forget(address)
                    if not passes(err):
                        raise
            return self._replica_tail(file, request)

        return repeated(self.settings, attempt)

    def _replica_tail(self, file: FileId, request: bytes) -> bytes:
        address = self.trackers.read_server(file)
        if self._connections.is_silent(address):  # the tracker does not know yet
            address = next(self.trackers.readers(file), address)
        try:
            return self._connections.exchange(address, request, limit=_MAX_LOG)
        except OSError as err:
            if self.trackers.is_source(file, address):
                raise
            if err.errno == errno.EINVAL:
                return b""
            if isinstance(err, FileNotFoundError) and self.trackers.source(file).address is not None:
                raise StorageError(
                    f"{file} is not on {address.host}; the server {file.source}, which has it, is down; restart it"
                ) from err
            raise
