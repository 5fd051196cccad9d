"""What is the matter with a storage is said first, apart from everything else, and with the remedy that fits."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest

import onlineml as oml
from fault_proxy import FaultProxy, fault_proxy
from onlineml.errors import DataError, NotFoundError, OnlineMLError, StorageError
from onlineml.storage import io, local, retries
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from s3_server import S3Server

__all__ = ["fault_proxy"]


@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000, "a\0b"], ids=["name", "path", "NUL"])
def test_a_name_that_no_disk_takes_is_refused_by_us(name: str, tmp_path: Path) -> None:
    url = f"{tmp_path}/{name}"
    for call in (io.read_bytes, oml.Project.open, oml.load_model, lambda at: io.write_bytes(at, b"")):
        with pytest.raises((OnlineMLError, PermissionError)):
            call(url)


CODES = {  # status and code of S3's documentation, and what is said first
    "400 ExpiredToken": "the session token has expired; sign in again",
    "400 InvalidToken": "the store does not accept the session token; check the token",
    "403 InvalidAccessKeyId": "the store does not know the access key; check the key",
    "403 SignatureDoesNotMatch": "the signature is wrong: the secret does not belong to the access key",
    "403 RequestTimeTooSkewed": "this machine's clock differs from the store's by too much; set it",
    "404 NoSuchBucket": "there is no bucket 'lab'; check its name",
    "301 PermanentRedirect": "the bucket is in another region, 'eu-north-7'; name it",
    "400 AuthorizationHeaderMalformed": "the bucket is in another region, 'eu-north-7'; name it",
    "503 SlowDown": "the store asks for fewer requests",
    "507 XMinioStorageFull": "the store is full",
    "403 AccessDenied": "the permission to ",
}
OPERATIONS: dict[str, Callable[[Location], object]] = {
    "read": io.read_bytes,
    "write": lambda at: io.write_bytes(at, b"x"),
    "create": lambda at: io.create_bytes(at, b"x"),
    "list": io.list_files,
    "exists": io.exists,
    "read_many": lambda at: _raised(io.read_many([at])[0]),
}


def _raised(result: object) -> None:
    if isinstance(result, Exception):
        raise result


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("ONLINEML_PATIENCE_S", "2")  # of a busy machine, too


def _lab(endpoint_url: str, **more: Any) -> Location:
    once = {"retries": {"total_max_attempts": 1}, "connect_timeout": 5}
    return Location(
        "s3://lab/a/b", {"key": "k", "secret": "planted-secret", "endpoint_url": endpoint_url, "config_kwargs": once}
    )


@pytest.mark.s3
@pytest.mark.parametrize("code", CODES)
def test_the_server_s_reason_comes_first(fault_proxy: FaultProxy, code: str) -> None:
    fault_proxy.fault = lambda *_: f"says {code}"
    at = _lab(fault_proxy.url)
    for name, operation in OPERATIONS.items():
        with pytest.raises(OSError, match="s3://lab/a/b: ") as caught:
            operation(at)
        assert str(caught.value).startswith(f"s3://lab/a/b: {CODES[code]}"), (name, str(caught.value))
        assert isinstance(caught.value, PermissionError) == (code == "403 AccessDenied"), name
        assert "planted-secret" not in str(caught.value)


@pytest.mark.s3
def test_a_bucket_that_is_not_there_is_neither_empty_nor_a_folder_without_a_project(s3_server: S3Server) -> None:
    there, options = s3_server.new_bucket(), s3_server.storage_options
    assert io.list_files(f"{there}/nothing", storage_options=options) == []
    assert not io.exists(f"{there}/nothing", storage_options=options)
    for look in (io.exists, io.list_files, oml.Project.open, oml.Project.create, oml.Manifest.from_folders):
        with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket-7'"):
            look("s3://no-such-bucket-7/birds", storage_options=options)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _says(at: Location) -> str:
    with pytest.raises(OnlineMLError) as caught:
        io.read_bytes(at)
    text = str(caught.value)
    assert "planted-secret" not in text
    return text.removeprefix(f"{at}: ")


def test_servers_that_do_not_answer_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{_closed_port()}"
    assert _says(_lab(address)).startswith(f"nothing answers at {address}; check the address and port")
    assert _says(_lab("http://minio.invalid:9000")).startswith("there is no server of the name http://minio.invalid:90")
    assert _says(_lab("minio:9000")).startswith("'minio:9000' is not the address of a server; expected http:// or")
    assert _says(Location(f"{address}/a")).startswith(f"nothing answers at {address}; ")
    assert _says(Location("http://photos.invalid/a")).startswith("there is no server of the name http://photos.invalid")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in [name for name in os.environ if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_PROFILE", "FSSPEC"))]:
        monkeypatch.delenv(name)
    assert _says(Location("s3://lab/a", {"endpoint_url": address})).startswith(
        "no credentials were found; pass them in"
    )
    assert _says(Location("s3://lab/a", {"profile": "of-nobody"})).startswith("AWS_PROFILE names no profile")
    assert _says(Location("s3://Not_A_Bucket!/a", dict(_lab(address).options or {}))).startswith(
        "'Not_A_Bucket!' is not a valid name of a bucket"
    )


def test_a_certificate_of_nobody_s(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue

        threading.Thread(target=answer, daemon=True).start()
        address = f"https://localhost:{server.getsockname()[1]}"
        assert _says(_lab(address)).startswith(f"the certificate of {address} is not trusted; if it is of an authority")
        assert _says(Location(f"{address}/a")).startswith(f"the certificate of {address} is not trusted; ")
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk of {folder} is full; free some space"),
        (errno.EDQUOT, "your quota on the disk of {folder} is used up"),
        (errno.EROFS, "{folder} is mounted read-only; mount it writable"),
        (errno.EACCES, "this user may not access it; check owner and mode (ls -ld) of {folder}"),
        (errno.EMFILE, "too many files are open; raise the limit"),
        (errno.EIO, "the disk has failed"),
        (errno.ESTALE, "the network disk was mounted again"),
    ],
)
def test_what_a_disk_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, said: str) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(local, "write_synced", fail)
    with pytest.raises(OSError, match="photo") as caught:
        io.write_bytes(tmp_path / "photo", b"x")
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'photo'}: {said.format(folder=tmp_path)}")
    assert isinstance(caught.value, PermissionError) == (number in {errno.EROFS, errno.EACCES})
    assert not any(word in text for word in ("S3", "AWS", "FSSPEC", "endpoint_url", "credentials", "bucket"))


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"nothing is stored at {tmp_path}/a.jpg$"):
        io.read_bytes(tmp_path / "a.jpg")
    with pytest.raises(NotFoundError, match=f"there is no folder {tmp_path}/phtos$"):
        io.read_bytes(tmp_path / "phtos" / "2024" / "a.jpg")
    with pytest.raises(NotFoundError, match=f"there is no folder {tmp_path}/brids; check the path"):
        oml.Project.open(tmp_path / "brids")
    with pytest.raises(NotFoundError, match=f"{tmp_path} contains no project; check the path"):
        oml.Project.open(tmp_path)
    with pytest.raises(DataError, match=f"no images in .*: expected .*, found no files .*no folder {tmp_path}/phtos$"):
        oml.Manifest.from_folders(tmp_path / "phtos")
    with pytest.raises(StorageError, match="it is a folder; expected a file"):
        io.read_bytes(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    for write in (io.write_bytes, io.create_bytes):
        with pytest.raises(StorageError, match=f"{tmp_path}/file is a file, not a folder"):
            write(tmp_path / "file" / "a", b"")
    with pytest.raises(StorageError, match="the name is too long"):
        io.write_bytes(tmp_path / ("a" * 300), b"")
