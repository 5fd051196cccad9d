"""The log of names: what its records are, and the state that every reader derives from them.

FastDFS gives out file ids and lists nothing, so names live in an appender file of records. A record says which names it
sets and what it expects of names before: ``{"txn": …, "if": {path: file id or null}, "set": {path: entry or null}}``.
The server puts appends in one order that all readers see, and a record whose expectation does not hold changes nothing,
for any reader. So creating a file only where there is none, swapping one for another, committing many files at once and
renaming are each one append, and need no lock.

A record stands in a line of its own, behind its checksum. A line break leads each record too, so that whatever a torn
append leaves is a line whose checksum is wrong, which all readers pass over. A record with a transaction id that was
there before is passed over as well: a writer whose append got no answer may simply repeat it.

Everything here is a function of bytes and records; `onlineml.storage.fastdfs.volume` reads and writes them.
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

MAX_LINE = 4096  # bytes: appends of this size stayed whole and ordered on the servers; one of 1 MB was torn
MAX_NAME = 1024  # bytes, as on S3
_NO_NAME = re.compile(r"(?:\A|[/\0])\.{0,2}(?:[/\0]|\Z)")  # somewhere in names that NULs divide
_RECENT = 4096  # transaction ids that are remembered; a repeated append comes within seconds
_INSERTED_ONE_BY_ONE = 64  # more new names at once are sorted in


def are_names(paths: Collection[str]) -> bool:
    """Whether all paths are such as a file may have; above all none leads out of the folder that it is copied to."""
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
    """What a name stands for.

    Attributes:
        file: the id of the object; ``""`` for an empty file, which has none, because none could be downloaded.
        size: bytes.
        ms: milliseconds since 1970 when it was stored.
    """

    file: str
    size: int
    ms: int


class Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One line of the log.

    Attributes:
        txn: a random id.
        ms: milliseconds since 1970, by the writer's clock.
        expected: file id by path, or None where there must be nothing.
        set: the new entry by path, or None to take the name away.
        body: the id of a file that holds expected and set, where they would not fit.
        following: the id of the log that goes on where this one ends; what comes later in this one counts for nobody.
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
    """The bytes to append for a record."""
    payload = _encoder.encode(record)
    return b"\n%08x %s\n" % (zlib.crc32(payload), payload)


def record_of(payload: bytes) -> Record:
    """The record in a line whose checksum was right.

    Raises:
        StorageError: a later version of onlineml wrote it.
    """
    try:
        return _decoder.decode(payload)
    except (msgspec.DecodeError, msgspec.ValidationError) as err:
        raise StorageError(f"the log of names holds a record of a later onlineml; update it ({err})") from err


def whole_lines(data: bytes) -> tuple[list[bytes], bytes]:
    """The payloads of the whole lines in a piece of a log, less what is torn or no line at all; and what is left."""
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
    """The names of a volume after some records: a deterministic function of them.

    Attributes:
        entries: by path.
        garbage: objects that lost their last name, and when (ms); they may be deleted once nobody reads them any more.
    """

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.garbage: dict[str, int] = {}
        self._recent: dict[str, bool] = {}
        self._uses: dict[str, int] = {}  # how many names an object has
        self._folders: dict[str, int] = {}  # how many files are anywhere below
        self._sorted: list[str] | None = None  # made when first needed

    # ---- replay ----

    def apply(self, record: Record) -> bool:
        """Take in one record; whether it counted.

        The same record again counts as it did at first and changes nothing.
        """
        if record.txn in self._recent:
            return self._recent[record.txn]
        counts = are_names(record.set) and self.objection(record.expected, record.set) is None
        if counts:
            self._set(record)
        else:  # what was uploaded for it has no name
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
        """Whether a transaction counted; None where it is not in the log, as far as that is known."""
        return self._recent.get(txn)

    def objection(self, expected: Mapping[str, str | None], changes: Mapping[str, Entry | None]) -> OSError | None:
        """Why a transaction would not count now, as the error for its path; None where it would."""
        for path, file in expected.items():
            entry = self.entries.get(path)
            if file is None and entry is not None:
                return FileExistsError(path)
            if file is not None and (entry is None or entry.file != file):
                return ConflictError(f"{path} has changed meanwhile; read it again")
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
        """Whether files are below; the top is a folder always."""
        return not path or path in self._folders

    def below(self, folder: str) -> list[str]:
        """The paths of all files below a folder, sorted."""
        names = self._names()
        if not folder:
            return list(names)
        first = bisect.bisect_left(names, folder + "/")
        return names[first : first + self._folders.get(folder, 0)]

    def children(self, folder: str) -> tuple[list[str], list[str]]:
        """The files in a folder and the folders in it, as paths, each sorted."""
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
        """The state as bytes, for `restored`."""
        return _encoder.encode(_Snapshot(self.entries, self.garbage, self._recent))

    @classmethod
    def restored(cls, data: bytes) -> Names:
        """The state that a snapshot holds.

        Raises:
            StorageError: the bytes are none.
        """
        try:
            found = msgspec.json.decode(data, type=_Snapshot)
        except (msgspec.DecodeError, msgspec.ValidationError) as err:
            raise StorageError(f"a snapshot of names cannot be read; update onlineml ({err})") from err
        if not are_names(found.entries):
            raise StorageError("a snapshot holds what are no names of files; it was not written by onlineml")
        names = cls()
        names.entries, names.garbage, names._recent = found.entries, found.garbage, found.recent
        names._uses = dict(Counter(entry.file for entry in found.entries.values()))
        names._uses.pop("", None)
        for folder, files in Counter(path.rpartition("/")[0] for path in found.entries).items():
            for above in (folder, *_above(folder)) if folder else ():
                names._folders[above] = names._folders.get(above, 0) + files
        return names


def _above(path: str) -> Iterator[str]:
    """The folders that hold a path, from the innermost; not the top."""
    at = path.rfind("/")
    while at > 0:
        yield path[:at]
        at = path.rfind("/", 0, at)
