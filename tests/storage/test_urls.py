"""Names on storage, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from onlineml.storage import io
from onlineml.storage.urls import local_path, redacted


@pytest.mark.parametrize(
    ("url", "parent", "name"),
    [
        ("", "", ""),
        ("a.jpg", "", "a.jpg"),
        ("/", "/", ""),
        ("/a", "/", "a"),
        ("/a/b/", "/a", "b"),
        ("s3://bucket", "s3://bucket", "bucket"),
        ("s3://bucket/a", "s3://bucket", "a"),
        ("s3://bucket/a/b.jpg", "s3://bucket/a", "b.jpg"),
        ("memory://", "memory://", ""),
        ("file:///a", "file:///a", "a"),
    ],
)
def test_parent_and_name(url: str, parent: str, name: str) -> None:
    assert (io.parent(url), io.name(url)) == (parent, name)


def test_what_is_a_url() -> None:
    assert all(io.is_url(text) for text in ("s3://a", "file:///a", "simplecache::s3://a", "git+ssh://x"))
    assert not any(io.is_url(text) for text in ("", "a", "/a", "C:/a", "a b://c", "./s3://a", "a:b"))


def test_local_paths() -> None:
    assert local_path("file:///a b/c%20") == "/a b/c%20"
    assert local_path("relative/a") == "relative/a"
    assert local_path("~/a") == str(Path.home() / "a")
    assert local_path("memory://a") is None
    assert io.join(Path("/a"), "b", "./c") == "/a/b/c"


def test_urls_are_shown_without_their_secrets() -> None:
    assert redacted("sftp://me:secret@host:22/a") == "sftp://host:22/a"
    assert redacted("https://host/a?signature=secret") == "https://host/a"
    assert redacted("s3://bucket/a b#c") == "s3://bucket/a b#c"
    assert redacted("/a?b@c") == "/a?b@c"
