"""What is special to one kind of storage: requests to S3, servers without conditions, disks without hard links."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from onlineml.errors import AlreadyExistsError, ConfigError, StorageError
from onlineml.storage import io
from onlineml.storage._filesystems import secrets_of
from onlineml.storage.log import LogEntry, new_ulid

if TYPE_CHECKING:
    from pathlib import Path

    from s3_server import S3Server


@pytest.mark.s3
def test_reading_many_from_s3_is_one_request_each(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    bucket, options = s3_server.new_bucket(), s3_server.storage_options
    urls = [io.join(bucket, f"{number}.bin") for number in range(20)]
    for url in urls:
        io.write_bytes(url, url.encode(), storage_options=options)
    called: list[str] = []
    original = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **arguments: Any) -> Any:
        called.append(method)
        return await original(self, method, *args, **arguments)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    assert io.read_many(urls, storage_options=options) == [url.encode() for url in urls]
    assert called == ["get_object"] * 20
    assert io.guarantees(bucket, storage_options=options).create
    called.clear()
    io.read_bytes(urls[0], storage_options=options)
    io.create_bytes(io.join(bucket, "new"), b"", storage_options=options)
    assert called == ["get_object", "put_object"]


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
    }
    assert secrets_of(options) == {"k", "s", "t"}
    assert secrets_of(None) == set()


def test_ids_follow_the_clock_and_never_repeat() -> None:
    before = time.time()
    with ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda _: [new_ulid() for _ in range(2000)], range(4)))
    ids = [ulid for own in lists for ulid in own]
    assert all(own == sorted(own) for own in lists)
    assert len(set(ids)) == 8000
    assert {len(ulid) for ulid in ids} == {26}
    assert before - 1 < LogEntry(lists[0][0], {}).time.timestamp() < time.time() + 1
