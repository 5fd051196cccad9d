"""FastDFS trackers: lookups of the server that stores, has, or changes a file."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from onlineml.errors import StorageError
from onlineml.storage.fastdfs import wire
from onlineml.storage.fastdfs.ids import Address, FileId, address_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.storage.fastdfs.connections import Connections

__all__ = ["NoServerError", "Route", "Settings", "Trackers", "backoff"]

T = TypeVar("T")

_ROUTE_S = 60.0  # seconds for which a server's address is cached


class NoServerError(StorageError):
    """No storage server is up now, as far as the trackers know; this says nothing about whether a file exists."""


@dataclass(frozen=True)
class Settings:
    """Addresses, timeouts and number of attempts for a cluster.

    Attributes:
        trackers: addresses of all trackers; requests go to any one that responds.
        connect_timeout_s: timeout of connecting.
        timeout_s: timeout of each single wait for a server.
        attempts: total number of attempts of a request with transient failures.
    """

    trackers: tuple[Address, ...]
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    attempts: int = 8


class Route(NamedTuple):
    """Address of a storage server; None if the trackers do not know the server."""

    address: Address | None
    active: bool
    until: float


def backoff(attempt: int) -> None:
    """Wait before another attempt: about 0.05 s, 0.1 s, 0.2 s, …, at most 2 s."""
    time.sleep(min(2.0, 0.05 * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 (not used for security)


class Trackers:
    """Trackers of a cluster, any one of which can respond. Threads may share them."""

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections
        self._order = list(settings.trackers)  # the last one that responded comes first
        self._routes: dict[tuple[str, str], Route] = {}

    def __str__(self) -> str:
        return address_text(self._settings.trackers)

    def _ask(self, request: bytes, parsed: Callable[[bytes], T]) -> T:
        """Return the reply of the first tracker that has one.

        Raises:
            FileNotFoundError: no tracker knows the requested file or server.
            StorageError: no tracker responds.
        """
        failure: OSError | None = None
        for attempt in range(self._settings.attempts):
            if attempt:
                backoff(attempt - 1)
            missing = None
            failure = None
            for tracker in tuple(self._order):
                try:
                    answer = parsed(self._connections.exchange(tracker, request))
                except FileNotFoundError as err:
                    missing = err
                except OSError as err:
                    failure = err
                    self._connections.forget(tracker)
                else:
                    self._order = [tracker, *(other for other in self._order if other != tracker)]
                    return answer
            if missing is not None:
                raise missing
        raise StorageError(f"no FastDFS tracker of {self} responds: {failure}") from failure

    def source(self, file: FileId, *, fresh: bool = False) -> Route:
        """Return the address of the server that the file was uploaded to."""
        key = (file.group, file.source)
        route = self._routes.get(key)
        if route is None or fresh or route.until < time.monotonic():
            request = wire.list_storages(file.group, file.source)
            until = time.monotonic() + _ROUTE_S
            try:
                found = self._ask(request, lambda body: wire.storages_reply(body, file.source))[0]
                route = Route(found.address, found.active, until)
            except FileNotFoundError:
                route = Route(None, active=False, until=until)
            self._routes[key] = route
        return route

    def is_source(self, file: FileId, address: Address, *, fresh: bool = False) -> bool:
        """Return whether a server is the one that the file was uploaded to."""
        known = self.source(file, fresh=fresh).address
        return known is not None and (known == address or (not known.port and known.host == address.host))

    def _server(self, request: bytes, parsed: Callable[[bytes], T], group: str | None) -> T:
        try:
            return self._ask(request, parsed)
        except FileNotFoundError as err:
            where = f"the group {group!r}" if group else "any group"
            raise NoServerError(
                f"the trackers {self} know no storage server of {where} that is up and accepts files; check that one "
                "is running and has free space"
            ) from err

    def update_server(self, file: FileId) -> Address:
        """Return the server to which the tracker directs changes of the file.

        Raises:
            NoServerError: no server is up; so do the following methods.
        """
        return self._server(wire.query_update(file), wire.server_reply, file.group)

    def read_server(self, file: FileId) -> Address:
        """Return the server to which the tracker directs reads of the file."""
        return self._server(wire.query_read(file), wire.server_reply, file.group)

    def known_source(self, file: FileId) -> Address | None:
        """Return the address of the server that the file was uploaded to, if it is cached."""
        route = self._routes.get((file.group, file.source))
        return route.address if route is not None and route.until > time.monotonic() else None

    def learn_source(self, file: FileId, address: Address) -> None:
        """Cache the address that a file was just uploaded to."""
        self._routes[file.group, file.source] = Route(address, active=True, until=time.monotonic() + _ROUTE_S)

    def store_server(self, group: str | None) -> wire.Target:
        """Return the destination of a new file."""
        return self._server(wire.query_store(group), wire.target_reply, group)

    def readers(self, file: FileId) -> Iterator[Address]:
        """Yield the servers that may have a file, the likeliest first; lookups are made as late as possible."""
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
            except (FileNotFoundError, NoServerError):
                continue
            for address in answers:
                if address is not None and address.port and address not in seen:
                    seen.add(address)
                    yield address
