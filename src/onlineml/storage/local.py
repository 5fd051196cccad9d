"""The local disk: whole files appear at once or not at all, whenever the process is killed."""

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

from onlineml.errors import ConflictError

try:
    import fcntl
except ImportError:  # Windows
    SWAPS = False
else:
    SWAPS = True  # whether `swap` lets exactly one writer win

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SWAPS",
    "copy_synced",
    "create",
    "list_files",
    "move_synced",
    "name_beside",
    "remove_beside",
    "replace",
    "swap",
    "temporary_beside",
]

_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{16}\.tmp")


def name_beside(path: str) -> Path:
    """A new hidden name in the same folder, which `list_files` passes over."""
    target = Path(path)
    return target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}.tmp")  # 255 bytes is the usual limit


def remove_beside(path: str) -> None:
    """Remove what killed processes left of a file that nobody writes any more."""
    target = Path(path)
    for left in target.parent.glob(f".{glob.escape(target.name[:200])}.{'[0-9a-f]' * 16}.tmp"):
        left.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_beside(path: str) -> Iterator[Path]:
    """A name for a new file in the same folder, which is made; removed at the end where it is still there."""
    temporary = name_beside(path)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it, so that a rename never shows an empty file after power loss."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy_synced(source: Path, target: Path) -> None:
    """Copy a file of any size and wait until the disk has it."""
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 8 << 20)
        writer.flush()
        os.fsync(writer.fileno())


def move_synced(source: Path, target: Path) -> bool:
    """Wait until the disk has a file, then put it in place in one step; False where that lies on another disk."""
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
    """Put a file in place in one step, over whatever was there."""
    with temporary_beside(path) as temporary:
        write_synced(temporary, data)
        temporary.replace(path)


def create(path: str, data: bytes) -> None:
    """Put a new file in place in one step; exactly one of several racing processes succeeds.

    Where the disk has no hard links (FAT, some network shares) the name is reserved by an empty file first; a kill
    between the two steps leaves that empty file.

    Raises:
        FileExistsError: the file is already there.
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
    """Put a file in place of the one whose content has the sha256 ``version``; returns the new one's.

    Of several racing processes exactly one succeeds. They wait for each other at a file beside it, which stays.

    Raises:
        ConflictError: another file is there, or none.
    """
    folder, name = os.path.split(path)
    lock = os.open(os.path.join(folder, f".{name[:200]}.{'0' * 16}.tmp"), os.O_CREAT | os.O_RDWR, 0o666)  # noqa: PTH118
    try:
        if SWAPS:
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            now = sha256(Path(path).read_bytes()).hexdigest()
        except FileNotFoundError as err:
            raise ConflictError("it is gone meanwhile") from err
        if now != version:
            raise ConflictError("it was changed meanwhile; read it again")
        replace(path, data)
    finally:
        os.close(lock)
    return sha256(data).hexdigest()


def list_files(folder: str, *, recursive: bool) -> Iterator[tuple[str, os.stat_result]]:
    """The files below a folder as (relative path with '/', stat); ours in the making are left out.

    Links to folders are followed, except back into a folder that is being listed.
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
                elif not _TEMPORARY.fullmatch(entry.name) and entry.is_file():
                    yield f"{prefix}{entry.name}", entry.stat()
            except FileNotFoundError:  # gone since it was listed
                continue
