"""FastDFS trackers: lookups of the server that stores, has, or changes a file."""

from __future__ import annotations

import errno
import itertools
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from onlineml.errors import StorageError
from onlineml.storage import patience
from onlineml.storage.fastdfs import wire
from onlineml.storage.fastdfs.connections import LostError, ServerError
from onlineml.storage.fastdfs.ids import Address, FileId, address_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onlineml.storage.fastdfs.connections import Connections

__all__ = ["NoServerError", "Route", "Settings", "Trackers", "another", "passes", "repeated"]

T = TypeVar("T")

_LASTING = frozenset({errno.EINVAL, errno.ENOSPC, errno.EDQUOT, errno.EPERM, errno.EACCES, errno.EROFS})
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
        patience_s: of servers that are down or starting; 0 is that of `onlineml.storage.patience`.
    """

    trackers: tuple[Address, ...]
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0
    attempts: int = 8
    patience_s: float = 0.0


class Route(NamedTuple):
    """Address of a storage server; None if the trackers do not know the server."""

    address: Address | None
    active: bool
    until: float


def passes(err: OSError) -> bool:
    """Return whether another attempt may succeed."""
    if isinstance(err, ServerError):
        return err.errno not in _LASTING
    return isinstance(err, LostError | wire.BrokenReplyError | NoServerError)


def repeated(settings: Settings, attempt: Callable[[], T]) -> T:
    """Return the result of an attempt, repeated while that may help."""
    begin = time.monotonic()
    for number in itertools.count():
        try:
            found = attempt()
        except OSError as err:
            if not passes(err) or not another(settings, number, begin=begin, down=isinstance(err, NoServerError)):
                raise
        else:
            patience.answered()
            return found
    raise AssertionError


def another(settings: Settings, number: int, *, begin: float, down: bool = False) -> bool:
    """Wait before another attempt, about 0.05 s, 0.1 s, 0.2 s, …, at most 2 s; return False if there is none.

    Args:
        settings: number of attempts, and patience.
        number: of the attempt that failed, from 0.
        begin: of the first attempt, by ``time.monotonic``.
        down: servers are down or starting: the patience decides, if it allows more attempts.
    """
    lasts = time.monotonic() - begin < (settings.patience_s or patience.limit_s())
    if not (number + 1 < settings.attempts or (down and lasts)) or patience.left_s() <= 0:
        return False
    time.sleep(min(2.0, 0.05 * 2 ** min(number, 6)) * random.uniform(0.5, 1.0))  # noqa: S311 (not used for security)
    return True


class Trackers:
    """Trackers of a cluster, any one of which can respond. Threads may share them."""

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._settings = settings
        self._connections = connections
        self._order = list(settings.trackers)  # the last one that responded comes first
        self._answered = False
        self._routes: dict[tuple[str, str], Route] = {}

    def __str__(self) -> str:
        return address_text(self._settings.trackers)

    def _ask(self, request: bytes, parsed: Callable[[bytes], T]) -> T:
        """Return the reply of the first tracker that has one.

        Raises:
            FileNotFoundError: no tracker knows the requested file or server.
            StorageError: no tracker responds; those that did before are waited for.
        """
        begin = time.monotonic()
        for number in itertools.count():
            missing: FileNotFoundError | None = None
            failure: OSError | None = None
            for tracker in tuple(self._order):
                try:
                    answer = self._connections.exchange(tracker, request, parsed=parsed)
                except FileNotFoundError as err:
                    missing = err
                except OSError as err:
                    failure = err
                    self._connections.forget(tracker)
                else:
                    self._order = [tracker, *(other for other in self._order if other != tracker)]
                    self._answered = True
                    return answer
            if missing is not None:
                raise missing
            if not another(self._settings, number, begin=begin, down=self._answered):
                raise StorageError(f"no FastDFS tracker of {self} responds: {failure}") from failure
        raise AssertionError

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
        """Return the address of the server that the file was uploaded to, if it is cached and that server answers."""
        route = self._routes.get((file.group, file.source))
        if route is None or route.address is None or route.until <= time.monotonic():
            return None
        return None if self._connections.is_silent(route.address) else route.address

    def learn_source(self, file: FileId, address: Address) -> None:
        """Cache the address that a file was just uploaded to."""
        self._routes[file.group, file.source] = Route(address, active=True, until=time.monotonic() + _ROUTE_S)

    def store_server(self, group: str | None) -> wire.Target:
        """Return the destination of a new file."""
        return self._server(wire.query_store(group), wire.target_reply, group)

    def readers(self, file: FileId) -> Iterator[Address]:
        """Yield the servers that may have a file, the likeliest first, silent ones last; lookups are made late."""
        seen: set[Address] = set()
        silent: list[Address] = []
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
                if address is None or not address.port or address in seen:
                    continue
                seen.add(address)
                if self._connections.is_silent(address):
                    silent.append(address)
                else:
                    yield address
        yield from silent
