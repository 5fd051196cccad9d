"""Listing of a folder on S3: each page is asked for alone, with its own patience, and a store cannot go on for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec.asyn

from onlineml.errors import StorageError
from onlineml.storage.retries import persistently

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["list_folder"]

_MOST_IDLE = 100  # pages in a row without a new name; some stores send empty ones where much was deleted


def list_folder(fs: Any, path: str, *, recursive: bool) -> Iterable[dict[str, Any]]:
    """Return the files below a folder, as s3fs describes them.

    Args:
        fs: s3fs's filesystem.
        path: bucket and key of the folder.
        recursive: include the files in its folders.

    Raises:
        FileNotFoundError: the bucket does not exist.
        StorageError: page after page contains only names that were listed before.
    """
    rows: Iterable[dict[str, Any]] = fsspec.asyn.sync(fs.loop, _listed, fs, path, recursive).values()
    return rows


async def _listed(fs: Any, path: str, recursive: bool) -> dict[str, dict[str, Any]]:
    bucket, key, _ = fs.split_path(path.rstrip("/"))
    asked = {"Bucket": bucket, "Prefix": f"{key}/" if key else "", **fs.req_kw}
    asked |= {} if recursive else {"Delimiter": "/"}
    rows: dict[str, dict[str, Any]] = {}
    folders: set[str] = set()
    idle = 0
    while True:
        page = await persistently(lambda: fs._call_s3("list_objects_v2", **asked), fs)  # noqa: SLF001 (asynchronous)
        known = len(rows) + len(folders)
        rows |= {
            one["Key"]: {**one, "name": f"{bucket}/{one['Key']}", "size": one["Size"], "type": "file"}
            for one in page.get("Contents", [])
        }
        folders.update(one["Prefix"] for one in page.get("CommonPrefixes", []))
        if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
            return rows
        idle = idle + 1 if len(rows) + len(folders) == known else 0
        if idle > _MOST_IDLE:
            raise StorageError(f"s3://{path}: the store lists the same {known:,} names again and again")
        asked["ContinuationToken"] = page["NextContinuationToken"]
