"""The stores on which the ONE contract suite runs."""

from __future__ import annotations

import functools
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from onlineml.storage.fastdfs.administer import create_volume
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from s3_server import S3Server


@dataclass(frozen=True)
class Store:
    """A fresh folder on one kind of storage, and fsspec's own view of it as the oracle."""

    kind: str
    url: str
    storage_options: dict[str, Any] | None

    @property
    def location(self) -> Location:
        return Location(self.url, self.storage_options)

    def raw_names(self) -> list[str]:
        fs, path = self._raw()
        prefix = path.rstrip("/") + "/"
        return sorted(found.removeprefix(prefix) for found in fs.find(path))

    def raw_read(self, name: str) -> bytes:
        fs, path = self._raw()
        return fs.cat_file(f"{path}/{name}")

    def raw_write(self, name: str, data: bytes) -> None:
        fs, path = self._raw()
        if self.kind == "local":
            fs.makedirs(f"{path}/{name}".rpartition("/")[0], exist_ok=True)
        fs.pipe_file(f"{path}/{name}", data)

    def _raw(self):
        fresh = {"use_listings_cache": False} if self.kind in {"s3", "swift"} else {}
        return fsspec.url_to_fs(self.url, **(self.storage_options or {}), **fresh)


KINDS = [
    "memory",
    "local",
    pytest.param("s3", marks=pytest.mark.s3),
    pytest.param("fastdfs", marks=pytest.mark.fastdfs),
]
SWIFT = pytest.param("swift", marks=pytest.mark.s3)  # slow, so for storage's own tests


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with open_store(request.param, request, tmp_path) as opened:
        yield opened


@functools.cache
def _bucket(server: S3Server, file: Path) -> str:
    """One for all tests of a file: what a bucket promises is tried out once."""
    return server.new_bucket()


@contextmanager
def open_store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A fresh folder on the given kind of storage."""
    if kind == "local":
        yield Store(kind, str(tmp_path / "store"), None)
    elif kind in {"s3", "swift"}:
        server = request.getfixturevalue(f"{kind}_server")
        yield Store(kind, f"{_bucket(server, request.path)}/{uuid.uuid4().hex}/store", server.storage_options)
    elif kind == "fastdfs":
        yield Store(kind, f"{create_volume(request.getfixturevalue('fastdfs_trackers'))}/store", None)
    else:
        fs = fsspec.filesystem("memory")
        root = f"test-{uuid.uuid4().hex}"
        yield Store(kind, f"memory://{root}/store", None)
        if fs.exists(root):
            fs.rm(root, recursive=True)
