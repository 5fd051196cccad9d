"""Records of the log of names, and the pointers to it, as bytes.

FastDFS generates file ids and has no listing, so names are stored as records in an appender file. A record lists the
names it sets and the state it expects of names before: ``{"txn": …, "if": {path: file id or null}, "set": {path: entry
or null}}``. The server puts appends in one order that all readers see, and a record whose expectation is not met has no
effect, for any reader. Creating a file only if it does not exist, replacing a file conditionally, committing many files
at once and renaming are therefore one append each, and need no lock.

Each record is a line of its own, preceded by its checksum. A line break also precedes each record, so that a partial
append leaves a line with a wrong checksum, which all readers skip. A record whose transaction id has occurred before is
skipped as well: a writer whose append got no response may simply repeat it.

`onlineml.storage.fastdfs.names` computes the names from them; `onlineml.storage.fastdfs.volume` reads and writes them.
"""

from __future__ import annotations

import re
import time
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from onlineml.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "FORMAT",
    "MAX_LINE",
    "MAX_NAME",
    "Entry",
    "Pointer",
    "Record",
    "are_names",
    "body_bytes",
    "body_of",
    "line_of",
    "now_ms",
    "pointers_of",
    "record_of",
    "whole_lines",
]

FORMAT = 1
MAX_LINE = 4096  # bytes: appends of this size stayed complete and ordered in tests on servers; one of 1 MB was split
MAX_NAME = 1024  # bytes, as on S3
# a component that is empty, '.' or '..', in names joined by NULs
_NO_NAME = re.compile(r"(?:\A|[/\0])\.{0,2}(?:[/\0]|\Z)")


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
    except (msgspec.DecodeError, RecursionError) as err:
        raise StorageError(f"the log of names has a record of a later version of onlineml; update it ({err})") from err


def whole_lines(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the payloads of the complete, valid lines in a piece of a log, and the remaining incomplete line."""
    *lines, rest = data.split(b"\n")
    found = [_checked(line) for line in lines if line]
    return [payload for payload in found if payload is not None], rest


def _checked(line: bytes) -> bytes | None:
    checksum, space, payload = line[:8], line[8:9], line[9:]
    return payload if space == b" " and checksum == b"%08x" % zlib.crc32(payload) else None


class Pointer(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the root: the position at which reading starts.

    Attributes:
        format: format version of everything that this line points to.
        serial: the number of the log.
        segment: the id of the log.
        start: bytes of the log that are skipped, because the snapshot includes them.
        snapshot: the id of a file of names; ``""`` at first.
    """

    format: int
    serial: int
    segment: str
    start: int
    snapshot: str


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    """The part of a record that did not fit into a line."""

    expected: dict[str, str | None] = msgspec.field(name="if")
    set: dict[str, Entry | None]


def body_bytes(record: Record) -> bytes:
    """Return the content of a file for the part of a record that does not fit into a line."""
    return _encoder.encode(_Body(record.expected, record.set))


def body_of(data: bytes, file: str) -> _Body:
    """Decode the content of such a file, which is named in the message.

    Raises:
        StorageError: a later version of onlineml wrote it.
    """
    try:
        return msgspec.json.decode(data, type=_Body)
    except (msgspec.DecodeError, RecursionError) as err:
        raise StorageError(
            f"{file}, a part of the log of names, was written by a later version of onlineml; update it ({err})"
        ) from err


def pointers_of(data: bytes, root: str) -> list[Pointer]:
    """Return the pointers in the content of a volume's root, by number.

    Raises:
        StorageError: a later version of onlineml wrote them, or there are none.
    """
    try:
        found = [msgspec.json.decode(line, type=Pointer) for line in whole_lines(data)[0]]
    except (msgspec.DecodeError, RecursionError) as err:
        raise StorageError(
            f"the volume {root} was written by a later version of onlineml; update onlineml ({err})"
        ) from err
    if not found or max(pointer.format for pointer in found) > FORMAT:
        raise StorageError(f"{root} is not a volume that this version of onlineml can read; update onlineml")
    return sorted(found, key=lambda pointer: (pointer.serial, pointer.start))


def now_ms() -> int:
    """Return milliseconds since 1970."""
    return time.time_ns() // 1_000_000
