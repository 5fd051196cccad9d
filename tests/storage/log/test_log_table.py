"""Logs as tables: without loss, damage is found, and compaction that pays; on every store in the contract's tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.errors import StorageError
from onlineml.storage.log import log as storage_log
from onlineml.storage.log.entry import ulid_after
from onlineml.storage.log.log import AppendLog, LogEntry, new_ulid
from onlineml.storage.log.table import entries_of, from_parquet, merged, table_of, to_parquet

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["event", "label", "entry", "rest", "", "ü"]) | st.text(max_size=4)
RECORDS = st.lists(st.dictionaries(KEYS, VALUES, max_size=5), max_size=8)


def _entries(records: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    return [(new_ulid(), record) for record in records]


@given(RECORDS)
def test_a_table_loses_nothing(records: list[dict[str, Any]]) -> None:
    entries = _entries(records)
    table = table_of(entries)
    assert entries_of(table) == entries
    again, holds = from_parquet(to_parquet(table, holds=["a", "b"]))
    assert (entries_of(again), holds) == (entries, ("a", "b"))


@given(RECORDS, st.lists(st.lists(st.integers(0, 7)), max_size=4))
def test_tables_are_put_together_in_order_and_once(records: list[dict[str, Any]], parts: list[list[int]]) -> None:
    entries = _entries(records)
    chosen = [sorted({number for number in part if number < len(entries)}) for part in parts]
    tables = [table_of([entries[number] for number in part]) for part in chosen]
    expected = [entries[number] for number in sorted({number for part in chosen for number in part})]
    assert entries_of(merged(tables)) == expected


def test_a_log_with_endlessly_many_keys() -> None:
    entries = _entries([{f"key {number}": "text", "same": "x"} for number in range(200)])
    table = table_of(entries)
    assert len(table.column_names) < 100
    assert entries_of(table) == entries


def test_what_is_no_table_of_entries_is_refused(tmp_path: Path) -> None:
    whole = to_parquet(table_of(_entries([{"label": "cat" * 50, "n": 1}] * 100)))
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 0xFF
    pq.write_table(pa.table({"entry": ["x"]}), tmp_path / "other.parquet")
    foreign = table_of(_entries([{"a": "b"}]))
    cases = [whole[:-1], whole[1:], bytes(flipped), b"", b"PAR1", (tmp_path / "other.parquet").read_bytes()]
    cases += [to_parquet(table_of([("not an id", {})])), to_parquet(foreign.append_column("n", pa.array([1])))]
    for case in cases:
        with pytest.raises(StorageError, match=r"."):
            from_parquet(case)
        (tmp_path / "log").mkdir(exist_ok=True)
        (tmp_path / "log" / f"{new_ulid()}.parquet").write_bytes(case or b"x")
        with pytest.raises(StorageError, match=r"\.parquet is truncated"):
            AppendLog(str(tmp_path / "log")).read()
        for file in (tmp_path / "log").iterdir():
            file.unlink()


def test_many_entries_become_a_table_and_read_the_same(tmp_path: Path) -> None:
    log = AppendLog(str(tmp_path))
    records = [{"n": number, "text": str(number)} for number in range(1500)]
    ids = [*log.append_many(records[:1]), *log.append_many(records[1:1400]), *log.append_many(records[1400:])]
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".jsonl", ".jsonl", ".parquet"]
    for reader in (log, AppendLog(str(tmp_path))):
        assert [(entry.id, entry.record) for entry in reader.read()] == list(zip(ids, records, strict=True))
        assert entries_of(reader.table()) == list(zip(ids, records, strict=True))
    assert log.table() is log.table()  # nothing came
    log.append({"n": 1500})
    assert len(log.table()) == 1501


def test_an_object_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    log = AppendLog(str(tmp_path))
    log.append({"n": 1})
    assert len(log.read()) == 1
    (file,) = tmp_path.iterdir()
    file.write_bytes(b"{}\n")
    with pytest.raises(StorageError, match="truncated"):
        log.read()


def test_large_objects_are_left_alone_until_it_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_log, "_SMALL", 10)
    monkeypatch.setattr(storage_log, "_MANY", 50)
    log = AppendLog(str(tmp_path))
    written: list[str] = []

    def append(count: int) -> None:
        written.extend(log.append_many({"n": number} for number in range(count)))

    append(200)
    for _ in range(5):
        append(1)
    assert log.compact(at_least=6) == 0  # there are five small ones
    assert log.compact() == 5
    assert log.compact() == 0
    assert _counts(tmp_path) == [5, 200]
    append(60)
    assert log.compact() == 2  # that is a quarter of the large one
    assert _counts(tmp_path) == [5, 260]
    append(1)
    append(70)
    append(70)
    assert [log.compact() for _ in range(3)] == [2, 3, 0]  # the small ones, then those that are alike
    assert _counts(tmp_path) == [6, 400]
    assert [entry.id for entry in AppendLog(str(tmp_path)).read()] == written


def _counts(folder: Path) -> list[int]:
    return sorted(len(from_parquet(file.read_bytes())[0]) for file in folder.iterdir())


def test_names_with_a_meaning_are_never_put_together(tmp_path: Path) -> None:
    log = AppendLog(str(tmp_path))
    first = log.append_after({"who": "ann"}, series="champion", after=None)
    log.append_after({"who": "bob"}, series="champion", after=first)
    log.append({"n": 1})
    log.append({"n": 2})
    names = {file.name for file in tmp_path.iterdir()}
    assert log.compact() == 2
    assert len(names - {file.name for file in tmp_path.iterdir()}) == 2
    assert len(log.read()) == 4


def test_leftovers_of_a_killed_compaction_are_cleared_and_not_written_again(tmp_path: Path) -> None:
    log = AppendLog(str(tmp_path))
    entries = [LogEntry(new_ulid(), {"n": number}) for number in range(3)]
    for entry in entries:
        log._create(f"{entry.id}.jsonl", storage_log._lines([entry], holds=()))
    names = sorted(file.name for file in tmp_path.iterdir())
    log._create(f"checkpoint-{new_ulid()}.parquet", to_parquet(table_of(entries), holds=names))
    assert len(log.read()) == 3
    assert log.n_loose == 1
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert log.compact() == 3
    (left,) = tmp_path.iterdir()
    assert before[left.name] == left.stat().st_mtime_ns
    assert log.read() == entries


def test_checkpoints_of_lines_are_still_read(tmp_path: Path) -> None:
    entry = LogEntry(new_ulid(), {"n": 1})
    lines = [{"entries": 1, "holds": ["x.jsonl"]}, {"id": entry.id, "record": entry.record}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / f"checkpoint-{new_ulid()}.jsonl").write_text(text, encoding="utf-8")
    assert AppendLog(str(tmp_path)).read() == [entry]


def test_ids_of_a_moment() -> None:
    entry = LogEntry(new_ulid(), {})
    assert ulid_after(entry.time) > entry.id
    assert len(ulid_after(entry.time)) == len(entry.id)
    assert ulid_after(LogEntry("0" + "1" * 25, {}).time) < entry.id
