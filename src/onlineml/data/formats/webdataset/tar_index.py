"""The index of a tar archive: where the bytes of each file lie. No file is unpacked, and no path is followed."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

from onlineml.data.formats.boxes import safe_name
from onlineml.data.images.policies import is_junk
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Member", "TarIndex", "tar_index"]

_COMPRESSED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7z": "unxz", b"\x28\xb5": "zstd -d"}
_MOST_TEXT = 1 << 20  # bytes of a file of labels
_PADDING = 65_536  # bytes after the end that must be zeros


class Member(NamedTuple):
    """A file inside an archive.

    Attributes:
        name: its path there, without ``./`` before it.
        offset: the position of its first byte in the archive.
        size: bytes.
        content: its bytes, if they were wanted.
    """

    name: str
    offset: int
    size: int
    content: bytes = b""


class TarIndex(NamedTuple):
    """The files of an archive, the last one of each name; and the names of others, which were left out.

    Attributes:
        members: files.
        left_out: links, devices, and paths that lead out of the archive.
        replaced: names of files that a later one of the same name replaces.
    """

    members: list[Member]
    left_out: list[str]
    replaced: list[str]


def tar_index(file: Any, name: str, *, wanted: Callable[[str], bool]) -> TarIndex:
    """Read the headers of a tar archive.

    Args:
        file: opened for reading, seekable; where it lies on remote storage, what lies between headers is not read.
        name: the archive's, for messages.
        wanted: returns whether the content of a file is wanted, by its name.

    Raises:
        DataError: the archive is compressed, cut off, or no tar archive.
    """
    head = file.read(3)
    size = file.seek(0, 2)
    file.seek(0)
    if remedy := next((tool for magic, tool in _COMPRESSED.items() if head.startswith(magic)), ""):
        raise DataError(f"{name} is compressed, so that single images cannot be read from it; unpack it with {remedy}")
    members, left_out, replaced, end = dict[str, Member](), list[str](), list[str](), 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                if info.offset < end or info.size < 0:
                    raise tarfile.ReadError("its headers overlap")
                end = info.offset_data + (
                    0 if info.isdir() or info.islnk() or info.issym() else -(-info.size // 512) * 512
                )
                if info.isreg() and info.offset_data + info.size > size:
                    raise tarfile.ReadError(f"{info.name!r:.100} declares more bytes than follow")
                path = safe_name(info.name)
                if info.isdir() or (path is not None and is_junk(path)):
                    continue
                if path is None or not info.isreg() or info.issparse():
                    left_out.append(info.name)
                    continue
                if path in members:
                    replaced.append(path)
                members[path] = _member(file, path, info, wanted)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise DataError(f"{name} is not a whole tar archive: {error}; copy it again") from error
    file.seek(end)
    if file.read(_PADDING).strip(b"\0"):  # tarfile takes anything that is no header for the end
        raise DataError(
            f"{name} is damaged at byte {end:,}, or holds several archives one after the other; pack it again"
        )
    return TarIndex([*members.values()], left_out, replaced)


def _member(file: Any, path: str, info: tarfile.TarInfo, wanted: Callable[[str], bool]) -> Member:
    content = b""
    if wanted(path) and info.size <= _MOST_TEXT:
        file.seek(info.offset_data)
        content = file.read(info.size)
    return Member(path, info.offset_data, info.size, content)
