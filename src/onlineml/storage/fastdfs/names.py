"""The names of a volume: the state that every reader computes from the records of the log."""

from __future__ import annotations

import bisect
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from onlineml.errors import ConflictError, StorageError
from onlineml.storage.fastdfs.records import Entry, are_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onlineml.storage.fastdfs.records import Record

__all__ = ["Names"]

_RECENT = 4096  # number of transaction ids that are remembered; an append is repeated within seconds
_INSERTED_ONE_BY_ONE = 64  # if more names are new, all are sorted again


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
        return msgspec.json.encode(_Snapshot(self.entries, self.garbage, self._recent))

    @classmethod
    def restored(cls, data: bytes) -> Names:
        """Decode the state from a snapshot.

        Raises:
            StorageError: the bytes are not a snapshot.
        """
        try:
            found = msgspec.json.decode(data, type=_Snapshot)
        except (msgspec.DecodeError, RecursionError) as err:
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
