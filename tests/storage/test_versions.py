"""`onlineml.storage.versions`: what is at many addresses, against what a listing of everything says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onlineml.storage import io, versions
from onlineml.storage.versions import current_versions, size_of_version

if TYPE_CHECKING:
    from stores import Store


def test_nothing() -> None:
    assert current_versions([]) == []


def test_versions_are_those_of_a_listing(store: Store) -> None:
    paths = ["top.png", *(f"{split}/{number}/a.png" for split in ("train", "val-2", "val") for number in range(9))]
    for path in paths:
        store.raw_write(f"in/{path}", path.encode())
    store.raw_write("in/other/b.png", b"b")
    listed = {
        info.path: info.version for info in io.list_files(f"{store.url}/in", storage_options=store.storage_options)
    }
    for asked in (paths[:3], paths):
        urls = [f"{store.url}/in/{path}" for path in [*asked, "gone.png", "nowhere/a.png"]]
        found = current_versions(urls, storage_options=store.storage_options)
        assert found == [*(listed[path] for path in asked), None, None]


def test_little_else_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[tuple[str, bool]] = []

    def list_files(folder: str, *, recursive: bool, **_: object) -> list[io.FileInfo]:
        listed.append((folder, recursive))
        return []

    monkeypatch.setattr(versions, "list_files", list_files)
    urls = [f"memory://b/{top}/{number}/a.png" for top in ("x", "y") for number in range(9)]
    current_versions([*urls, "memory://b/a.png"])
    assert listed == [("memory://b/", False), ("memory://b/x/", True), ("memory://b/y/", True)]


@pytest.mark.parametrize(
    ("version", "size"),
    [
        ("1700000000000000000-123", 123),
        ("2026-01-02 03:04:05.5+00:00-77", 77),
        ("1700000000.25-9", 9),
        ("-5", 5),
        ("d41d8cd98f00b204e9800998ecf8427e", None),
        ("d41d8cd98f00b204e9800998ecf8427e-12", None),
        ("", None),
    ],
)
def test_sizes_in_versions(version: str, size: int | None) -> None:
    assert size_of_version(version) == size
