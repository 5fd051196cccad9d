"""The protocol as bytes: requests packed and replies unpacked by hand, and ids that real servers of 6.16 gave out."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.storage.fastdfs import wire
from onlineml.storage.fastdfs.ids import Address, FileId, address_text, parsed_addresses

DATA = b"hello world" * 1000
NORMAL = FileId.parse("group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg")
NAME = b"M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg"
GROUP = b"group1" + bytes(10)


def test_an_id_holds_source_time_size_and_checksum() -> None:
    assert (NORMAL.group, NORMAL.name) == ("group1", NAME.decode())
    assert (NORMAL.source, NORMAL.created) == ("127.0.10.3", 1795644324)
    assert (NORMAL.size, NORMAL.crc32, NORMAL.appender) == (len(DATA), zlib.crc32(DATA), False)
    assert str(NORMAL) == "group1/" + NAME.decode()


def test_ids_of_every_kind_of_file() -> None:
    appender = FileId.parse("group1/M00/00/00/fwAKA2sHW6SEHCObAAAAAIh-hfA880.jpg")
    assert (appender.appender, appender.size, appender.crc32) == (True, None, None)
    trunk = FileId.parse("group1/M00/00/00/fwAMA2sHW8KICmBWAAAq-Ih-hfAAAAAAQAAAAAAACwA993.jpg")
    assert (trunk.size, trunk.crc32, trunk.source) == (len(DATA), zlib.crc32(DATA), "127.0.12.3")
    with_storage_id = FileId.parse("group1/M00/00/00/oYYBAGsHW8KIL_76AAAq-Ih-hfAAAAAAQAAAAAAACwA243.jpg")
    assert (with_storage_id.source, with_storage_id.size) == ("100001", len(DATA))
    empty = FileId.parse("group1/M00/00/00/fwAKA2sHW6SARfvtAAAAAAAAAAA999.jpg")
    assert (empty.size, empty.crc32) == (0, 0)
    slave = FileId.parse("group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645_150x150.jpg")
    assert (slave.size, slave.crc32, slave.appender) == (None, None, False)
    volume = FileId.parse("group1/M00/00/00/fwAKBGsHX3OEBho6AAAAAJ8M4Vk.volume")
    assert volume.appender


def test_ids_of_files_of_four_gigabytes_have_the_size_itself() -> None:
    packed = bytes([10, 0, 0, 7]) + struct.pack(">IQI", 1, 5_000_000_000, 9)
    file = FileId.parse(f"g/M01/0A/FF/{base64.urlsafe_b64encode(packed).decode().rstrip('=')}1234567")
    assert (file.size, file.crc32, file.source) == (5_000_000_000, 9, "10.0.0.7")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "group1",
        "group1/M00/00/00",
        "group1/M00/00/00/short.jpg",
        "/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg",
        "group1/M00/00/0g/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg",
        "group1/M00/00/00/fwAKA2sHW6SActh6AAAq+Ih/hfA645.jpg",
        "group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg/more",
        "group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg\n",
        "group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpé",
        "group1/M00/00/00/../00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg",
        "a-group-of-17-let/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg",
        "group1/M00/00/00/fwAKA2sHW6SActh6AAAq-Ih-hfA645.jpg" + "x" * 200,
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match="not a FastDFS file id"):
        FileId.parse(text)


@given(st.text(max_size=80))
def test_no_text_breaks_the_reading_of_ids(text: str) -> None:
    try:
        file = FileId.parse(text)
    except ValueError:
        return
    assert str(file) == text


def _header(length: int, command: int, status: int = 0) -> bytes:
    return length.to_bytes(8, "big") + bytes([command, status])


def test_requests_byte_by_byte() -> None:
    n8 = (44).to_bytes(8, "big")
    assert wire.query_store() == _header(0, 101)
    assert wire.query_store("group1") == _header(16, 104) + GROUP
    assert wire.query_read(NORMAL) == _header(60, 102) + GROUP + NAME
    assert wire.query_update(NORMAL) == _header(60, 103) + GROUP + NAME
    assert wire.query_read_all(NORMAL) == _header(60, 105) + GROUP + NAME
    assert wire.list_storages("group1") == _header(16, 92) + GROUP
    assert wire.list_storages("group1", "100001") == _header(22, 92) + GROUP + b"100001"
    assert wire.upload(2, 258, "jpg") == _header(15 + 258, 11) + b"\2" + bytes(6) + b"\1\2" + b"jpg\0\0\0"
    assert wire.upload(0, 1, "volume", appender=True) == _header(16, 23) + bytes(8) + b"\1volume"
    assert wire.append(NORMAL, 3) == _header(16 + 44 + 3, 24) + n8 + bytes(7) + b"\3" + NAME
    assert wire.delete(NORMAL) == _header(60, 12) + GROUP + NAME
    assert wire.download(NORMAL, 1, 2) == _header(76, 14) + bytes(7) + b"\1" + bytes(7) + b"\2" + GROUP + NAME
    assert wire.query_info(NORMAL) == _header(60, 22, 3) + GROUP + NAME


@pytest.mark.parametrize("extension", ["", "toolong7", "a/b", "..", "é", "j\0g"])
def test_extensions_that_fastdfs_could_not_keep_are_left_out(extension: str) -> None:
    assert wire.upload(0, 0, extension) == _header(15, 11) + bytes(15)


@pytest.mark.parametrize("group", ["", "seventeen-letters", "é" * 9])
def test_groups_that_do_not_fit(group: str) -> None:
    with pytest.raises(ValueError, match="group"):
        wire.query_store(group)


def _address(host: str, port: int, size: int) -> bytes:
    return host.encode().ljust(size, b"\0") + port.to_bytes(8, "big")


@pytest.mark.parametrize(("host", "size"), [("10.20.30.40", 15), ("127.255.255.255", 15), ("fd00::2", 45)])
def test_replies_in_both_sizes_of_addresses(host: str, size: int) -> None:
    address = Address(host, 23000)
    row = _address(host, 23000, size)
    assert wire.target_reply(GROUP + row + b"\3") == ("group1", address, 3)
    assert wire.server_reply(GROUP + row) == address
    assert wire.servers_reply(GROUP + row + _address("::1", 1, size)) == [address, Address("::1", 1)]
    assert wire.info_reply(struct.pack(">QQQ", 7, 8, 9) + bytes(size + 1)) == (7, 8)
    for broken in (GROUP, GROUP + row[:-1], GROUP + row[:-8] + bytes(8), b""):
        with pytest.raises(wire.BrokenReplyError):
            wire.server_reply(broken)


def test_many_ipv6_servers_are_not_taken_for_ipv4_servers() -> None:
    rows = b"".join(_address(f"fd00::{number:x}", 23000, 45) for number in range(23))  # as long as 53 rows of IPv4
    assert [address.host for address in wire.servers_reply(GROUP + rows)] == [f"fd00::{n:x}" for n in range(23)]


def _storage_row(address_size: int, *, rw: bytes = b"\3", rest: int = 349) -> bytes:
    row = b"\7" + rw + b"100001".ljust(16, b"\0") + b"10.0.0.1".ljust(address_size, b"\0") + bytes(16 + 8 + 72)
    return row + (23001).to_bytes(8, "big") + bytes(rest)


def test_rows_of_storage_servers() -> None:
    for size in (16, 46):
        row = _storage_row(size)
        assert len(row) in {487, 517}
        found = wire.storages_reply(row + b"\5" + row[1:])
        assert found == [("100001", ("10.0.0.1", 23001), True), ("100001", ("10.0.0.1", 23001), False)]
    old = _storage_row(16, rw=b"", rest=300)  # of another version: the port is not known to be where it was
    assert wire.storages_reply(old, "100001") == [("100001", ("10.0.0.1", 0), True)]
    with pytest.raises(wire.BrokenReplyError):
        wire.storages_reply(old)
    with pytest.raises(wire.BrokenReplyError):
        wire.storages_reply(b"")


def test_headers_of_replies() -> None:
    assert wire.header_reply(_header(5, 100, 2)) == (5, 2)
    for broken in (b"", _header(5, 100)[:9], _header(5, 101), b"HTTP/1.1 400 Bad Request", b"\xff" * 8 + b"\x64\0"):
        with pytest.raises(wire.BrokenReplyError):
            wire.header_reply(broken)


def test_ids_in_replies() -> None:
    assert wire.file_id_reply(GROUP + NAME) == NORMAL
    for broken in (b"", GROUP, GROUP + b"\xff" * 44, GROUP + b"x" * 44):
        with pytest.raises(wire.BrokenReplyError):
            wire.file_id_reply(broken)


def test_addresses_as_in_urls() -> None:
    for text, addresses in {
        "10.0.0.1:22122": [("10.0.0.1", 22122)],
        "tracker-a.lab,b:1": [("tracker-a.lab", 22122), ("b", 1)],
        "[fd00::2]:22122,[::1]": [("fd00::2", 22122), ("::1", 22122)],
    }.items():
        assert list(parsed_addresses(text)) == addresses
    assert address_text(parsed_addresses("a:1,b")) == "a:1,b:22122"
    assert address_text(parsed_addresses("[fd00::2]:1,[fe80::1%eth0]")) == (
        "[fd00:0:0:0:0:0:0:2]:1,[fe80:0:0:0:0:0:0:1%eth0]:22122"  # '::' would be a chain of filesystems
    )
    for wrong in ("", ",", "a:0", "a:65536", "a:b", "a:1:2", "me@host:1", "a b", "a/b"):
        with pytest.raises(ValueError, match="not an address"):
            parsed_addresses(wrong)
