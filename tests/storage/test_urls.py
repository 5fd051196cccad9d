"""Names on storage, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from onlineml.errors import DataError
from onlineml.storage import io
from onlineml.storage.urls import local_path, redacted, storable


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
    assert redacted("https://me:se/c?r#et@host/a") == "https://host/a"
    assert redacted("https://host:80/a@b") == "https://host:80/a@b"
    assert redacted("https://host/a.mp4?signature=secret#t=1.500") == "https://host/a.mp4#t=1.500"
    assert (
        redacted("s3://bucket/shard?token=secret#offset=0&length=9/a.jpg")
        == "s3://bucket/shard#offset=0&length=9/a.jpg"
    )
    assert redacted("simplecache::s3://me:secret@bucket/a") == "simplecache::s3://bucket/a"
    assert redacted("zip://a?b=secret::https://host/z?token=se::cret") == "zip://a::https://host/z"
    assert (
        redacted("abfs://container@account.dfs.core.windows.net/a") == "abfs://container@account.dfs.core.windows.net/a"
    )
    assert redacted("s3://bucket/project@champion") == "s3://bucket/project@champion"
    assert redacted("s3://bucket/a b#c") == "s3://bucket/a b#c"
    assert redacted("/a?b@c") == "/a?b@c"


def test_stored_urls_keep_a_query_without_secrets() -> None:
    assert storable("https://host/image?id=7&size=large") == "https://host/image?id=7&size=large"
    for query in ("id=7&X-Amz-Signature=ab", "sig=ab", "id=0123456789abcdef0123456789", "api_key=ab"):
        assert storable(f"https://me@host/image?{query}") == "https://host/image"
    assert storable("/a?token=b") == "/a?token=b"


def test_messages_of_errors_show_no_credentials() -> None:
    error = DataError("https://me:secret@host/a?token=secret and 's3://me:secret@b/c': not found")
    assert str(error) == "https://host/a and 's3://b/c': not found"
