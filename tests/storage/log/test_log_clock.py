"""Ids of entries, where a clock is wrong or somebody forged an entry: what one log holds does not touch another."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from onlineml.errors import StorageError
from onlineml.storage.log import entry
from onlineml.storage.log.entry import ulid_after
from onlineml.storage.log.log import AppendLog, LogEntry, _lines
from onlineml.storage.log.table import table_of, to_parquet

if TYPE_CHECKING:
    from pathlib import Path

LATER = datetime.now(UTC) + timedelta(days=900)


@pytest.fixture(autouse=True)
def own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that other tests of this process have seen, minutes ahead, are not part of this."""
    monkeypatch.setattr(entry, "_clock", entry._Clock())


def _forged(folder: Path, ulid: str, *, as_table: bool) -> None:
    forged = [LogEntry(ulid, {"forged": True})]
    folder.mkdir(parents=True, exist_ok=True)
    data = to_parquet(table_of(forged)) if as_table else _lines(forged, holds=())
    (folder / f"{ulid}{'.parquet' if as_table else '.jsonl'}").write_bytes(data)


@pytest.mark.parametrize("as_table", [False, True])
@pytest.mark.parametrize(
    "ulid",
    [ulid_after(LATER), ulid_after(datetime(9999, 12, 30, tzinfo=UTC)), "7" + "Z" * 25],
    ids=["later", "9999", "last"],
)
def test_a_forged_id_changes_the_ids_of_no_other_log(tmp_path: Path, ulid: str, as_table: bool) -> None:
    own, other = AppendLog(tmp_path / "a"), AppendLog(tmp_path / "b")
    first = own.append({"n": 1})
    _forged(tmp_path / "a", ulid, as_table=as_table)
    own.read()
    assert len(own.table()) == len(own.read())
    there = LogEntry(other.append({"n": 2}), {})
    assert abs(there.time.timestamp() - time.time()) < 60
    last = own.append({"n": 3})
    told = [one.id for one in AppendLog(tmp_path / "a").read()]
    assert told == ([first, ulid, last] if ulid < entry.BEYOND else [first, last])
    assert [one.record for one in AppendLog(tmp_path / "b").read()] == [{"n": 2}]
    assert own.compact() in {2, 3}
    assert [one.id for one in AppendLog(tmp_path / "a").read()] == told


def test_a_clock_that_is_a_little_ahead_keeps_the_order_of_all_logs(tmp_path: Path) -> None:
    soon = ulid_after(datetime.now(UTC) + timedelta(minutes=5))
    _forged(tmp_path / "a", soon, as_table=False)
    AppendLog(tmp_path / "a").read()
    assert AppendLog(tmp_path / "a").append({}) > soon


def test_an_id_that_cannot_be_read_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "_clock", entry._Clock())
    monkeypatch.setattr(entry.time, "time_ns", lambda: 10**9 * int(datetime(9500, 1, 1, tzinfo=UTC).timestamp()))
    log = AppendLog(tmp_path / "log")
    with pytest.raises(StorageError, match="clock"):
        log.append({"n": 1})
    assert not (tmp_path / "log").exists()
