"""Reading through obstore: the same bytes and errors as through s3fs, and never in a fork of who used it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from fault_proxy import FaultProxy, fault_proxy
from onlineml.errors import NotFoundError, StorageError
from onlineml.storage import io, retries
from onlineml.storage.filesystems import filesystem
from onlineml.storage.location import Location
from onlineml.storage.s3 import obstore as s3_obstore
from processes import LONG_S

if TYPE_CHECKING:
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]
pytestmark = pytest.mark.s3


@pytest.fixture(params=["s3_server", "swift_server"])
def server(request: pytest.FixtureRequest) -> S3Server:
    return request.getfixturevalue(request.param)


def test_nothing_but_a_strange_key_needs_s3fs(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server.new_bucket()}/ü ß.jpg"
    io.write_bytes(url, b"abcdef", storage_options=server.storage_options)
    monkeypatch.setattr(s3_obstore, "read_through_s3fs", None)
    assert io.read_bytes(url, storage_options=server.storage_options) == b"abcdef"
    assert io.read_many([url], first_bytes=3, storage_options=server.storage_options) == [b"abc"]
    assert io.read_many([url], first_bytes=99, storage_options=server.storage_options) == [b"abcdef"]


@pytest.mark.parametrize("key", ["a.jpg", "deep/er/ü ß+&=%20#?.jpg", "a//b", "./c"])
def test_the_same_bytes(server: S3Server, key: str) -> None:
    import s3fs

    bucket, options = server.new_bucket(), server.storage_options
    data = os.urandom(50_000)
    name = bucket.removeprefix("s3://")
    s3fs.S3FileSystem(**options).call_s3("put_object", Bucket=name, Key=key, Body=data)
    assert s3_obstore.is_safe()
    assert io.read_bytes(f"{bucket}/{key}", storage_options=options) == data
    assert io.read_many([f"{bucket}/{key}"] * 2, storage_options=options) == [data] * 2
    assert io.read_many([f"{bucket}/{key}"], first_bytes=100, storage_options=options) == [data[:100]]
    assert io.read_bytes(f"{bucket}/{key}#offset=5&length=7/x.jpg", storage_options=options) == data[5:12]
    (info,) = io.list_files(bucket, storage_options=options) or [None]  # of a key such as './c' s3fs finds nothing
    assert info is None or io.read_versioned(info.url, storage_options=options) == (data, info.version)


def test_the_same_errors(server: S3Server) -> None:
    bucket, options = server.new_bucket(), server.storage_options
    missing, empty = f"{bucket}/missing", f"{bucket}/empty"
    io.write_bytes(empty, b"", storage_options=options)
    (found,) = io.read_many([missing], storage_options=options)
    assert isinstance(found, NotFoundError)
    with pytest.raises(NotFoundError, match="missing"):
        io.read_bytes(missing, storage_options=options)
    assert io.read_many([empty], storage_options=options) == [b""]
    assert io.read_many([empty], first_bytes=9, storage_options=options) == [b""]


def test_a_wrong_secret_is_refused_and_not_shown(swift_server: S3Server) -> None:
    bucket = swift_server.new_bucket()
    io.write_bytes(f"{bucket}/a", b"1", storage_options=swift_server.storage_options)
    wrong = {**swift_server.storage_options, "secret": "guessed-by-nobody"}
    (found,) = io.read_many([f"{bucket}/a"], storage_options=wrong)
    assert isinstance(found, StorageError)
    assert "guessed" not in str(found)


def test_a_body_that_is_cut_is_read_again(
    s3_server: S3Server, fault_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.01)
    options = {**s3_server.storage_options, "endpoint_url": fault_proxy.url}
    url = f"{s3_server.new_bucket()}/a"
    data = os.urandom(50_000)
    io.write_bytes(url, data, storage_options=options)
    fault_proxy.fault = lambda method, _path, number: "cut" if method == "GET" and number == 0 else None
    assert io.read_many([url], storage_options=options) == [data]
    fault_proxy.fault = lambda method, *_: "cut" if method == "GET" else None
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "1")
    (found,) = io.read_many([url], storage_options=options)
    assert isinstance(found, StorageError)
    assert url in str(found)


@pytest.mark.parametrize(
    "strange",
    [
        {"client_kwargs": {"verify": False}},
        {"requester_pays": True},
        {"config_kwargs": {"signature_version": "s3"}},
        {"config_kwargs": {"s3": {"use_dualstack_endpoint": True}}},
        {"s3_additional_kwargs": {"ExpectedBucketOwner": "123456789012"}},
    ],
)
def test_what_it_cannot_be_told_is_read_through_s3fs(s3_server: S3Server, strange: dict[str, Any]) -> None:
    url, options = f"{s3_server.new_bucket()}/a", s3_server.storage_options
    io.write_bytes(url, b"1", storage_options=options)
    assert io.read_bytes(url, storage_options={**options, **strange}) == b"1"
    assert s3_obstore._stores[filesystem(Location(url, {**options, **strange}))[0], url.split("/")[2]] is None


def test_the_credentials_are_those_that_s3fs_finds(
    swift_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the environment, from a profile, and wrong ones that stand in the environment meanwhile."""
    import s3fs

    options = swift_server.storage_options
    url = f"{swift_server.new_bucket()}/a"
    io.write_bytes(url, b"1", storage_options=options)
    endpoint = {"endpoint_url": options["endpoint_url"]}
    files = tmp_path / "credentials"
    files.write_text(
        f"[lab]\naws_access_key_id={options['key']}\naws_secret_access_key={options['secret']}\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(files))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setattr(s3_obstore, "read_through_s3fs", None)  # all that follows is obstore's
    s3fs.S3FileSystem.clear_instance_cache()
    assert io.read_bytes(url, storage_options={**endpoint, "profile": "lab"}) == b"1"
    assert io.read_bytes(url, storage_options=options) == b"1"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", options["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", options["secret"])
    s3fs.S3FileSystem.clear_instance_cache()
    assert io.read_bytes(url, storage_options=endpoint) == b"1"


FORKING = """
import multiprocessing, sys
from onlineml.storage import io
from onlineml.storage.s3 import obstore as s3_obstore

url, options = sys.argv[1], {"key": sys.argv[2], "secret": sys.argv[3], "endpoint_url": sys.argv[4]}

def read(expected):
    assert s3_obstore.is_safe() == expected
    assert io.read_many([url] * 20, storage_options=options) == [b"content"] * 20

def in_a_fork(expected):
    child = multiprocessing.get_context("fork").Process(target=read, args=(expected,))
    child.start()
    child.join(60)
    assert child.exitcode == 0, child.exitcode

in_a_fork(True)   # nobody has used it yet, so the child may
in_a_fork(True)
read(True)
in_a_fork(False)  # a child of who has used it must not
read(True)
"""


def test_a_fork_of_who_used_it_reads_through_s3fs(s3_server: S3Server) -> None:
    url = f"{s3_server.new_bucket()}/a"
    io.write_bytes(url, b"content", storage_options=s3_server.storage_options)
    options: dict[str, Any] = s3_server.storage_options
    arguments = [url, options["key"], options["secret"], options["endpoint_url"]]
    subprocess.run([sys.executable, "-c", FORKING, *arguments], check=True, timeout=LONG_S)
