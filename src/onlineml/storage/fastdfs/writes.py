"""Changes to the names of volumes: content is stored and named, moved, copied and removed, each in one step."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from onlineml.errors import ConflictError
from onlineml.storage.fastdfs import upkeep
from onlineml.storage.fastdfs.client import RefusedError
from onlineml.storage.fastdfs.ids import FileId
from onlineml.storage.fastdfs.places import InVolume, checked_name
from onlineml.storage.fastdfs.reads import EMPTY
from onlineml.storage.fastdfs.records import Entry, now_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onlineml.storage.fastdfs.connections import Payload
    from onlineml.storage.fastdfs.names import Names
    from onlineml.storage.fastdfs.volume import Volume

__all__ = ["check", "commit", "copied", "moves", "removed", "renamed", "store", "touched", "undo"]

Plan = tuple[dict[str, Entry | None], dict[str, str | None]]  # the changes, and the expected state before them

_TRIES = 16  # attempts; other writers may repeatedly change the same names


def store(place: InVolume, payload: Payload) -> Entry:
    """Store content that will get a name; it is invisible until it is committed."""
    if not payload.size:
        return Entry("", 0, now_ms())
    last = place.name.rpartition("/")[2]
    extension = (
        last.rpartition(".")[2] if "." in last else ""
    )  # so that a web server in front of FastDFS can infer the type
    return Entry(str(place.volume.client.upload(payload, extension=extension)), payload.size, now_ms())


def undo(volume: Volume, entries: Mapping[str, Entry | None]) -> None:
    """Delete stored content that did not get its name."""
    for entry in entries.values():
        if entry is not None and entry.file:
            with contextlib.suppress(OSError):  # otherwise it is deleted later, as content without a name
                volume.client.delete(FileId.parse(entry.file))


def check(place: InVolume, *, create: bool, if_match: str | None) -> None:
    """Raise the error that `commit` would raise now, before anything is uploaded for it."""
    place.volume.check({place.name: Entry("", 0, 0)}, _expectation(place.name, create=create, if_match=if_match))


def _expectation(name: str, *, create: bool, if_match: str | None) -> dict[str, str | None]:
    """Return the state of its name that a write expects."""
    if if_match is not None:
        return {name: "" if if_match == EMPTY else if_match}
    return {name: None} if create else {}


def commit(
    named: Sequence[tuple[InVolume, Entry]], *, create: bool, if_match: str | None, delete_after_s: float
) -> None:
    """Give stored content its names, in one step per volume; content whose commit fails is deleted.

    Raises:
        FileExistsError: the file exists, with create.
        ConflictError: the file is not the one that if_match names, or does not exist.
        IsADirectoryError: a name is a folder.
        NotADirectoryError: a name is below a file.
        RefusedError: the names cannot be written now.
    """
    changes: dict[Volume, dict[str, Entry | None]] = {}
    for place, entry in named:
        changes.setdefault(checked_name(place).volume, {})[place.name] = entry
    while changes:
        volume, entries = next(iter(changes.items()))
        expected: dict[str, str | None] = {}
        for name in entries:
            expected |= _expectation(name, create=create, if_match=if_match)
        try:
            volume.commit(entries, expected=expected)
        except (ConflictError, FileExistsError, IsADirectoryError, NotADirectoryError, RefusedError):
            for other, lost in changes.items():
                undo(other, lost)
            raise
        del changes[volume]
        upkeep.after_commit(volume, delete_after_s=delete_after_s)


def _change(volume: Volume, plan: Callable[[Names], Plan], delete_after_s: float) -> None:
    """Commit changes planned from the current names; plan again if another writer was faster."""
    for left in reversed(range(_TRIES)):
        with volume.reading() as names:
            changes, expected = plan(names)
        try:
            volume.commit(changes, expected=expected)
        except ConflictError:
            if not left:
                raise
        else:
            break
    upkeep.after_commit(volume, delete_after_s=delete_after_s)


def touched(place: InVolume, *, delete_after_s: float) -> None:
    """Set a file's time to the present.

    Raises:
        FileNotFoundError: the file does not exist.
    """

    def plan(names: Names) -> Plan:
        entry = _entry(names, place.name)
        return {place.name: entry._replace(ms=now_ms())}, {place.name: entry.file}

    _change(place.volume, plan, delete_after_s)


def copied(source: InVolume, target: InVolume, *, delete_after_s: float) -> None:
    """Give a file's content a second name in the same volume; content is immutable, so both may share it.

    Raises:
        FileNotFoundError: the source does not exist.
    """

    def plan(names: Names) -> Plan:
        entry = _entry(names, source.name)
        return {target.name: entry._replace(ms=now_ms())}, {source.name: entry.file}

    _change(source.volume, plan, delete_after_s)


def renamed(volume: Volume, pairs_of: Callable[[Names], Sequence[tuple[str, str]]], *, delete_after_s: float) -> None:
    """Rename files, all in one step, replacing existing files.

    Args:
        volume: the volume of all of them.
        pairs_of: computes the pairs of old and new names from the current names.
        delete_after_s: the filesystem's setting.

    Raises:
        FileNotFoundError: an old name does not exist.
    """

    def plan(names: Names) -> Plan:
        pairs = pairs_of(names)
        entries = {old: _entry(names, old) for old, _ in pairs}
        changes: dict[str, Entry | None] = dict.fromkeys(entries)
        for old, new in pairs:
            changes[checked_name(InVolume(volume, new)).name] = entries[old]
        return changes, {old: entry.file for old, entry in entries.items()}

    _change(volume, plan, delete_after_s)


def moves(names: Names, source: str, target: str, *, into: bool, recursive: bool) -> list[tuple[str, str]]:
    """Return the old and new names for moving a file, or a folder with its content.

    Args:
        names: the current names.
        source: the file or folder.
        target: its new name; if that is an existing folder, or with into, the source is moved into it.
        into: see target.
        recursive: whether source may be a folder.

    Raises:
        FileNotFoundError: the source does not exist.
        IsADirectoryError: the source is a folder and recursive is false.
    """
    if into or names.is_folder(target):
        target = f"{target}/{source.rpartition('/')[2]}".lstrip("/")
    if source in names.entries:
        return [(source, target)]
    if not names.is_folder(source):
        raise FileNotFoundError(source)
    if not recursive:
        raise IsADirectoryError(source)
    return [(name, f"{target}/{name[len(source) :].lstrip('/')}".lstrip("/")) for name in names.below(source)]


def removed(volume: Volume, paths: Sequence[str], *, folders: bool, delete_after_s: float) -> None:
    """Remove names, all in one step.

    Args:
        volume: the volume of all of them.
        paths: the names.
        folders: whether paths may include folders, which are removed with their files.
        delete_after_s: the filesystem's setting.

    Raises:
        FileNotFoundError: a path does not exist.
        IsADirectoryError: a path is a folder, without folders.
    """

    def plan(names: Names) -> Plan:
        files = [name for name in paths if not (folders and names.is_folder(name))]
        return dict.fromkeys(files), {name: _entry(names, name).file for name in files}

    _change(volume, plan, delete_after_s)


def _entry(names: Names, name: str) -> Entry:
    entry = names.entries.get(name)
    if entry is None:
        raise (IsADirectoryError if names.is_folder(name) else FileNotFoundError)(name)
    return entry
