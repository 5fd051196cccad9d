"""Pages of a listing, of a store that answers as it likes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import fsspec.asyn
import pytest

from onlineml.errors import StorageError
from onlineml.storage.s3.listing import list_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Store:
    """As s3fs's filesystem; each page is of keys, folders, and the token of the next page."""

    protocol = ("s3", "s3a")

    def __init__(self, pages: Callable[[], Iterator[tuple[str, str, str]]]) -> None:
        self.loop, self.req_kw = fsspec.asyn.get_loop(), {"RequestPayer": "requester"}
        self.pages, self.asked = pages(), []

    def split_path(self, path: str) -> tuple[str, str, None]:
        bucket, _, key = path.partition("/")
        return bucket, key, None

    async def _call_s3(self, method: str, **asked: Any) -> dict[str, Any]:
        assert method == "list_objects_v2"
        self.asked.append(asked)
        keys, folders, token = next(self.pages)
        return {
            "Contents": [{"Key": f"p/{key}", "Size": 1, "ETag": f"{key}{key}"} for key in keys],
            "CommonPrefixes": [{"Prefix": f"p/{folder}/"} for folder in folders],
            "IsTruncated": bool(token),
            "NextContinuationToken": token,
        }


def test_pages_are_put_together() -> None:
    store = _Store(lambda: iter([("ab", "", "1"), ("", "xy", "2"), ("", "", "3"), ("c", "z", "")]))
    rows = list(list_folder(store, "bucket/p/", recursive=False))
    assert [row["name"] for row in rows] == ["bucket/p/a", "bucket/p/b", "bucket/p/c"]
    assert {row["type"] for row in rows} == {"file"}
    assert [row["ETag"] for row in rows] == ["aa", "bb", "cc"]
    assert [one.get("ContinuationToken") for one in store.asked] == [None, "1", "2", "3"]
    assert all(
        one["Prefix"] == "p/" and one["Delimiter"] == "/" and one["RequestPayer"] == "requester" for one in store.asked
    )


def test_a_bucket_is_listed_with_all_its_folders() -> None:
    store = _Store(lambda: iter([("", "", "")]))
    assert not list(list_folder(store, "bucket", recursive=True))
    assert store.asked == [{"Bucket": "bucket", "Prefix": "", "RequestPayer": "requester"}]


@pytest.mark.parametrize("token", ["same", "new"])
@pytest.mark.parametrize(("keys", "folders"), [("ab", ""), ("", "x"), ("", "")])
def test_the_same_page_for_ever_is_refused(token: str, keys: str, folders: str) -> None:
    tokens = itertools.repeat("t") if token == "same" else map(str, itertools.count(1))  # noqa: S105
    store = _Store(lambda: ((keys, folders, one) for one in tokens))
    with pytest.raises(StorageError, match=r"s3://bucket/p: the store lists the same \d names again"):
        list_folder(store, "bucket/p", recursive=False)
