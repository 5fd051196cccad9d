"""What was read from a bucket, kept on this machine."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import random
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy, fault_proxy
from onlineml.errors import ConfigError
from onlineml.storage import cache, io
from onlineml.storage.cache import ByteCache, byte_cache
from processes import LONG_S

if TYPE_CHECKING:
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _content(number: int, size: int = 5000) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * (size // 32)


# ---------------------------------------------------------------------------------------------------- the cache alone


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=10**6)
    assert kept.get("s3://b/a", "1") is None
    assert not (tmp_path / "bytes").exists()


@pytest.mark.parametrize("content", [b"", b"x", random.Random(0).randbytes(100_000)], ids=len)
def test_what_was_put_is_got(tmp_path: Path, content: bytes) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=10**6)
    kept.put("s3://b/a", "1", content)
    assert kept.get("s3://b/a", "1") == content
    assert kept.get("s3://b/a", "2") is None
    assert kept.get("s3://b/b", "1") is None
    assert ByteCache(tmp_path / "bytes").get("s3://b/a", "1") == content
    kept.put("s3://b/a", "1", b"again")
    assert kept.get("s3://b/a", "1") == b"again"
    assert len(_files(tmp_path)) == 1


@pytest.mark.parametrize("damage", ["cut", "empty", "longer", "flipped", "zeros"])
def test_what_is_damaged_is_not_given(tmp_path: Path, damage: str) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=10**6)
    kept.put("s3://b/a", "1", _content(1))
    (file,) = _files(tmp_path)
    raw = file.read_bytes()
    broken = {
        "cut": raw[:-1],
        "empty": b"",
        "longer": raw + b"\0",
        "flipped": raw[:100] + bytes([raw[100] ^ 1]) + raw[101:],
        "zeros": b"\0" * len(raw),  # what some disks have after power loss
    }[damage]
    file.write_bytes(broken)
    assert kept.get("s3://b/a", "1") is None
    assert not file.exists()


def test_the_limit_is_kept_and_what_is_used_stays(tmp_path: Path) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=250_000)
    kept.put("s3://b/used", "1", _content(-1))
    old = time.time() - 10 * 3600
    for number in range(150):
        kept.put(f"s3://b/{number}", "1", _content(number))
        for file in _files(tmp_path):
            if file.stat().st_mtime > old + 3600:
                os.utime(file, (old + number, old + number))
        assert kept.get("s3://b/used", "1") == _content(-1)
        assert sum(file.stat().st_size for file in _files(tmp_path)) <= 250_000
    there = [number for number in range(150) if kept.get(f"s3://b/{number}", "1") is not None]
    assert there == list(range(there[0], 150))  # the latest
    assert 30 <= len(there) <= 50
    kept.put("s3://b/large", "1", b"x" * 250_001)
    assert kept.get("s3://b/large", "1") is None


def test_a_large_limit_is_kept_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_GROUP_BYTES", 50_000)
    kept = ByteCache(tmp_path / "bytes", limit_bytes=1_000_000)  # twenty groups
    for number in range(600):
        kept.put(f"s3://b/{number}", "1", _content(number))
    assert 500_000 < sum(file.stat().st_size for file in _files(tmp_path)) <= 1_000_000


def test_leftovers_of_killed_writers_go(tmp_path: Path) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=100_000)
    kept.put("s3://b/a", "1", b"a")
    folder = _files(tmp_path)[0].parent
    fresh, old = folder / "x.0123.tmp", folder / "y.0123.tmp"
    for file in (fresh, old):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    ByteCache(tmp_path / "bytes", limit_bytes=100_000).put("s3://b/b", "1", b"b")  # a new process lists it
    assert fresh.exists()
    assert not old.exists()


def test_a_full_disk_switches_it_off_with_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=10**6)
    kept.put("s3://b/a", "1", b"before")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ByteCache, "_write", staticmethod(full))
    with pytest.warns(RuntimeWarning, match="No space left"):
        kept.put("s3://b/0", "1", b"after")
    for number in range(5):
        kept.put(f"s3://b/{number}", "1", b"after")  # without a warning, which were an error
    assert kept.get("s3://b/a", "1") == b"before"
    assert len(_files(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_switches_it_off(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = ByteCache(tmp_path / "file" / "bytes", limit_bytes=10**6)
    with pytest.warns(RuntimeWarning, match="ONLINEML_CACHE"):
        kept.put("s3://b/a", "1", b"")
    kept.put("s3://b/a", "1", b"")
    assert kept.get("s3://b/a", "1") is None


def test_each_user_has_a_folder_that_nobody_else_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        kept = ByteCache(tmp_path / "bytes", limit_bytes=10**6)
        kept.put("s3://b/a", "1", b"secret")
    finally:
        os.umask(before)
    for path in (tmp_path / "bytes").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((tmp_path / "bytes").stat().st_mode) == 0o700

    real = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: real + 1)  # somebody made our folder before us
    with pytest.warns(RuntimeWarning, match="another user"):
        ByteCache(tmp_path / "bytes", limit_bytes=10**6).put("s3://b/b", "1", b"mine")
    assert ByteCache(tmp_path / "bytes").get("s3://b/a", "1") is None  # nor is believed what they put there
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    with pytest.warns(RuntimeWarning, match="another user"):
        ByteCache(tmp_path / "link", limit_bytes=10**6).put("s3://b/b", "1", b"mine")


def test_threads_read_and_write_at_once(tmp_path: Path) -> None:
    kept = ByteCache(tmp_path / "bytes", limit_bytes=100_000)

    def work(worker: int) -> int:
        hits = 0
        for turn in range(200):
            number = (turn * 7 + worker) % 50
            found = kept.get(f"s3://b/{number}", "1")
            assert found in {None, _content(number)}
            hits += found is not None
            kept.put(f"s3://b/{number}", "1", _content(number))
        return hits

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) > 0


def test_processes_that_are_killed_leave_whole_contents(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_fill, args=(tmp_path / "bytes", worker)) for worker in range(4)]
    for process in processes:
        process.start()
    kept, hits = ByteCache(tmp_path / "bytes", limit_bytes=10**6), 0
    deadline = time.monotonic() + LONG_S
    while hits < 300 and time.monotonic() < deadline:
        for number in range(60):
            found = kept.get(f"s3://b/{number}", "1")
            assert found in {None, _content(number, 50_000)}
            hits += found is not None
    for process in processes:
        process.kill()
        process.join()
        process.close()
    assert hits >= 300
    assert {kept.get(f"s3://b/{number}", "1") in {None, _content(number, 50_000)} for number in range(60)} == {True}


def _fill(folder: Path, worker: int) -> None:
    kept = ByteCache(folder, limit_bytes=10**6)
    while True:
        for number in range(worker, 60, 2):
            kept.put(f"s3://b/{number}", "1", _content(number, 50_000))


# -------------------------------------------------------------------------------------------------- as it is used


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONLINEML_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_environment_says_where_and_how_much(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = byte_cache()
    assert kept is not None
    assert kept is byte_cache()
    assert kept.folder == home / f"bytes-{os.getuid()}"
    monkeypatch.setenv("ONLINEML_CACHE_GB", "0")
    assert byte_cache() is None
    monkeypatch.setenv("ONLINEML_CACHE_GB", "0.5")
    assert cache.limit_from_environment() == 500_000_000
    for wrong in ("much", "-1", "nan", "inf"):
        monkeypatch.setenv("ONLINEML_CACHE_GB", wrong)
        with pytest.raises(ConfigError, match="ONLINEML_CACHE_GB"):
            byte_cache()
    monkeypatch.delenv("ONLINEML_CACHE")
    assert cache.cache_folder().name == "onlineml"


@pytest.mark.s3
@pytest.mark.usefixtures("home")
def test_a_bucket_is_read_once(s3_server: S3Server, fault_proxy: FaultProxy) -> None:
    bucket = s3_server.new_bucket()
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    contents = [_content(number) for number in range(5)]
    urls = [io.join(bucket, f"{number}.jpg") for number in range(5)]
    for url, content in zip(urls, contents, strict=True):
        io.write_bytes(url, content, storage_options=options)
    versions = [info.version for info in io.list_files(bucket, storage_options=options)]

    def read(tags: list[str]) -> int:
        before = fault_proxy.count("GET")
        assert io.read_many(urls, versions=tags, storage_options=options) == contents
        return fault_proxy.count("GET") - before

    assert read(versions) == 5
    assert read(versions) == 0
    assert read(["", *versions[1:]]) == 1  # an unknown version is read each time
    assert read([hashlib.sha256(content).hexdigest() for content in contents]) == 5
    assert read([hashlib.sha256(content).hexdigest() for content in contents]) == 0
    assert io.read_many(urls, storage_options=options) == contents
    assert io.read_many(urls, versions=versions, first_bytes=3, storage_options=options) == [c[:3] for c in contents]


@pytest.mark.s3
def test_an_overwritten_object_is_not_kept_under_its_old_version(s3_server: S3Server, home: Path) -> None:
    bucket, options = s3_server.new_bucket(), s3_server.storage_options
    url = io.join(bucket, "a.jpg")
    io.write_bytes(url, b"old", storage_options=options)
    (old,) = io.list_files(bucket, storage_options=options)
    io.write_bytes(url, b"new", storage_options=options)
    assert io.read_many([url], versions=[old.version], storage_options=options) == [b"new"]
    assert _files(home) == []
    assert io.read_many([url], versions=[hashlib.sha256(b"old").hexdigest()], storage_options=options) == [b"new"]
    assert _files(home) == []
    (new,) = io.list_files(bucket, storage_options=options)
    assert io.read_many([url], versions=[new.version], storage_options=options) == [b"new"]
    assert len(_files(home)) == 1


@pytest.mark.s3
@pytest.mark.usefixtures("home")
def test_two_servers_may_have_buckets_of_one_name(s3_server: S3Server, fault_proxy: FaultProxy) -> None:
    bucket = s3_server.new_bucket()
    url = io.join(bucket, "a.jpg")
    io.write_bytes(url, b"one", storage_options=s3_server.storage_options)
    (info,) = io.list_files(bucket, storage_options=s3_server.storage_options)
    other: dict[str, Any] = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    for options in (s3_server.storage_options, other):
        assert io.read_many([url], versions=[info.version], storage_options=options) == [b"one"]
    assert fault_proxy.count("GET") == 1


def test_local_files_and_errors_are_not_kept(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    urls = [str(tmp_path / "a.jpg"), "memory://nothing/here.jpg"]
    found = io.read_many(urls, versions=["1", "1"])
    assert found[0] == b"a"
    assert isinstance(found[1], FileNotFoundError)
    assert _files(home) == []
