"""FastDFS wire protocol: packing of requests and unpacking of replies, without I/O or state.

Tested against servers of version 6.16. Numbers are big-endian. Addresses in replies fill 15 or 45 bytes, depending on
the tracker's configuration; the length of a reply shows which.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

from onlineml.errors import StorageError
from onlineml.storage.fastdfs.ids import Address, FileId

__all__ = [
    "HEADER_BYTES",
    "BrokenReplyError",
    "Info",
    "Storage",
    "Target",
    "append",
    "delete",
    "download",
    "file_id_reply",
    "header_reply",
    "info_reply",
    "list_storages",
    "query_info",
    "query_read",
    "query_read_all",
    "query_store",
    "query_update",
    "server_reply",
    "servers_reply",
    "storages_reply",
    "target_reply",
    "upload",
]

HEADER_BYTES = 10
_REPLY = 100
_GROUP_BYTES = 16
_ADDRESS_SIZES = (15, 45)  # of IPv4 and of IPv6, as text padded with NULs
_MAX_REPLY = 1 << 50  # a larger length is not from a FastDFS server

_UPLOAD, _DELETE, _DOWNLOAD, _INFO, _UPLOAD_APPENDER, _APPEND = 11, 12, 14, 22, 23, 24
_LIST_STORAGES, _STORE, _READ, _UPDATE, _STORE_IN_GROUP, _READ_ALL = 92, 101, 102, 103, 104, 105
_SKIP_CRC, _SILENT = 1, 2  # flags in the status byte of an information request
_ACTIVE = 7
_EXTENSION = re.compile(r"[A-Za-z0-9]{1,6}")


class BrokenReplyError(StorageError, ConnectionError):
    """Received bytes that are not a reply of the protocol; the connection cannot be used any more."""


class Target(NamedTuple):
    """Destination that the tracker assigns to a new file: the server and the index of its disk."""

    group: str
    address: Address
    path_index: int


class Info(NamedTuple):
    """Size in bytes and modification time in seconds since 1970, as a storage server reports them."""

    size: int
    mtime: int


class Storage(NamedTuple):
    """One storage server of a group; its id is its address, or a number if the cluster uses ids."""

    id: str
    address: Address
    active: bool


# ------------------------------------------------------------------------------------------------------------ requests


def _packed(command: int, body: bytes = b"", *, data_bytes: int = 0, status: int = 0) -> bytes:
    return struct.pack(">QBB", len(body) + data_bytes, command, status) + body


def _group(name: str) -> bytes:
    encoded = name.encode()
    if not 0 < len(encoded) <= _GROUP_BYTES:
        raise ValueError(f"a group name must have 1 to {_GROUP_BYTES} bytes; {name!r} has {len(encoded)}")
    return encoded.ljust(_GROUP_BYTES, b"\0")


def _file(file: FileId) -> bytes:
    return _group(file.group) + file.name.encode()


def query_store(group: str | None = None) -> bytes:
    """Build the request for the destination of a new file; `target_reply` parses the reply."""
    return _packed(_STORE) if group is None else _packed(_STORE_IN_GROUP, _group(group))


def query_read(file: FileId) -> bytes:
    """Build the request for one server that has the file; `server_reply` parses the reply."""
    return _packed(_READ, _file(file))


def query_update(file: FileId) -> bytes:
    """Build the request for the server that changes the file; `server_reply` parses the reply."""
    return _packed(_UPDATE, _file(file))


def query_read_all(file: FileId) -> bytes:
    """Build the request for all servers that have the file; `servers_reply` parses the reply."""
    return _packed(_READ_ALL, _file(file))


def list_storages(group: str, storage_id: str = "") -> bytes:
    """Build the request for the servers of a group, or for the one with an id; `storages_reply` parses the reply."""
    return _packed(_LIST_STORAGES, _group(group) + storage_id.encode())


def upload(path_index: int, size: int, extension: str = "", *, appender: bool = False) -> bytes:
    """Build the start of an upload, to be followed by size bytes; `file_id_reply` parses the reply.

    An extension that FastDFS cannot store (more than 6 characters, or others than letters and digits) is omitted.
    """
    kept = extension if _EXTENSION.fullmatch(extension) else ""
    body = struct.pack(">BQ6s", path_index, size, kept.encode())
    return _packed(_UPLOAD_APPENDER if appender else _UPLOAD, body, data_bytes=size)


def append(file: FileId, size: int) -> bytes:
    """Build the start of an append to an appender file, to be followed by size bytes."""
    name = file.name.encode()
    return _packed(_APPEND, struct.pack(">QQ", len(name), size) + name, data_bytes=size)


def delete(file: FileId) -> bytes:
    """Build the request to delete a file."""
    return _packed(_DELETE, _file(file))


def download(file: FileId, offset: int = 0, count: int = 0) -> bytes:
    """Build the request for count bytes from an offset before the end; 0 requests all that follow."""
    return _packed(_DOWNLOAD, struct.pack(">QQ", offset, count) + _file(file))


def query_info(file: FileId) -> bytes:
    """Build the request for a file's size and time; `info_reply` parses the reply."""
    return _packed(_INFO, _file(file), status=_SKIP_CRC | _SILENT)


