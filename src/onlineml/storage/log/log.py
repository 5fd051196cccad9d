"""Append-only log on any filesystem: each append creates a new small object, so writers never overwrite each other.

An object is JSON lines: a header ``{"entries": n, "holds": [names]}`` and n lines ``{"id": …, "record": …}``. An object
with many entries is a Parquet table instead, see `onlineml.storage.log.table`. Objects never change, so a log caches in
memory what it has read. A checkpoint is an object that repeats the entries of the objects it holds. Entries are
deduplicated by id, so reading one twice does no harm, and a checkpoint's originals may be deleted at any later time.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
import pyarrow.compute as pc
from msgspec import Meta

from onlineml.errors import AlreadyExistsError, ConflictError, NotFoundError, StorageError
from onlineml.storage import io
from onlineml.storage.documents import decoded
from onlineml.storage.location import Location, Options, Url
from onlineml.storage.log.entry import BEYOND, ULID, LogEntry, new_ulid, observe
from onlineml.storage.log.table import ENTRY, Header, entries_of, from_parquet, merged, table_of, to_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa


__all__ = ["AppendLog", "LogEntry", "in_effect", "new_ulid"]

_LINES, _TABLE = ".jsonl", ".parquet"
_CHECKPOINT = "checkpoint-"
# other names have a meaning and are never compacted
_OURS = re.compile(rf"({_CHECKPOINT})?{ULID.pattern}({_LINES}|{_TABLE})")
_MANY = 1000  # from this many entries on, an object is a table, which takes a fifth of the bytes
_SMALL = 10_000  # objects with up to this many entries are always compacted
_RATIO = 4  # a larger one only together with a quarter as many entries, so that each is rewritten only a few times


class _Row(msgspec.Struct):
    """A line of an object."""

    id: Annotated[str, Meta(pattern=f"^{ULID.pattern}$")]
    record: dict[str, Any]


class _Object(NamedTuple):
    """Content read from one object."""

    version: str
    entries: list[LogEntry] | pa.Table
    holds: tuple[str, ...]


@dataclass
class _Memory:
    """Cache of what a log has read: objects by name, and the table of all their entries."""

    objects: dict[str, _Object] = field(default_factory=dict)
    table: tuple[frozenset[str], pa.Table] | None = None


class AppendLog:
    """A log in a folder of its own.

    Attributes:
        location: the folder; it need not exist.
    """

    def __init__(self, url: Url, *, storage_options: Options = None) -> None:
        self.location = Location.of(url, storage_options)
        self._memory = _Memory()
        self._newest = ""  # the last id that was read or made

    def append(self, record: Mapping[str, Any]) -> str:
        """Append one record of JSON values; return the entry's id once it is stored."""
        return self.append_many([record])[0]

    def append_many(self, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """Append several records as one object, so that readers see all of them or none."""
        entries: list[LogEntry] = []
        for record in records:
            self._newest = new_ulid(after=self._newest)
            entries.append(LogEntry(self._newest, dict(record)))
        if entries:
            many = len(entries) >= _MANY
            data = to_parquet(table_of(entries)) if many else _lines(entries, holds=())
            self._create(f"{entries[0].id}{_TABLE if many else _LINES}", data)
        return [entry.id for entry in entries]

    def append_after(self, record: Mapping[str, Any], *, series: str, after: str | None) -> str:
        """Append one record that follows an entry of a series; only one record may follow each entry.

        Among concurrent writers, `in_effect` decides, with the same result for every reader. If the store guarantees
        that exactly one of several creators succeeds (see `onlineml.storage.io.guarantees`), the record's name is
        derived from the entry that it follows, so a second one cannot be created.

        Args:
            record: JSON values.
            series: name of the series; letters, digits, ``-`` and ``_``.
            after: the id of the entry that it follows; None starts the series.

        Returns:
            The entry's id.

        Raises:
            ConflictError: another record already follows that entry.
        """
        self._newest = new_ulid(after=self._newest)
        entry = LogEntry(self._newest, {**record, "series": series, "after": after})
        data = _lines([entry], holds=())
        if io.guarantees(self.location).create:
            file = self.location / f"{series}-after-{after or 'nothing'}{_LINES}"
            try:
                io.create_bytes(file, data)
            except AlreadyExistsError:
                there = io.read_bytes(file)
                if there == data:  # our own write succeeded, and only its response was lost
                    return entry.id
                if there:  # otherwise a kill on a disk without hard links left an empty file, which is ignored
                    raise ConflictError(
                        f"another record of the series {series!r} already follows {after or 'its start'}; read the log "
                        "again"
                    ) from None
            else:
                return entry.id
        io.write_bytes(self.location / f"{entry.id}{_LINES}", data)
        if entry.id not in {one.id for one in in_effect(self.read(), series=series)}:
            raise ConflictError(
                f"another record of the series {series!r} already follows {after or 'its start'}; read the log again"
            )
        return entry.id

    def read(self) -> list[LogEntry]:
        """Return all entries in the order of their ids.

        Raises:
            StorageError: an object is truncated or does not belong to a log; the message names it.
        """
        ordered = _ordered(self._read()[0].values())
        self._observe(ordered[-1].id if ordered else "")
        return ordered

    def table(self) -> pa.Table:
        """Return all entries in the order of their ids as a table, see `onlineml.storage.log.table`.

        The same table object is returned until an entry is added.

        Raises:
            StorageError: an object is truncated or does not belong to a log; the message names it.
        """
        objects = self._read()[0]
        names = frozenset(objects)
        if self._memory.table is None or self._memory.table[0] != names:
            self._memory.table = names, _table(objects.values())
            ids = self._memory.table[1][ENTRY]
            self._observe(ids[-1].as_py() if len(ids) else "")
        return self._memory.table[1]

    def _observe(self, newest: str) -> None:
        self._newest = max(self._newest, newest)
        observe(newest)

    def compact(self, *, at_least: int = 2) -> int:
        """Merge the small objects into one checkpoint, then delete them; entries and their ids do not change.

        A large checkpoint is left alone until a quarter as many entries have been added since. Other processes may
        read, append and compact meanwhile, and the process may be killed at any moment.

        Args:
            at_least: do nothing if there are fewer objects to merge.

        Returns:
            The number of replaced objects; 0 if there was nothing to merge.
        """
        objects, listed = self._read()
        ours = {name: one for name, one in objects.items() if name in listed and _OURS.fullmatch(name)}
        # another compaction was killed before it deleted these
        replaced = {name for one in ours.values() for name in one.holds} & ours.keys()
        chosen = _worth_merging({name: len(one.entries) for name, one in ours.items() if name not in replaced})
        if len(chosen) >= max(2, at_least):
            replaced |= set(chosen)
            data = to_parquet(_table(ours[name] for name in chosen), holds=sorted(replaced))
            self._create(f"{_CHECKPOINT}{new_ulid()}{_TABLE}", data)
        for name in sorted(replaced):
            io.delete(self.location / name)
        self._memory.objects = {name: one for name, one in objects.items() if name not in replaced}
        return len(replaced)

    @property
    def n_loose(self) -> int:
        """Number of objects that were in no checkpoint when the log was last read."""
        objects = self._memory.objects
        return len(objects.keys() - {name for one in objects.values() for name in one.holds})

    def _create(self, name: str, data: bytes) -> None:
        # names are never reused, so no condition is needed, which some stores would ignore
        io.write_bytes(self.location / name, data)

    def _read(self) -> tuple[dict[str, _Object], set[str]]:
        """Return the content of all objects by name, and the set of names that exist now.

        A compaction may move entries while the folder is being listed, so that neither the original object nor the
        checkpoint is in the listing. The folder is therefore listed again until nothing has disappeared and no
        checkpoint was added.
        """
        found = dict(self._memory.objects)
        versions = self._versions()
        while True:
            self._fetch({k: v for k, v in versions.items() if k not in found or found[k].version != v}, found)
            again = self._versions()
            news = again.keys() - found.keys()
            if versions.keys() <= again.keys() and not any(name.startswith(_CHECKPOINT) for name in news):
                self._memory.objects = {name: one for name, one in found.items() if name in again}
                return found, set(again)
            versions = again

    def _versions(self) -> dict[str, str]:
        """Return the versions of all objects by name."""
        files = io.list_files(self.location, recursive=False)
        objects = [file for file in files if file.path.endswith((_LINES, _TABLE))]
        return {file.path: file.version for file in objects if file.size}  # an empty object is not finished yet

    def _fetch(self, versions: Mapping[str, str], found: dict[str, _Object]) -> None:
        ordered = sorted(versions)
        files = [self.location / name for name in ordered]
        for file, content in zip(files, io.read_many(files), strict=True):
            if isinstance(content, bytes):
                found[file.name] = _parsed(content, file, versions[file.name])
            elif not isinstance(content, NotFoundError):  # merged into a checkpoint, which the next listing shows
                raise content


def _worth_merging(counts: Mapping[str, int]) -> list[str]:
    """Select objects to merge by their numbers of entries: the small ones, and larger ones of comparable size."""
    chosen: list[str] = []
    total = 0
    for name in sorted(counts, key=lambda name: (counts[name], name)):
        if chosen and counts[name] > max(_SMALL, _RATIO * total):
            if len(chosen) > 1:
                break
            chosen, total = [], 0  # merging a single object gains nothing; the larger ones that follow may be worth it
        chosen.append(name)
        total += counts[name]
    return chosen


def in_effect(entries: Iterable[LogEntry], *, series: str) -> list[LogEntry]:
    """Return the entries of a series that are in effect, each following the previous one (`AppendLog.append_after`).

    If several entries follow the same one, the one with the longest chain of successors is in effect; on a tie, the one
    with the smallest id. A late writer with an outdated state therefore changes nothing that others have built on, and
    every reader computes the same result.
    """
    followers: dict[str | None, list[LogEntry]] = {}
    for entry in entries:
        after = entry.record.get("after", False)
        if entry.record.get("series") == series and isinstance(after, str | None):
            followers.setdefault(after, []).append(entry)
    reached: list[LogEntry] = list(followers.get(None, ()))
    for entry in reached:  # the list grows during the loop; each entry follows exactly one, so none is added twice
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
    """Encode one object of the log."""
    lines: list[Mapping[str, Any]] = [{"entries": len(entries), "holds": holds}]
    lines += [{"id": entry.id, "record": entry.record} for entry in entries]
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()


def _ordered(objects: Iterable[_Object]) -> list[LogEntry]:
    entries: dict[str, LogEntry] = {}
    for one in objects:
        listed = one.entries if isinstance(one.entries, list) else map(LogEntry._make, entries_of(one.entries))
        entries.update((entry.id, entry) for entry in listed)
    return [entries[key] for key in sorted(entries)]


def _table(objects: Iterable[_Object]) -> pa.Table:
    listed = list(objects)
    few = _ordered(one for one in listed if isinstance(one.entries, list))
    many = [one.entries for one in listed if not isinstance(one.entries, list) and len(one.entries)]
    pieces: list[pa.Table] = []
    start = 0
    for piece in sorted(many, key=lambda piece: str(piece[ENTRY][0])):
        end = bisect_left(few, str(piece[ENTRY][0]), lo=start, key=lambda entry: entry.id)
        pieces += [table_of(few[start:end]), piece]  # in the order of ids, unless the tables overlap
        start = end
    return merged([*pieces, table_of(few[start:])])


def _parsed(content: bytes, file: Location, version: str) -> _Object:
    try:
        if file.name.endswith(_TABLE):
            table, holds = from_parquet(content)
            readable = pc.less(table[ENTRY], BEYOND)
            return _Object(version, table if pc.all(readable).as_py() is not False else table.filter(readable), holds)
        first, _, rest = content.partition(b"\n")
        header = decoded(first, Header, file)
        # much faster than parsing line by line
        rows = decoded(b"[" + rest.rstrip(b"\n").replace(b"\n", b",") + b"]", list[_Row], file)
    except (ValueError, StorageError) as err:
        raise StorageError(_damaged(file, err)) from err
    if not content.endswith(b"\n") or header.entries != len(rows):
        raise StorageError(_damaged(file, "its end is missing"))
    return _Object(version, [LogEntry(row.id, row.record) for row in rows if row.id < BEYOND], header.holds)


def _damaged(file: Location, why: object) -> str:
    return (
        f"{file} is truncated or is not an object of a log: {why}; restore it from a copy, or delete it and lose its "
        "entries"
    )
