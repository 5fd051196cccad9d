"""Log entries and their ids, which sort by creation time."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from onlineml.errors import StorageError

__all__ = ["BEYOND", "ULID", "LogEntry", "new_ulid", "observe", "ulid_after"]

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, as https://github.com/ulid/spec has it
ULID = re.compile(f"[0-7][{_BASE32}]{{25}}")

_AHEAD_MS = 24 * 3600 * 1000  # by which another machine's clock may be ahead of this one


class _Clock:
    """Generator of ids that follow the wall clock and sort after every id this process has made or read.

    An id that was read from further in the future than a day counts for its own log only: one wrong clock, or one
    forged entry, does not change the ids of other projects.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._pid = os.getpid()

    def tick(self, after: str) -> str:
        if self._pid != os.getpid():  # a forked child: another thread of the parent may have held the lock
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            now = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
            # the step is random too, so that two processes that have read the same id do not generate the same next id
            self._last = max(now, self._last + 1 + secrets.randbits(64))
            floor = _decoded(after)
            made = _encoded(self._last if floor < self._last else floor + 1 + secrets.randbits(64))
        if made >= BEYOND:
            raise StorageError(
                f"a new entry would have the id {made}, which cannot be read: this machine's clock is wrong"
            )
        return made

    def observe(self, ulid: str) -> None:
        value = _decoded(ulid)
        with self._lock:
            if value >> 80 <= time.time_ns() // 1_000_000 + _AHEAD_MS:
                self._last = max(self._last, value)


def _encoded(value: int) -> str:
    return "".join(_BASE32[(value >> shift) & 31] for shift in range(125, -1, -5))


def _decoded(ulid: str) -> int:
    value = 0
    for character in ulid:
        value = value << 5 | _BASE32.index(character)
    return value


_clock = _Clock()


def new_ulid(*, after: str = "") -> str:
    """Return a new 26-character id that sorts by time, after every id this process has made or read.

    Args:
        after: the newest id of the log, which may be from further in the future.

    Raises:
        StorageError: the clock is beyond the range of ids.
    """
    return _clock.tick(after)


def observe(ulid: str) -> None:
    """Register an id that was read, so that ids made from now on sort after it, if it is not from the future."""
    _clock.observe(ulid)


def ulid_after(moment: datetime) -> str:
    """Return the smallest possible id of an entry made after a moment, to the millisecond."""
    return _encoded(int(moment.timestamp() * 1000) + 1 << 80)


BEYOND = _encoded(int(datetime(9000, 1, 1, tzinfo=UTC).timestamp() * 1000) << 80)  # from here on ids are refused


class LogEntry(NamedTuple):
    """One entry of a log.

    Attributes:
        id: a ULID; entries are read in this order.
        record: the appended record.
    """

    id: str
    record: dict[str, Any]

    @property
    def time(self) -> datetime:
        """Time at which the entry was appended, in UTC, by the writer's clock."""
        return datetime.fromtimestamp((_decoded(self.id) >> 80) / 1000, tz=UTC)