# ------------------------------------------------------------------------------------------------------------- replies


def header_reply(header: bytes) -> tuple[int, int]:
    """Return the length of a reply's body, and its status, which is 0 or a Linux errno."""
    if len(header) < HEADER_BYTES:
        raise BrokenReplyError(f"a reply's header must have {HEADER_BYTES} bytes; {len(header)} arrived")
    length, command, status = struct.unpack_from(">QBB", header)
    if command != _REPLY or length > _MAX_REPLY:
        raise BrokenReplyError(f"not a reply of FastDFS: {bytes(header[:HEADER_BYTES])!r}")
    return length, status


def _address_bytes(length: int, *others: int, rows: int = 1) -> int:
    """Return the size of an address in a reply whose rows consist of one address and other fields each."""
    for size in _ADDRESS_SIZES:
        if length == rows * (size + sum(others)):
            return size
    raise BrokenReplyError(f"a reply of {length} bytes does not contain addresses of 15 or 45 bytes")


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


def _address(row: bytes, size: int) -> Address:
    (port,) = struct.unpack_from(">Q", row, size)
    if not 0 < port < 1 << 16:
        raise BrokenReplyError(f"{port} is not a port number")
    return Address(_text(row[:size]), port)


def target_reply(body: bytes) -> Target:
    """Parse the destination of a new file."""
    size = _address_bytes(len(body), _GROUP_BYTES, 8, 1)
    return Target(_text(body[:_GROUP_BYTES]), _address(body[_GROUP_BYTES:], size), body[-1])


def server_reply(body: bytes) -> Address:
    """Parse the address of a server to read from or to update."""
    size = _address_bytes(len(body), _GROUP_BYTES, 8)
    return _address(body[_GROUP_BYTES:], size)


def servers_reply(body: bytes) -> list[Address]:
    """Parse the addresses of all servers that have a file."""
    rows = body[_GROUP_BYTES:]
    for size in _ADDRESS_SIZES:
        step = size + 8
        if rows and len(rows) % step == 0:
            try:
                return [_address(rows[start : start + step], size) for start in range(0, len(rows), step)]
            except BrokenReplyError:  # a number of IPv6 rows may have the same length as another number of IPv4 rows
                continue
    raise BrokenReplyError(f"a reply of {len(body)} bytes is not a list of servers")


def file_id_reply(body: bytes) -> FileId:
    """Parse the id of the stored file."""
    try:
        return FileId.parse(f"{_text(body[:_GROUP_BYTES])}/{body[_GROUP_BYTES:].decode()}")
    except ValueError as err:
        raise BrokenReplyError(f"not a file id: {body!r}") from err


def info_reply(body: bytes) -> Info:
    """Parse size and modification time of a file."""
    if len(body) < 24:
        raise BrokenReplyError(f"a file's description must have at least 24 bytes; {len(body)} arrived")
    return Info(*struct.unpack_from(">QQ", body))


_ROW_SIZES = {487: 16, 517: 46}  # row size of version 6.16: size of the address in it
_AFTER_ADDRESS = 16 + 8 + 9 * 8  # from the end of the address to the port: id of a source, version, nine numbers


def storages_reply(body: bytes, storage_id: str = "") -> list[Storage]:
    """Parse the servers of a group.

    Args:
        body: the reply.
        storage_id: the requested id. The single row of such a reply is also parsed from older servers, whose rows have
            other sizes; their port is unknown and returned as 0.
    """
    for row_size, address_size in _ROW_SIZES.items():
        if body and len(body) % row_size == 0:
            rows = [body[start : start + row_size] for start in range(0, len(body), row_size)]
            return [_storage(row, address_size) for row in rows]
    for start in (2, 1):  # the second byte was added in version 6.13
        if storage_id and _text(body[start : start + 16]) == storage_id:
            address = Address(_text(body[start + 16 : start + 62]), 0)
            return [Storage(storage_id, address, active=body[0] == _ACTIVE)]
    raise BrokenReplyError(f"a reply of {len(body)} bytes is not a list of storage servers")


def _storage(row: bytes, address_size: int) -> Storage:
    (port,) = struct.unpack_from(">Q", row, 18 + address_size + _AFTER_ADDRESS)
    address = Address(_text(row[18 : 18 + address_size]), port)
    return Storage(_text(row[2:18]), address, active=row[0] == _ACTIVE)
