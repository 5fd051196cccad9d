"""Log of names: its records, and the state that every reader computes from them.

FastDFS generates file ids and has no listing, so names are stored as records in an appender file. A record lists the
names it sets and the state it expects of names before: ``{"txn": …, "if": {path: file id or null}, "set": {path: entry
or null}}``. The server puts appends in one order that all readers see, and a record whose expectation is not met has no
effect, for any reader. Creating a file only if it does not exist, replacing a file conditionally, committing many files
at once and renaming are therefore one append each, and need no lock.

Each record is a line of its own, preceded by its checksum. A line break also precedes each record, so that a partial
append leaves a line with a wrong checksum, which all readers skip. A record whose transaction id has occurred before is
skipped as well: a writer whose append got no response may simply repeat it.

This module consists of functions of bytes and records; `onlineml.storage.fastdfs.volume` reads and writes them.
"""

from __future__ import annotations

import bisect
import re
import zlib
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from onlineml.errors import ConflictError, StorageError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["MAX_LINE", "MAX_NAME", "Entry", "Names", "Record", "are_names", "line_of", "record_of", "whole_lines"]

MAX_LINE = 4096  # bytes: appends of this size stayed complete and ordered in tests on servers; one of 1 MB was split
MAX_NAME = 1024  # bytes, as on S3
# a component that is empty, '.' or '..', in names joined by NULs
_NO_NAME = re.compile(r"(?:\A|[/\0])\.{0,2}(?:[/\0]|\Z)")
_RECENT = 4096  # number of transaction ids that are remembered; an append is repeated within seconds
_INSERTED_ONE_BY_ONE = 64  # if more names are new, all are sorted again


def are_names(paths: Collection[str]) -> bool:
    """Return whether all paths are valid file names; in particular, that none leads out of its folder when copied."""
    if not paths:
        return True
    try:
        joined = "\0".join(paths)
        joined.encode()
        if max(map(len, paths)) > MAX_NAME // 4 and max(len(path.encode()) for path in paths) > MAX_NAME:
            return False
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return joined.count("\0") < len(paths) and _NO_NAME.search(joined) is None


class Entry(NamedTuple):
    """The object that a name refers to.

    Attributes:
        file: the id of the object; ``""`` for an empty file, which has no object because FastDFS could not serve one.
        size: bytes.
        ms: time of storing in milliseconds since 1970.
    """

    file: str
    size: int
    ms: int


class Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the log.

    Attributes:
        txn: a random id.
        ms: milliseconds since 1970, by the writer's clock.
        expected: file id by path, or None if the path must not exist.
        set: the new entry by path, or None to remove the name.
        body: the id of a file that contains expected and set, if they do not fit into a line.
        following: the id of the next log; all later records of this one are ignored.
        forgotten: objects without a name that have been deleted.
    """

    txn: str
    ms: int
    expected: dict[str, str | None] = msgspec.field(default_factory=dict, name="if")
    set: dict[str, Entry | None] = msgspec.field(default_factory=dict)
    body: str = ""
    following: str = ""
    forgotten: list[str] = msgspec.field(default_factory=list)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)


def line_of(record: msgspec.Struct) -> bytes:
    """Return the bytes to append for a record."""
    payload = _encoder.encode(record)
    return b"\n%08x %s\n" % (zlib.crc32(payload), payload)


def record_of(payload: bytes) -> Record:
    """Decode the record of a line whose checksum was correct.

    Raises:
        StorageError: a later version of onlineml wrote it.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError) as err:
        raise StorageError(f"the log of names has a record of a later version of onlineml; update it ({err})") from err


