"""Parts of work on many images, without a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from onlineml.errors import ConfigError, StorageError
from onlineml.ray import parts as module
from onlineml.ray import spread
from onlineml.ray.parts import Parts
from onlineml.storage.location import Location

if TYPE_CHECKING:
    from pathlib import Path

N = 23


def _opened(folder: Path, *, n: int = N, **facts: int) -> Parts:
    table = pa.table({"name": [f"{i}.jpg" for i in range(n)]})
    at = Location.of(str(folder)).folder
    return Parts.opened(at, facts=facts, images=lambda: table, part_size=2, ending=".parquet")


@pytest.mark.parametrize("together", [1, 3, 100])
def test_each_image_is_in_one_part_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int):
    monkeypatch.setattr(module, "_TOGETHER", together)
    parts = _opened(tmp_path)
    assert parts.n == 12
    found = [name for part in range(parts.n) for name in parts.images(part)["name"].to_pylist()]
    assert found == [f"{i}.jpg" for i in range(N)]
    assert len(list(tmp_path.glob("images-*"))) == -(-12 // together)


def test_a_result_is_written_once_and_what_is_missing_is_told(tmp_path: Path):
    parts = _opened(tmp_path)
    for part in (0, 3):
        parts.commit(part, b"first")
    parts.commit(3, b"second")
    assert parts.read(3) == b"first"
    assert _opened(tmp_path).missing() == [1, 2, *range(4, 12)]


def test_the_listing_of_the_first_call_stays(tmp_path: Path):
    _opened(tmp_path)
    assert _opened(tmp_path, n=50).n_images == N


def test_other_work_is_refused_by_what_differs(tmp_path: Path):
    _opened(tmp_path, top_k=1)
    with pytest.raises(ConfigError, match="top_k was 1, now 2"):
        _opened(tmp_path, top_k=2)


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"facts": {}, "n_images": "many"}', b"{"])
def test_a_damaged_plan_is_said(tmp_path: Path, content: bytes):
    _opened(tmp_path)
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"plan\.json"):
        _opened(tmp_path)


def test_an_error_of_ours_is_found_in_what_ray_makes_of_it():
    class WrappedError(RuntimeError):
        def __init__(self, cause: Exception) -> None:
            super().__init__("Traceback (most recent call last) ...")
            self.cause = cause

    own = StorageError("the store failed")
    outer = RuntimeError("a task failed")
    outer.__cause__ = WrappedError(own)
    assert spread._own(outer) is own
    assert spread._own(WrappedError(own)) is own
    foreign = ValueError("theirs")
    assert spread._own(foreign) is foreign
