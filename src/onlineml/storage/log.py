"""An append-only log on any filesystem: every append is a new small object, so that no writer can lose another's.

An object is JSON lines: a header ``{"entries": n, "holds": [names]}`` and n lines ``{"id": …, "record": …}``. Objects
are never changed. A checkpoint is an object that repeats the entries of those that it holds; entries are told apart by
their id, so that it does not matter how often one is found, and a checkpoint's originals may be deleted at leisure.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.errors import AlreadyExistsError, ConflictError, NotFoundError, StorageError
from onlineml.storage import io

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["AppendLog", "LogEntry", "in_effect", "new_ulid"]

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's, as https://github.com/ulid/spec has it
_ULID = re.compile(f"[0-7][{_BASE32}]{{25}}")
_SUFFIX = ".jsonl"
_CHECKPOINT = "checkpoint-"


class _Clock:
    """Ids that follow the wall clock, and every id that this process has made or read: what answers sorts after."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0
        self._pid = os.getpid()

    def tick(self) -> str:
        if self._pid != os.getpid():  # a forked child: another thread of the parent may have held the lock
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            now = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
            # the step is random too: another process that has read the same id must not arrive at the same next one
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
    """A new id of 26 characters: sorts by time, and after every id that this process has made or read before."""
    return _clock.tick()


class LogEntry(NamedTuple):
    """One entry of a log.

    Attributes:
        id: a ULID; entries are read in its order.
        record: what was appended.
    """

    id: str
    record: dict[str, Any]

    @property
    def time(self) -> datetime:
        """When the entry was appended, in UTC, by its writer's clock."""
        return datetime.fromtimestamp((_decoded(self.id) >> 80) / 1000, tz=UTC)