def whole_lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the payloads of the complete, valid lines in a piece of a log, and the remaining incomplete line."""
    *lines, rest = data.split(b"\n")
    found = [_checked(line) for line in lines if line]
    return [payload for payload in found if payload is not None], rest


def _checked(line: bytes) -> bytes | None:
    checksum, space, payload = line[:8], line[8:9], line[9:]
    return payload if space == b" " and checksum == b"%08x" % zlib.crc32(payload) else None


class _Snapshot(msgspec.Struct):
    entries: dict[str, Entry]
    garbage: dict[str, int]
    recent: dict[str, bool]


class Names:
    """The names of a volume after some records, computed deterministically from them.

    Attributes:
        entries: entry by path.
        garbage: objects that lost their last name, with the time (ms); they may be deleted once no reader needs them.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.garbage: dict[str, int] = {}
        self._recent: dict[str, bool] = {}
        self._uses: dict[str, int] = {}  # number of names of each object
        self._folders: dict[str, int] = {}  # number of files anywhere below each folder
        self._sorted: list[str] | None = None  # computed on first use

    # ---- replay ----

    def apply(self, record: Record) -> bool:
        """Apply one record; return whether it took effect.

        A repeated record returns the same result as the first time and changes nothing.
        """
        if record.txn in self._recent:
            return self._recent[record.txn]
        counts = are_names(record.set) and self.objection(record.expected, record.set) is None
        if counts:
            self._set(record)
        else:  # the objects uploaded for it have no name
            for entry in record.set.values():
                if entry is not None and entry.file and entry.file not in self._uses:
                    self.garbage[entry.file] = record.ms
        for file in record.forgotten:
            self.garbage.pop(file, None)
        self._recent[record.txn] = counts
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]
        return counts

    def outcome(self, txn: str) -> bool | None:
        """Return whether a transaction took effect; None if it is not among the records read so far."""
        return self._recent.get(txn)

    def objection(self, expected: Mapping[str, str | None], changes: Mapping[str, Entry | None]) -> OSError | None:
        """Return the error that a transaction would cause now, with its path; None if it would take effect."""
        for path, file in expected.items():
            entry = self.entries.get(path)
            if file is None and entry is not None:
                return FileExistsError(path)
            if file is not None and (entry is None or entry.file != file):
                return ConflictError(f"{path} was changed since it was read; read it again")
        for path, entry in changes.items():
            if entry is None:
                continue
            if path in self._folders and not self._emptied(path, changes):
                return IsADirectoryError(path)
            for folder in _above(path):
                if (folder in self.entries and changes.get(folder, True) is not None) or changes.get(folder):
                    return NotADirectoryError(path)
        return None

    def _emptied(self, folder: str, changes: Mapping[str, Entry | None]) -> bool:
        return all(path in changes and changes[path] is None for path in self.below(folder))

    def _set(self, record: Record) -> None:
        added, removed = [], []
        for path, entry in record.set.items():
            old = self.entries.get(path)
            if entry is not None:
                self.entries[path] = entry
                self._count(entry.file, 1, record.ms)
                if old is None:
                    added.append(path)
            elif old is not None:
                del self.entries[path]
                removed.append(path)
            if old is not None:
                self._count(old.file, -1, record.ms)
        for path in added:
            self._count_folders(path, 1)
        for path in removed:
            self._count_folders(path, -1)
        self._sort(added, removed)

    def _count(self, file: str, change: int, ms: int) -> None:
        if not file:
            return
        uses = self._uses.get(file, 0) + change
        if uses:
            self._uses[file] = uses
            self.garbage.pop(file, None)
        else:
            del self._uses[file]
            self.garbage[file] = ms

    def _count_folders(self, path: str, change: int) -> None:
        for folder in _above(path):
            files = self._folders.get(folder, 0) + change
            if files:
                self._folders[folder] = files
            else:
                del self._folders[folder]

    # ---- listing ----

    def is_folder(self, path: str) -> bool:
        """Return whether there are files below the path; the top is always a folder."""
        return not path or path in self._folders

    def below(self, folder: str) -> list[str]:
        """Return the paths of all files below a folder, sorted."""
        names = self._names()
        if not folder:
            return list(names)
        first = bisect.bisect_left(names, folder + "/")
        return names[first : first + self._folders.get(folder, 0)]

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        """Return the files and the folders directly in a folder, as paths, each list sorted."""
        names = self._names()
        prefix = folder + "/" if folder else ""
        at = bisect.bisect_left(names, prefix)
        end = at + (self._folders.get(folder, 0) if folder else len(names))
        files, folders = [], []
        while at < end:
            name, inner, _ = names[at].removeprefix(prefix).partition("/")
            if inner:
                folders.append(prefix + name)
                at += self._folders[prefix + name]
            else:
                files.append(names[at])
                at += 1
        return files, folders

    def _names(self) -> list[str]:
        if self._sorted is None:
            self._sorted = sorted(self.entries)
        return self._sorted

    def _sort(self, added: list[str], removed: list[str]) -> None:
        if self._sorted is None:
            return
        if len(added) + len(removed) > _INSERTED_ONE_BY_ONE:
            self._sorted = None
            return
        for path in added:
            bisect.insort(self._sorted, path)
        for path in removed:
            del self._sorted[bisect.bisect_left(self._sorted, path)]

    # ---- snapshots ----

    def snapshot(self) -> bytes:
        """Encode the state as bytes, for `restored`."""
        return _encoder.encode(_Snapshot(self.entries, self.garbage, self._recent))

    @classmethod
    def restored(cls, data: bytes) -> Names:
        """Decode the state from a snapshot.

        Raises:
            StorageError: the bytes are not a snapshot.
        """
        try:
            found = msgspec.json.decode(data, type=_Snapshot)
        except (msgspec.DecodeError, msgspec.ValidationError) as err:
            raise StorageError(f"a snapshot of names cannot be read; update onlineml ({err})") from err
        if not are_names(found.entries):
            raise StorageError("a snapshot contains invalid file names; it was not written by onlineml")
        names = cls()
        names.entries, names.garbage, names._recent = found.entries, found.garbage, found.recent
        names._uses = dict(Counter(entry.file for entry in found.entries.values()))
        names._uses.pop("", None)
        for folder, files in Counter(path.rpartition("/")[0] for path in found.entries).items():
            for above in (folder, *_above(folder)) if folder else ():
                names._folders[above] = names._folders.get(above, 0) + files
        return names


def _above(path: str) -> Iterator[str]:
    """Yield the folders that contain a path, from the innermost; without the top."""
    at = path.rfind("/")
    while at > 0:
        yield path[:at]
        at = path.rfind("/", 0, at)
