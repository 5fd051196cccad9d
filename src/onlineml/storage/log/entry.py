"""Log entries and their ids, which sort by creation time."""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

__all__ = ["ULID", "LogEntry", "new_ulid", "observe", "ulid_after"]

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, as https://github.com/ulid/spec has it
ULID = re.compile(f"[0-7][{_BASE32}]{{25}}")


class _Clock:
    """Generator of ids that follow the wall clock and sort after every id this process has made or read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._pid = os.getpid()

    def tick(self) -> str:
        if self._pid != os.getpid():  # a forked child: another thread of the parent may have held the lock
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            now = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
            # the step is random too, so that two processes that have read the same id do not generate the same next id
            self._last = max(now, self._last + 1 + secrets.randbits(64))
            return _encoded(self._last)

    def observe(self, ulid: str) -> None:
        with self._lock:
            self._last = max(self._last, _decoded(ulid))


def _encoded(value: int) -> str:
    return "".join(_BASE32[(value >> shift) & 31] for shift in range(125, -1, -5))


def _decoded(ulid: str) -> int:
    value = 0
    for character in ulid:
        value = value << 5 | _BASE32.index(character)
    return value


_clock = _Clock()


def new_ulid() -> str:
    """Return a new 26-character id that sorts by time, after every id this process has made or read."""
    return _clock.tick()


def observe(ulid: str) -> None:
    """Register an id that was read, so that ids made from now on sort after it."""
    _clock.observe(ulid)


def ulid_after(moment: datetime) -> str:
    """Return the smallest possible id of an entry made after a moment, to the millisecond."""
    return _encoded(int(moment.timestamp() * 1000) + 1 << 80)


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
