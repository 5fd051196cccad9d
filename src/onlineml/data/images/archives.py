"""Reading of untrusted zip archives, without relying on anything that they declare.

Members are never written to disk under their own names, so no path can leave a folder. The declared size of a member is
checked before any of it is decompressed, and no more than the declared size is decompressed.
"""

from __future__ import annotations

import contextlib
import itertools
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from onlineml.arguments.counted import count
from onlineml.data.images.policies import is_image_name, is_junk
from onlineml.errors import DataError
from onlineml.storage.io import open_file
from onlineml.storage.location import Location, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Folders = Callable[[Sequence[str]], Sequence[str | None]]

__all__ = ["MAX_FILES", "MAX_FILE_BYTES", "MAX_RATIO", "Unpacked", "read_zip", "zip_folders"]

MAX_FILES = 200_000
MAX_FILE_BYTES = 1 << 30
# Photos are compressed already: their archives shrink to at least half. DEFLATE reaches 1032 : 1, and members that
# share their bytes reach millions (Fifield, A better zip bomb, WOOT 2019).
MAX_RATIO = 200
_LEAST_SUSPECT = 100 << 20  # decompressed bytes, below which any ratio is harmless
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}


@dataclass(frozen=True)
class Unpacked:
    """One file of an archive.

    Attributes:
        name: the name in the archive, for display only; it is not a path on any disk.
        folder: the innermost folder that contains it, or what ``folders`` returned for it; ``""`` at the top.
        content: its bytes; ``b""`` if it is refused.
        refused: the reason for refusing it; ``""`` if it is accepted.
    """

    name: str
    folder: str
    content: bytes
    refused: str = ""


def read_zip(
    source: Url | bytes,
    *,
    wanted: Callable[[str], bool] = is_image_name,
    folders: Folders | None = None,
) -> Iterator[Unpacked]:
    """Yield the files of a zip archive one by one, in its order.

    Folders, hidden files and files added by operating systems are skipped silently.

    Args:
        source: a path or URL on any storage, or the bytes of the archive. Only the needed parts are read.
        wanted: returns whether a file is of an accepted kind, given its name.
        folders: returns the folder of each file, given the paths of all, with ``/``.

    Yields:
        Each file, or the reason for refusing it: its path leads out of the archive, it is a link, encrypted, of another
        kind, too large, or damaged.

    Raises:
        DataError: the source is not a zip archive, has too many files, or is a decompression bomb; nothing was
            decompressed in that case.
        NotFoundError: the source does not exist.
    """
    name = "the archive" if isinstance(source, bytes) else str(Location.of(source))
    if isinstance(source, bytes):
        yield from _files(BytesIO(source), name, wanted, folders or _innermost)
        return
    with open_file(source) as file:
        yield from _files(file, name, wanted, folders or _innermost)


def zip_folders(
    source: Url | bytes, *, wanted: Callable[[str], bool] = is_image_name, folders: Folders | None = None
) -> dict[str, int]:
    """Count the acceptable files of a zip archive by their folders; ``""`` at the top. Nothing is decompressed.

    Args and errors are those of `read_zip`.
    """
    with contextlib.ExitStack() as stack:
        name = "the archive" if isinstance(source, bytes) else str(Location.of(source))
        file = BytesIO(source) if isinstance(source, bytes) else stack.enter_context(open_file(source))
        with _opened(file, name) as archive:
            members = [member for member in _members(archive) if not _refusal(member, wanted)]
            return dict(Counter(own or "" for own in (folders or _innermost)([*map(_path, members)])))


def _innermost(paths: Sequence[str]) -> list[str | None]:
    return [next(iter(_parts(path)[-2:-1]), "") for path in paths]


def _opened(file: Any, name: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, IndexError, OverflowError) as error:
        raise DataError(f"{name} is not a readable zip archive: {error}; pack it again as .zip") from error


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [member for member in archive.infolist() if not member.is_dir() and not _is_junk(member.filename)]


def _files(file: Any, name: str, wanted: Callable[[str], bool], folders: Folders) -> Iterator[Unpacked]:
    with _opened(file, name) as archive:
        members = _members(archive)
        size = file.seek(0, 2)
        _refuse_bombs(members, name, size)
        refusals = [_refusal(member, wanted) for member in members]
        own = iter(folders([_path(m) for m, refused in zip(members, refusals, strict=True) if not refused]))
        for member, refused in zip(members, refusals, strict=True):
            if refused:
                yield Unpacked(_shown(member), "", b"", refused)
                continue
            folder = next(own) or ""
            try:
                content = _unpacked(archive, member)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
                yield Unpacked(_shown(member), folder, b"", f"damaged: {error or type(error).__name__}")
                continue
            yield Unpacked(_shown(member), folder, content)


def _refuse_bombs(members: list[zipfile.ZipInfo], name: str, size: int) -> None:
    if len(members) > MAX_FILES:
        raise DataError(f"{name} has {count(len(members), 'file')}; at most {MAX_FILES:,} are allowed: split it")
    total = sum(member.file_size for member in members)
    if total > max(MAX_RATIO * size, _LEAST_SUSPECT):
        raise DataError(
            f"{name} has {size:,} bytes and declares {total:,} unpacked, more than {MAX_RATIO} times as many, as "
            "only decompression bombs do: if you trust it, unpack it yourself and pass the folder"
        )
    spans = sorted((member.header_offset, member.compress_size) for member in members)
    for (start, length), (following, _) in itertools.pairwise(spans):
        if start + length > following:
            raise DataError(f"{name} has members that share bytes, as only decompression bombs do: pack it again")


def _parts(path: str) -> tuple[str, ...]:
    """Split a path; some Windows programs write backslashes."""
    return PurePosixPath(path.replace("\\", "/")).parts


def _is_junk(path: str) -> bool:
    parts = _parts(path)
    return ".." not in parts and is_junk("/".join(parts))  # the former is refused


def _refusal(member: zipfile.ZipInfo, wanted: Callable[[str], bool]) -> str:
    """Return the reason for refusing a member; ``""`` if it may be decompressed."""
    path = member.orig_filename
    parts = _parts(path)
    if not parts or "\0" in path or path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        return "its path leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link, not a file"
    if member.flag_bits & 0x1:
        return "encrypted: pack it again without a password"
    if member.filename.lower().endswith(".zip"):
        return "an archive within the archive: upload it separately"
    if not wanted(member.filename):
        return "not of an accepted file type"
    if member.file_size > MAX_FILE_BYTES:
        return f"{member.file_size:,} bytes; at most {MAX_FILE_BYTES:,} are allowed"
    if member.compress_type not in _METHODS:
        return f"compressed with an unknown method ({member.compress_type}): pack it again as a plain zip"
    return ""


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Decompress a member and verify its checksum; never return more bytes than it declares."""
    with archive.open(member) as stream:
        content = stream.read(member.file_size)
        if len(content) != member.file_size or stream.read(1):
            raise zipfile.BadZipFile("its length differs from the declared length")
    return content


def _shown(member: zipfile.ZipInfo) -> str:
    """Return the name of a member; unprintable characters in untrusted names are replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in member.filename)


def _path(member: zipfile.ZipInfo) -> str:
    return _shown(member).replace("\\", "/")
