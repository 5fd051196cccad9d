"""Networks that break and servers that are careless, between the library and a real S3 server."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy, fault_proxy
from onlineml import registry
from onlineml.errors import AlreadyExistsError, ConflictError, NotFoundError, StorageError
from onlineml.storage import conditions, io, retries
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]
pytestmark = pytest.mark.s3


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket()


@pytest.fixture
def options(s3_server: S3Server, fault_proxy: FaultProxy) -> dict[str, Any]:
    """Lead through the proxy."""
    return {**s3_server.storage_options, "endpoint_url": fault_proxy.url}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "30")


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("fault", ["reset", "cut", "503", "500"])
def test_what_passes_is_tried_again(bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, fault: str) -> None:
    contents = {io.join(bucket, f"{n}"): os.urandom(20_000) for n in range(12)}
    for url, data in contents.items():
        io.write_bytes(url, data, storage_options=options)
    fault_proxy.fault = lambda method, _path, number: fault if method == "GET" and number % 3 == 0 else None
    assert io.read_many(list(contents), storage_options=options) == list(contents.values())
    assert fault_proxy.count("GET") > 12
    url, data = next(iter(contents.items()))
    assert io.read_bytes(url, storage_options=options) == data


def test_a_body_that_always_comes_short_is_an_error(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "0.5")
    url = io.join(bucket, "a")
    io.write_bytes(url, os.urandom(10_000), storage_options=options)
    fault_proxy.fault = lambda method, *_: "cut" if method == "GET" else None
    (found,) = io.read_many([url], storage_options=options)
    assert isinstance(found, StorageError)
    assert url in str(found)
    assert fault_proxy.count("GET") > 2
    with pytest.raises(StorageError, match=url):
        io.read_bytes(url, storage_options=options)


def test_a_download_goes_on_after_a_cut_and_is_whole(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlineml.storage.s3.client._PART_BYTES", 100_000)
    url, data = io.join(bucket, "last.ckpt"), os.urandom(950_001)
    io.write_bytes(url, data, storage_options=options)
    fault_proxy.fault = lambda method, _path, number: "cut" if method == "GET" and number in {0, 4} else None
    io.download_file(url, tmp_path / "last.ckpt", storage_options=options)
    assert (tmp_path / "last.ckpt").read_bytes() == data
    assert fault_proxy.count("GET") == 12  # ten parts, two of them again


def test_a_file_that_is_overwritten_while_it_is_downloaded_is_never_a_mixture(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlineml.storage.s3.client._PART_BYTES", 100_000)
    url = io.join(bucket, "last.ckpt")
    io.write_bytes(url, b"1" * 500_000, storage_options=options)
    lock = threading.Lock()

    def overwrite_first(method: str, _path: str, number: int) -> None:
        if method == "GET" and number == 2:
            with lock:
                io.write_bytes(url, b"2" * 500_000, storage_options={**options, "endpoint_url": upstream})

    upstream = fault_proxy.url  # through the proxy too: a PUT is no GET
    fault_proxy.fault = overwrite_first
    with pytest.raises(StorageError, match="overwritten"):
        io.download_file(url, tmp_path / "last.ckpt", storage_options=options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_not_asked_for_again(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy
) -> None:
    (found,) = io.read_many([io.join(bucket, "missing")], storage_options=options)
    assert isinstance(found, NotFoundError)
    assert fault_proxy.count("GET") == 1


def test_no_wait_is_without_bound(bucket: str, options: dict[str, Any], fault_proxy: FaultProxy) -> None:
    url = io.join(bucket, "a")
    waits = {"config_kwargs": {"read_timeout": 0.3, "retries": {"total_max_attempts": 2}}}
    io.write_bytes(url, b"1", storage_options=options)
    fault_proxy.fault = lambda *_: "hang"
    before = fault_proxy.count("GET")
    (found,) = io.read_many([url], storage_options={**options, **waits})
    assert isinstance(found, StorageError)
    with pytest.raises(StorageError):
        io.list_files(bucket, storage_options={**options, **waits})
    assert 2 < fault_proxy.count("GET") - before < 20  # each of them waited 0.3 s


def test_nobody_at_the_endpoint_is_told_soon(
    bucket: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []
    sleep = asyncio.sleep

    async def noted(delay: float, *arguments: Any) -> Any:
        waited.append(delay)
        return await sleep(delay, *arguments)

    monkeypatch.setattr(asyncio, "sleep", noted)
    (found,) = io.read_many([io.join(bucket, "a")], storage_options={**options, "endpoint_url": "http://127.0.0.1:9"})
    assert isinstance(found, StorageError)
    assert sum(waited) < 60


# ------------------------------------------------------------------------------------------------------------ writing


@pytest.mark.parametrize("fault", ["reset", "503", "500"])
def test_a_storm_while_writing_is_waited_out(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, tmp_path: Path, fault: str
) -> None:
    once = {**options, "config_kwargs": {"retries": {"total_max_attempts": 1}}}  # so that botocore repeats nothing
    (tmp_path / "checkpoint").write_bytes(b"3")
    io.write_bytes(io.join(bucket, "first"), b"0", storage_options=once)
    assert io.guarantees(bucket, storage_options=once).create
    urls = [io.join(bucket, name) for name in ("written", "created", "uploaded")]
    _, version = io.read_versioned(io.join(bucket, "first"), storage_options=once)
    writes: list[Callable[[], Any]] = [
        lambda: io.write_bytes(urls[0], b"1", storage_options=once),
        lambda: io.create_bytes(urls[1], b"2", storage_options=once),
        lambda: io.upload_file(tmp_path / "checkpoint", urls[2], storage_options=once),
        lambda: io.swap_bytes(io.join(bucket, "first"), b"4", version=version, storage_options=once),
        lambda: io.list_files(bucket, storage_options=once),
        lambda: io.exists(urls[0], storage_options=once),
        lambda: io.delete(io.join(bucket, "first"), storage_options=once),
    ]
    for write in writes:
        begin = len(fault_proxy.seen)
        fault_proxy.fault = lambda *_, begin=begin: fault if len(fault_proxy.seen) - begin <= 4 else None
        write()
        assert len(fault_proxy.seen) - begin > 4
    fault_proxy.fault = lambda *_: None
    assert io.read_many(urls, storage_options=once) == [b"1", b"2", b"3"]
    assert not io.exists(io.join(bucket, "first"), storage_options=once)


def test_a_storm_that_does_not_end_is_an_error(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = {**options, "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    io.write_bytes(io.join(bucket, "a"), b"0", storage_options=once)  # making a client takes a while
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "2")
    fault_proxy.seen.clear()
    fault_proxy.fault = lambda *_: "503"
    with pytest.raises(StorageError, match="a: "):
        io.write_bytes(io.join(bucket, "a"), b"1", storage_options=once)
    assert len(fault_proxy.seen) > 1


# ---------------------------------------------------------------------------------------------------- conditions


def test_a_lost_answer_is_no_loser(bucket: str, options: dict[str, Any], fault_proxy: FaultProxy) -> None:
    assert io.guarantees(bucket, storage_options=options).create
    url = io.join(bucket, "a")
    fault_proxy.seen.clear()
    fault_proxy.fault = lambda method, _path, number: "lost" if method == "PUT" and number == 0 else None
    io.create_bytes(url, b"ours", storage_options=options)  # the second request is refused: the first was done
    assert fault_proxy.count("PUT") == 2
    with pytest.raises(AlreadyExistsError):
        io.create_bytes(url, b"ours", storage_options=options)
    _, version = io.read_versioned(url, storage_options=options)
    fault_proxy.seen.clear()
    version = io.swap_bytes(url, b"new", version=version, storage_options=options)
    assert fault_proxy.count("PUT") == 2
    assert io.read_versioned(url, storage_options=options) == (b"new", version)


def test_a_busy_store_is_asked_again(bucket: str, options: dict[str, Any], fault_proxy: FaultProxy) -> None:
    assert io.guarantees(bucket, storage_options=options).create
    fault_proxy.seen.clear()
    fault_proxy.fault = lambda method, _path, number: "409" if method == "PUT" and number < 3 else None
    io.create_bytes(io.join(bucket, "a"), b"", storage_options=options)
    assert fault_proxy.count("PUT") == 4
    fault_proxy.fault = lambda method, *_: "409" if method == "PUT" else None
    with pytest.raises(StorageError, match="b: "):
        io.create_bytes(io.join(bucket, "b"), b"", storage_options=options)


@pytest.mark.parametrize("fault", ["unconditional", "look first", "501"])
def test_careless_servers_are_found_out(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, s3_server: S3Server, fault: str
) -> None:
    fault_proxy.fault = lambda method, *_: fault if method == "PUT" else None
    url = io.join(bucket, "a")
    promised = io.guarantees(bucket, storage_options=options)
    assert not promised.create
    assert "two writers may succeed" in str(promised)
    io.create_bytes(url, b"first", storage_options=options)
    with pytest.raises(AlreadyExistsError):  # all the same
        io.create_bytes(url, b"second", storage_options=options)
    assert io.read_bytes(url, storage_options=options) == b"first"
    _, version = io.read_versioned(url, storage_options=options)
    if fault != "look first":  # which looks at other conditions as it should
        with pytest.raises(StorageError, match="only if it is unchanged"):
            io.swap_bytes(url, b"second", version=version, storage_options=options)
        assert io.read_bytes(url, storage_options=options) == b"first"
    assert [info.path for info in io.list_files(bucket, storage_options=options)] == ["a"]  # no probe is left


def test_a_bucket_is_tried_out_once(bucket: str, options: dict[str, Any], fault_proxy: FaultProxy) -> None:
    io.guarantees(bucket, storage_options=options)
    n_requests = len(fault_proxy.seen)
    assert n_requests > 16
    io.guarantees(io.join(bucket, "deeper"), storage_options=options)
    assert len(fault_proxy.seen) == n_requests
    io.create_bytes(io.join(bucket, "a"), b"", storage_options=options)
    assert len(fault_proxy.seen) == n_requests + 1


def test_a_bucket_that_cannot_be_written_to_is_no_careless_one(bucket: str, options: dict[str, Any]) -> None:
    with pytest.raises(StorageError):
        io.guarantees("s3://no-such-bucket-here/x", storage_options=options)
    assert "no-such-bucket-here" not in {name for _, name in conditions._created}


@pytest.mark.parametrize("fault", [None, "unconditional", "look first", "501"])
def test_of_two_who_replace_the_same_champion_one_is_told(
    bucket: str, options: dict[str, Any], fault_proxy: FaultProxy, fault: str | None
) -> None:
    fault_proxy.fault = lambda method, *_: fault if method == "PUT" else None
    versions = [registry.publish_version(Location(bucket, options), {"model.json": b'{"n": %d}' % n}) for n in range(5)]
    registry.promote(bucket, versions[0], storage_options=options)
    start = threading.Barrier(4)

    def promote(version: registry.ModelVersion) -> bool:
        start.wait()
        try:
            registry.promote(bucket, version, replaces=versions[0], storage_options=options)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(promote, versions[1:]))
    champion = registry.aliases(Location(bucket, options))["champion"]
    assert sum(won) == 1 or (fault and won)
    history = registry.promotion_history(bucket, storage_options=options)
    counting = [entry["version"] for entry in history if entry["in_effect"]]
    assert counting == [versions[0].version, champion]
    with pytest.raises(ConflictError, match="champion"):
        registry.promote(bucket, champion, replaces=versions[0], storage_options=options)
    if fault is None:
        assert champion == versions[1:][won.index(True)].version
        assert len(history) == 2
