"""What is special to one kind of storage: requests to S3, servers without conditions, disks without hard links."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy, fault_proxy
from onlineml.errors import AlreadyExistsError, ConfigError, StorageError
from onlineml.storage import io
from onlineml.storage.credentials import secrets_of
from onlineml.storage.location import Location
from onlineml.storage.log import entry
from onlineml.storage.log.log import LogEntry, new_ulid
from onlineml.storage.s3 import obstore as s3_obstore

if TYPE_CHECKING:
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]


@pytest.mark.s3
@pytest.mark.parametrize("reader", ["obstore", "s3fs"])
def test_requests_to_s3_are_as_few_as_can_be(
    s3_server: S3Server, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    if reader == "s3fs":
        monkeypatch.setattr(s3_obstore, "_store", _nothing)
    bucket, options = s3_server.new_bucket(), {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    urls = [io.join(bucket, f"{number}.bin") for number in range(20)]
    for url in urls:
        io.write_bytes(url, url.encode(), storage_options=options)
    assert io.guarantees(bucket, storage_options=options).create
    fault_proxy.seen.clear()
    assert io.read_many(urls, storage_options=options) == [url.encode() for url in urls]
    assert [method for method, _ in fault_proxy.seen] == ["GET"] * 20
    fault_proxy.seen.clear()
    assert io.read_bytes(urls[0], storage_options=options) == urls[0].encode()
    io.create_bytes(io.join(bucket, "new"), b"", storage_options=options)
    assert [method for method, _ in fault_proxy.seen] == ["GET", "PUT"]


async def _nothing(*_: object) -> None:
    return None


@pytest.mark.s3
@pytest.mark.parametrize("server", ["s3_server", "swift_server"])
@pytest.mark.parametrize("key", ["a b.jpg", "ü/ß.jpg", "a+b&c=d?e#f%20.jpg", "~.-_!*'();:@$,.jpg", "x" * 200])
def test_odd_keys_are_signed_and_read(
    request: pytest.FixtureRequest, server: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swift checks the signatures."""
    import s3fs

    opened: S3Server = request.getfixturevalue(server)
    bucket, options = opened.new_bucket(), opened.storage_options
    fs = s3fs.S3FileSystem(**options)
    fs.call_s3("put_object", Bucket=bucket.removeprefix("s3://"), Key=key, Body=b"content")
    asked: list[str] = []

    async def through_botocore(self: Any, method: str, *_: Any, **__: Any) -> None:
        asked.append(method)
        raise AssertionError

    assert io.read_bytes(f"{bucket}/{key}", storage_options=options) == b"content"
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", through_botocore)
    assert io.read_many([f"{bucket}/{key}"], first_bytes=3, storage_options=options) == [b"con"]
    assert io.read_many([f"{bucket}/{key}"], storage_options=options) == [b"content"]
    assert asked == []


@pytest.mark.s3
def test_a_wrong_secret_is_refused(swift_server: S3Server) -> None:
    bucket = swift_server.new_bucket()
    io.write_bytes(f"{bucket}/a", b"1", storage_options=swift_server.storage_options)
    wrong = {**swift_server.storage_options, "secret": "guessed"}
    with pytest.raises(StorageError, match="the secret does not belong to the access key"):
        io.read_bytes(f"{bucket}/a", storage_options=wrong)
    (found,) = io.read_many([f"{bucket}/a"], storage_options=wrong)
    assert isinstance(found, StorageError)
    assert "guessed" not in str(found)


@pytest.mark.s3
def test_reading_without_credentials(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    io.write_bytes(f"{bucket}/a", b"content", storage_options=s3_server.storage_options)
    options = {**s3_server.storage_options, "key": None, "secret": None, "anon": True}
    (found,) = io.read_many([f"{bucket}/a"], storage_options=options)
    assert found == b"content" or isinstance(found, PermissionError)


def test_disks_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_link)

    def create(number: int) -> bool:
        try:
            io.create_bytes(tmp_path / "a", str(number).encode())
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert sum(won) == 1
    assert io.read_bytes(tmp_path / "a") == str(won.index(True)).encode()
    assert [info.path for info in io.list_files(tmp_path)] == ["a"]


def test_listing_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_bytes(b"1")
    (tmp_path / "data" / "circle").symlink_to(tmp_path)
    (tmp_path / "data" / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "also").symlink_to(tmp_path / "data")
    (tmp_path / ".a.0123456789abcdef.tmp").write_bytes(b"left by a kill")
    assert [info.path for info in io.list_files(tmp_path)] == ["also/a", "data/a"]


def test_unknown_schemes_and_folders_in_the_way(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        io.read_bytes("nonsense://a")
    assert isinstance(io.read_many(["nonsense://a"])[0], OSError)
    with pytest.raises(StorageError, match="IsADirectoryError"):
        io.read_bytes(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file/a"):
        io.write_bytes(tmp_path / "file" / "a", b"")
    assert not io.exists(tmp_path / "file" / "a")


def test_which_options_are_secret() -> None:
    options = {
        "key": "k",
        "secret": "s",
        "endpoint_url": "u",
        "client_kwargs": {"aws_session_token": "t", "region": "r"},
        "connection_string": "Account=a;AccountKey=c==;Suffix=x",
        "headers": {"Authorization": "Bearer b", "X-Team": "h"},
        "proxies": ["http://me:p@proxy"],
        "passphrase": b"f",
        "auth": ("n", "w"),
    }
    found = secrets_of(Location("s3://bucket/a", options))
    assert found >= {"k", "s", "t", "c==", "b", "h", "p", "f", "w"}
    assert not found & {"u", "r", "Account=a"}
    assert secrets_of(Location("s3://bucket/a")) == set()
    assert secrets_of(Location("simplecache::https://me:pa%40ss@host/a?token=t&size=3")) >= {"pa@ss", "pa%40ss", "t"}


def test_ids_follow_the_clock_and_never_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "_clock", type(entry._clock)())  # another test may have seen ids of the future
    before = time.time()
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda _: [new_ulid() for _ in range(2000)], range(4)))
    ids = [ulid for own in lists for ulid in own]
    assert all(own == sorted(own) for own in lists)
    assert len(set(ids)) == 8000
    assert {len(ulid) for ulid in ids} == {26}
    assert before - 1 < LogEntry(lists[0][0], {}).time.timestamp() < time.time() + 1