@dataclass(frozen=True)
class AppendLog:
    """A log in a folder of its own.

    Attributes:
        url: the folder; it need not exist.
        storage_options: of the filesystem; never shown.
    """

    url: str
    storage_options: Mapping[str, Any] | None = field(default=None, repr=False, compare=False, kw_only=True)

    def append(self, record: Mapping[str, Any]) -> str:
        """Append one record of JSON values; returns the entry's id once it is stored."""
        return self.append_many([record])[0]

    def append_many(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """Append several records as one object: readers see all of them or none."""
        entries = [LogEntry(new_ulid(), dict(record)) for record in records]
        if entries:
            self._create(f"{entries[0].id}{_SUFFIX}", entries, holds=())
        return [entry.id for entry in entries]

    def append_after(self, record: Mapping[str, Any], *, series: str, after: str | None) -> str:
        """Append one record that goes on where an entry of a series left off; only one record may follow each.

        What decides among several writers at once is `in_effect`, the same for every reader. Where the store promises
        that one of several creators wins (see `onlineml.storage.io.guarantees`) the record is stored under a name made
        from what it follows, so that a second one never comes to be.

        Args:
            record: JSON values.
            series: its name; letters, digits, ``-`` and ``_``.
            after: the id of the entry that it follows; None begins the series.

        Returns:
            The entry's id.

        Raises:
            ConflictError: another record has followed that entry.
        """
        entry = LogEntry(new_ulid(), {**record, "series": series, "after": after})
        data = _lines([entry], holds=())
        if io.guarantees(self.url, storage_options=self.storage_options).create:
            url = io.join(self.url, f"{series}-after-{after or 'nothing'}{_SUFFIX}")
            try:
                io.create_bytes(url, data, storage_options=self.storage_options)
            except AlreadyExistsError:
                there = io.read_bytes(url, storage_options=self.storage_options)
                if there == data:  # our own write, whose answer got lost
                    return entry.id
                if there:  # else a kill on a disk without hard links left the empty name, which is then of no use
                    raise ConflictError(f"another record of {series!r} has followed {after or 'nothing'}") from None
            else:
                return entry.id
        io.write_bytes(io.join(self.url, f"{entry.id}{_SUFFIX}"), data, storage_options=self.storage_options)
        if entry.id not in {one.id for one in in_effect(self.read(), series=series)}:
            raise ConflictError(f"another record of {series!r} has followed {after or 'nothing'}")
        return entry.id

    def read(self) -> list[LogEntry]:
        """All entries in the order of their ids.

        Raises:
            StorageError: an object is torn or is not of a log; the message names it.
        """
        return _merged(self._objects())

    def compact(self) -> int:
        """Put all entries into one checkpoint, then delete the objects that it holds.

        Others may read, append and compact meanwhile, and the process may be killed at any moment.

        Returns:
            How many objects the checkpoint replaced; 0 where there was nothing to gain.
        """
        objects = self._objects()
        if len(objects) <= 1:
            return 0
        entries = _merged(objects)
        self._create(f"{_CHECKPOINT}{new_ulid()}{_SUFFIX}", entries, holds=tuple(sorted(objects)))
        for name in objects:
            io.delete(io.join(self.url, name), storage_options=self.storage_options)
        return len(objects)

    def _create(self, name: str, entries: list[LogEntry], *, holds: tuple[str, ...]) -> None:
        # names are never used twice, so no condition is needed, which some stores would not keep
        io.write_bytes(io.join(self.url, name), _lines(entries, holds=holds), storage_options=self.storage_options)

    def _objects(self) -> dict[str, list[LogEntry]]:
        """The entries of every object by the object's name.

        A compaction may move entries while the folder is being listed, so that neither their object nor the checkpoint
        is in the listing. Therefore it is listed again until nothing has gone and no checkpoint has come.
        """
        found: dict[str, list[LogEntry]] = {}
        names = self._names()
        while True:
            self._fetch(names - found.keys(), found)
            again = self._names()
            news = again - found.keys()
            if names <= again and not any(name.startswith(_CHECKPOINT) for name in news):
                return found
            names = again

    def _names(self) -> set[str]:
        files = io.list_files(self.url, recursive=False, storage_options=self.storage_options)
        return {file.path for file in files if file.path.endswith(_SUFFIX) and file.size}  # empty: not yet in place

    def _fetch(self, names: set[str], found: dict[str, list[LogEntry]]) -> None:
        ordered = sorted(names)
        urls = [io.join(self.url, name) for name in ordered]
        for name, url, content in zip(
            ordered, urls, io.read_many(urls, storage_options=self.storage_options), strict=True
        ):
            if isinstance(content, bytes):
                found[name] = _parsed(content, url)
            elif not isinstance(content, NotFoundError):  # gone into a checkpoint, which the next listing shows
                raise content


def in_effect(entries: Iterable[LogEntry], *, series: str) -> list[LogEntry]:
    """The entries of a series that count, see `AppendLog.append_after`: each follows the one before it.

    Where several follow the same entry, that counts on which most was built, else the one with the least id. So whoever
    comes late with an old state changes nothing that others have gone on from, and every reader finds the same.
    """
    followers: dict[str | None, list[LogEntry]] = {}
    for entry in entries:
        if entry.record.get("series") == series:
            followers.setdefault(entry.record["after"], []).append(entry)
    reached: list[LogEntry] = list(followers.get(None, ()))
    for entry in reached:  # it grows meanwhile; each entry follows one, so none comes twice
        reached += followers.get(entry.id, ())
    length: dict[str, int] = {}
    for entry in reversed(reached):
        length[entry.id] = 1 + max((length[one.id] for one in followers.get(entry.id, ())), default=0)
    found: list[LogEntry] = []
    last: str | None = None
    while last in followers:
        found.append(min(followers[last], key=lambda entry: (-length[entry.id], entry.id)))
        last = found[-1].id
    return found


def _lines(entries: Sequence[LogEntry], *, holds: tuple[str, ...]) -> bytes:
    """An object of the log."""
    lines: list[Mapping[str, Any]] = [{"entries": len(entries), "holds": holds}]
    lines += [{"id": entry.id, "record": entry.record} for entry in entries]
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()


def _merged(objects: Mapping[str, list[LogEntry]]) -> list[LogEntry]:
    entries = {entry.id: entry for found in objects.values() for entry in found}
    ordered = [entries[key] for key in sorted(entries)]
    if ordered:
        _clock.observe(ordered[-1].id)
    return ordered


def _parsed(content: bytes, url: str) -> list[LogEntry]:
    try:
        header, *rows = json.loads(b"[" + content.rstrip(b"\n").replace(b"\n", b",") + b"]")  # much faster than by line
        entries = [LogEntry(row["id"], row["record"]) for row in rows]
        whole = content.endswith(b"\n") and header["entries"] == len(entries)
        named = all(_ULID.fullmatch(entry.id) for entry in entries)
    except (ValueError, KeyError, TypeError) as err:
        raise StorageError(_torn(url)) from err
    if not (whole and named):
        raise StorageError(_torn(url))
    return entries


def _torn(url: str) -> str:
    return f"{url} is torn or is no object of a log; restore it from a copy, or delete it and lose its entries"
