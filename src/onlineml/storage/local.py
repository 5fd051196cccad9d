"""Atomic writes on the local disk: a file appears complete or not at all, even if the process is killed."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from onlineml.errors import ConflictError, DataError

try:
    import fcntl
except ImportError:  # Windows
    SWAPS = False
else:
    SWAPS = True  # whether exactly one of several racing `swap` calls succeeds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "SWAPS",
    "copy_synced",
    "create",
    "delete_below",
    "list_files",
    "move_synced",
    "name_beside",
    "remove_beside",
    "replace",
    "swap",
    "temporary_beside",
]

_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{16})\.tmp")
_LOCK = "0" * 16  # in the names of the files that `swap` locks


def name_beside(path: str) -> Path:
    """Return a new hidden path in the same folder, which `list_files` ignores."""
    target = Path(path)
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}.tmp")  # 255 bytes is the usual limit


def remove_beside(path: str) -> None:
    """Remove temporary files that killed processes left; call it only if no process is writing the file."""
    target = Path(path)
    for left in target.parent.glob(f".{glob.escape(target.name[:200])}.{'[0-9a-f]' * 16}.tmp"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_beside(path: str) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which is created; a remaining file is removed at the end."""
    temporary = name_beside(path)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and sync it to disk, so that a rename never shows an empty file after power loss."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy_synced(source: Path, target: Path) -> None:
    """Copy a file of any size and sync the copy to disk."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 8 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def move_synced(source: Path, target: Path) -> bool:
    """Sync a file to disk, then rename it in one step; return False if the target is on another disk."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    try:
        source.replace(target)
    except OSError as err:
        if err.errno == errno.EXDEV:
            return False
        raise
    return True


def replace(path: str, data: bytes) -> None:
    """Write a file in one step, replacing an existing one."""
    with temporary_beside(path) as temporary:
        write_synced(temporary, data)
        temporary.replace(path)


def create(path: str, data: bytes) -> None:
    """Create a file in one step; exactly one of several racing processes succeeds.

    If the disk has no hard links (FAT, some network shares), an empty file reserves the name first; a kill between the
    two steps leaves the empty file.

    Raises:
        FileExistsError: the file already exists.
    """
    with temporary_beside(path) as temporary:
        write_synced(temporary, data)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            temporary.replace(path)


def swap(path: str, data: bytes, *, version: str) -> str:
    """Replace the file whose content has the sha256 ``version``; return the sha256 of the new content.

    Exactly one of several racing processes succeeds. They lock a file beside it, which remains.

    Raises:
        ConflictError: the file has other content, or does not exist.
    """
    folder, name = os.path.split(path)
    lock = os.open(os.path.join(folder, f".{name[:200]}.{_LOCK}.tmp"), os.O_CREAT | os.O_RDWR, 0o666)  # noqa: PTH118
    try:
        if SWAPS:
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            now = sha256(Path(path).read_bytes()).hexdigest()
        except FileNotFoundError as err:
            raise ConflictError("the file was deleted since it was read") from err
        if now != version:
            raise ConflictError("the file was changed since it was read; read it again")
        replace(path, data)
    finally:
        os.close(lock)
    return sha256(data).hexdigest()


def version_of(stat: os.stat_result) -> str:
    """Return the version of a file: time of modification and size."""
    return f"{stat.st_mtime_ns}-{stat.st_size}"


def list_files(folder: str, *, recursive: bool, temporary: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below a folder as (relative path with '/', stat).

    Links to folders are followed, except to a folder that is already being listed.

    Args:
        folder: its path.
        recursive: also those in its folders.
        temporary: only onlineml's temporary files, without the locks of `swap`; by default all others.
    """
    stack = [(folder, "", frozenset[str]())]
    while stack:
        path, prefix, above = stack.pop()
        real = os.path.realpath(path)
        if real in above:
            continue
        try:
            entries = list(os.scandir(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            try:
                if entry.is_dir():
                    if recursive:
                        stack.append((entry.path, f"{prefix}{entry.name}/", above | {real}))
                elif _is_temporary(entry.name) is temporary and entry.is_file():
                    yield f"{prefix}{entry.name}", entry.stat()
            except FileNotFoundError:  # deleted since it was listed
                continue


def links_above(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the folders below a folder that hold some files and are links, with a slash at their ends.

    Args:
        folder: its path.
        paths: of files below it, as `list_files` gives them.
    """
    found: set[str] = set()
    left = {path.rpartition("/")[0] for path in paths} - {""}
    while left:
        found |= left
        left = {path.rpartition("/")[0] for path in left} - found - {""}
    return tuple(sorted(f"{path}/" for path in found if os.path.islink(f"{folder}/{path}")))  # noqa: PTH114 (many)


def delete_below(folder: str, paths: Sequence[str]) -> None:
    """Delete files below a folder, in this order; those that do not exist are passed over.

    Where the system can, each folder on the way is opened from the one above it, and not if it is a link: one that is
    put there after any check is not followed either.

    Raises:
        DataError: a folder on the way is a link. Nothing is deleted, unless it became one meanwhile; never behind it.
    """
    require_no_links(folder, paths)
    for path in paths:
        try:
            _delete_below(folder, path)
        except FileNotFoundError:
            continue
        except OSError as err:
            if err.errno in {errno.ENOTDIR, errno.ELOOP}:  # of a link, by system
                raise _behind_a_link(folder, path) from err
            raise


def require_no_links(folder: str, paths: Iterable[str]) -> None:
    """Raise a DataError if some files below a folder are behind a link to another folder."""
    if links := links_above(folder, paths):
        raise _behind_a_link(folder, links[0].rstrip("/"))


def _behind_a_link(folder: str, path: str) -> DataError:
    return DataError(
        f"{path} in {folder} is not deleted: it is a link to another folder, or behind one; remove the link, and "
        "delete what it refers to yourself if nobody needs it"
    )


def _delete_below(folder: str, path: str) -> None:
    if os.unlink not in os.supports_dir_fd:  # Windows, where links need a privilege
        os.unlink(f"{folder}/{path}")  # noqa: PTH108
        return
    *above, name = path.split("/")
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for one in above:
            below = os.open(one, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = below
        os.unlink(name, dir_fd=held)
    finally:
        os.close(held)


def _is_temporary(name: str) -> bool | None:
    """Return whether a name is one of `name_beside`; None for the locks of `swap`."""
    found = _TEMPORARY.fullmatch(name) if name.startswith(".") else None
    return found is not None if found is None or found[1] != _LOCK else None
