"""Errors of a store stop a check; only an image's own fault sets it aside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from onlineml.data.checks import images
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import MissingDependencyError, NotFoundError, StorageError
from picture_files import noise, png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3_server import S3Server

MANIFEST = Manifest(pa.table({"image_id": list("abc"), "uri": [f"{name}.png" for name in "abc"]}), root="memory://x")


def _answer(monkeypatch: pytest.MonkeyPatch, *answers: bytes | OSError) -> None:
    def read_many(urls: Sequence[str], **_: object) -> list[bytes | OSError]:
        return [answers["abc".index(url[-5])] for url in urls]

    monkeypatch.setattr(images.io, "read_many", read_many)


def test_a_single_object_that_is_missing_or_may_not_be_read_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, png(noise(1)), PermissionError("not allowed"), NotFoundError("nothing there"))
    found = MANIFEST.check(max_bad=1.0).table.to_pylist()
    assert {row["image_id"]: row["finding"] for row in found} == {"b": "missing", "c": "missing"}


def test_when_none_may_be_read_it_is_no_fault_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, *[PermissionError("not allowed")] * 3)
    with pytest.raises(PermissionError, match="not allowed"):
        MANIFEST.check(max_bad=1.0)


def test_a_server_that_hangs_sets_no_image_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, png(noise(1)), StorageError("timed out"), png(noise(1)))
    with pytest.raises(StorageError, match="timed out"):
        MANIFEST.check(max_bad=1.0)


def test_a_mistyped_option_stops() -> None:
    wrong = Manifest(MANIFEST.table, root="s3://bucket/x", storage_options={"endpointt_url": "http://127.0.0.1:1"})
    with pytest.raises(StorageError, match="endpointt_url"):
        wrong.check(max_bad=1.0)


def test_a_package_that_is_missing_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    from onlineml.storage import reading

    def absent(*_: object) -> None:
        raise MissingDependencyError("reading needs another package")

    monkeypatch.setattr(reading, "filesystem", absent)
    with pytest.raises(MissingDependencyError, match="another package"):
        MANIFEST.check(max_bad=1.0)


@pytest.mark.s3
def test_a_bucket_that_does_not_exist_stops(s3_server: S3Server) -> None:
    absent = Manifest(MANIFEST.table, root="s3://no-such-bucket-here/x", storage_options=s3_server.storage_options)
    with pytest.raises(StorageError, match="bucket does not exist") as caught:
        absent.check(max_bad=1.0)
    assert not isinstance(caught.value, NotFoundError)
