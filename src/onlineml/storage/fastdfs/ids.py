"""Identifiers in a FastDFS cluster: file ids, which contain size and checksum, and addresses of servers."""

from __future__ import annotations

import base64
import functools
import ipaddress
import re
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Address", "FileId", "address_text", "parsed_addresses"]

_FILE_ID = re.compile(
    r"([A-Za-z0-9_.\-]{1,16})/(M[0-9A-F]{2}/[0-9A-F]{2}/[0-9A-F]{2}/([A-Za-z0-9_\-]{27})[A-Za-z0-9_.\-]*)"
)
_NAME_BYTES, _TRUNK_NAME_BYTES = 44, 60
_MAX_GROUP_BYTES = 16
_MAX_NAME_BYTES = 127  # limit of the servers' buffers
_SMALL, _APPENDER, _TRUNK = 1 << 63, 1 << 58, 1 << 59
_MAX_SERVER_ID = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class FileId:
    """A file id such as ``group1/M00/00/00/…``, which encodes the file's properties.

    Attributes:
        group: the group of servers that holds the file.
        name: the rest of the id.
        source: the server that the file was uploaded to: its IPv4 address, or its id if the cluster uses ids.
        created: seconds since 1970.
        size: bytes; None if only the server knows it, which is so for an appender or a slave file.
        crc32: checksum of the content; None if size is None.
        appender: whether bytes can be appended to it.
    """

    group: str
    name: str
    source: str
    created: int
    size: int | None
    crc32: int | None
    appender: bool

    def __str__(self) -> str:
        return f"{self.group}/{self.name}"

    @staticmethod
    @functools.lru_cache(maxsize=1 << 12)
    def parse(text: str) -> FileId:
        """Parse an id.

        Raises:
            ValueError: the text is not a file id.
        """
        match = _FILE_ID.fullmatch(text, endpos=_MAX_GROUP_BYTES + 1 + _MAX_NAME_BYTES)
        if match is None or len(match[0]) != len(text):
            raise ValueError(f"{text!r} is not a FastDFS file id; expected an id such as 'group1/M00/00/00/…'")
        group, name, encoded = match.groups()
        ip, created, size, crc32 = struct.unpack(">4sIQI", base64.urlsafe_b64decode(encoded + "="))
        appender, trunk = bool(size & _APPENDER), bool(size & _TRUNK)
        slave = len(name) > (_TRUNK_NAME_BYTES if trunk else _NAME_BYTES)
        number = int.from_bytes(ip, "little")
        source = str(number) if 0 < number <= _MAX_SERVER_ID else socket.inet_ntoa(ip)
        if appender or slave:
            return FileId(group, name, source, created, None, None, appender)
        return FileId(group, name, source, created, size & 0xFFFFFFFF if size & _SMALL else size, crc32, appender=False)


class Address(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int


_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Za-z:.%]+)\]|([^\[\]:,/@\s]+))(?::(\d{1,5}))?")


def parsed_addresses(text: str, *, default_port: int = 22122) -> tuple[Address, ...]:
    """Parse ``host:port,[::1]:port,host``.

    Raises:
        ValueError: an item is not an address.
    """
    found = []
    for item in text.split(","):
        match = _HOST_AND_PORT.fullmatch(item.strip())
        port = int(match[3] or default_port) if match else 0
        if match is None or not 0 < port < 1 << 16:
            raise ValueError(
                f"{item.strip()!r} is not an address; expected 'host:port', or '[address]:port' for IPv6 (in URLs "
                "without '::', which fsspec takes for a chain of filesystems)"
            )
        found.append(Address(match[1] or match[2], port))
    return tuple(found)


def address_text(addresses: Sequence[Address]) -> str:
    """Return the text that `parsed_addresses` reads, without ``::``, which fsspec takes for a chain of filesystems."""
    return ",".join(f"[{_long(host)}]:{port}" if ":" in host else f"{host}:{port}" for host, port in addresses)


def _long(host: str) -> str:
    """Return an IPv6 address with all its groups."""
    address, percent, zone = host.partition("%")
    try:
        groups = ipaddress.IPv6Address(address).exploded.split(":")
    except ValueError:
        return host
    return ":".join(group.lstrip("0") or "0" for group in groups) + percent + zone
