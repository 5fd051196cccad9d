"""The log of names: any interleaving of writers replays to one state, whatever is torn, however it is read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineml.errors import ConflictError, StorageError
from onlineml.storage.fastdfs.names import Names
from onlineml.storage.fastdfs.records import MAX_LINE, Entry, Record, are_names, line_of, record_of, whole_lines

PATHS = ["a", "b", "a/x", "a/y", "a/b/c", "a/b", "b/c", "ab", "a-b", "z/é\u2028"]


def _entry(file: str) -> Entry:
    return Entry(file, len(file), 1)


def _record(txn: str, changes: dict[str, str | None], **expected: Any) -> Record:
    entries = {path: None if file is None else _entry(file) for path, file in changes.items()}
    return Record(txn=txn, ms=7, expected=expected.get("expected", {}), set=entries)


# ------------------------------------------------------------------------------------------------------------ the bytes


def test_a_line_is_a_checksum_and_json_between_line_breaks() -> None:
    record = Record(txn="t1", ms=5, expected={"a": None}, set={"a": Entry("g/M00", 3, 5), "b": None})
    payload = b'{"txn":"t1","ms":5,"if":{"a":null},"set":{"a":["g/M00",3,5],"b":null}}'
    assert line_of(record) == b"\n%08x " % zlib.crc32(payload) + payload + b"\n"
    assert whole_lines(line_of(record)) == ([payload], b"")
    assert record_of(payload) == record


def test_what_is_no_line_is_passed_over() -> None:
    good = line_of(_record("t1", {"a": "f"}))
    for garbage in (b"", b"\n", b"\n\n", b"x", b"\nxxxxxxxx {}\n", good[:-5], good[5:], b"\0" * 4096, b"\xff\n"):
        assert len(whole_lines(garbage + good + garbage + good)[0]) in {2, 3}  # 3: what was cut was a line break only
        assert all(record_of(payload).txn == "t1" for payload in whole_lines(garbage + good)[0])
    assert whole_lines(b"") == ([], b"")
    assert whole_lines(good[:-1]) == ([], good[1:-1])  # it may be in the middle of being written


def test_records_of_a_later_version_are_not_taken_for_none() -> None:
    for payload in (b'{"txn":"t","ms":1,"lock":"a"}', b'{"txn":1,"ms":1}', b"[]", b"{"):
        with pytest.raises(StorageError, match="update"):
            record_of(payload)


def test_snapshots_of_a_later_version_are_refused() -> None:
    with pytest.raises(StorageError, match="update"):
        Names.restored(b'{"entries": 3}')
    deep = b'{"entries": {}, "garbage": {}, "recent": {}, "more": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with pytest.raises(StorageError, match="snapshot"):
        Names.restored(deep)


# -------------------------------------------------------------------------------------------------- what a record does


def _after(*records: Record) -> Names:
    names = Names()
    for record in records:
        names.apply(record)
    return names


def test_no_names() -> None:
    names = Names()
    assert (names.entries, names.below(""), names.children(""), names.garbage) == ({}, [], ([], []), {})
    assert names.is_folder("")
    assert not names.is_folder("a")
    assert names.outcome("t") is None
    assert Names.restored(names.snapshot()).entries == {}


def test_only_the_first_creates() -> None:
    names = _after(
        _record("t1", {"a": "first"}, expected={"a": None}), _record("t2", {"a": "second"}, expected={"a": None})
    )
    assert names.entries == {"a": _entry("first")}
    assert (names.outcome("t1"), names.outcome("t2")) == (True, False)
    assert names.garbage == {"second": 7}  # uploaded for nothing
    assert isinstance(names.objection({"a": None}, {}), FileExistsError)


def test_swaps_need_what_they_expect() -> None:
    names = _after(
        _record("t1", {"a": "1"}),
        _record("t2", {"a": "2"}, expected={"a": "1"}),
        _record("t3", {"a": "3"}, expected={"a": "1"}),
    )
    assert names.entries == {"a": _entry("2")}
    assert set(names.garbage) == {"1", "3"}
    assert isinstance(names.objection({"a": "1"}, {}), ConflictError)
    assert isinstance(names.objection({"b": "1"}, {}), ConflictError)
    assert names.objection({"a": "2", "b": None}, {}) is None


def test_many_files_come_and_go_at_once_or_not_at_all() -> None:
    names = _after(
        _record("t1", {"a": "1", "b": "2"}),
        _record("t2", {"a": None, "c": "3"}, expected={"a": "1", "b": "other"}),
    )
    assert names.entries == {"a": _entry("1"), "b": _entry("2")}
    names.apply(_record("t3", {"a": None, "c": "1", "b": None}, expected={"a": "1", "b": "2"}))
    assert names.entries == {"c": _entry("1")}  # renamed: its content is in use
    assert set(names.garbage) == {"2", "3"}


def test_a_repeated_record_does_nothing_more() -> None:
    create = _record("t1", {"a": "1"}, expected={"a": None})
    names = _after(create, _record("t2", {"a": None}), create)
    assert names.entries == {}
    assert names.outcome("t1") is True


def test_content_with_two_names_is_in_use_until_both_are_gone() -> None:
    names = _after(
        _record("t1", {"a": "1"}), _record("t2", {"b": "1"}, expected={"a": "1"}), _record("t3", {"a": None})
    )
    assert names.garbage == {}
    names.apply(_record("t4", {"b": None}))
    assert names.garbage == {"1": 7}
    names.apply(Record(txn="t5", ms=9, forgotten=["1"]))
    assert names.garbage == {}


def test_a_file_is_no_folder() -> None:
    names = _after(_record("t1", {"a/x": "1"}))
    assert isinstance(names.objection({}, {"a": _entry("2")}), IsADirectoryError)
    assert isinstance(names.objection({}, {"a/x/y": _entry("2")}), NotADirectoryError)
    assert isinstance(names.objection({}, {"b": _entry("2"), "b/c": _entry("3")}), NotADirectoryError)
    assert names.objection({}, {"a/x": None, "a": _entry("2")}) is None  # the folder goes with its last file
    assert names.objection({}, {"a/x": None, "a/x/y": _entry("2")}) is None
    names.apply(_record("t2", {"a": "2"}))
    assert names.outcome("t2") is False


@pytest.mark.parametrize(
    "path", ["", "..", "a/../../b", "/etc/passwd", "a//b", "a/", ".", "nul\0", "x" * 1025, "é" * 513]
)
def test_a_record_with_what_is_no_name_counts_for_nobody(path: str) -> None:
    names = _after(_record("t1", {path: "1", "fine": "2"}))
    assert names.entries == {}
    assert names.outcome("t1") is False
    names.entries[path] = _entry("1")
    with pytest.raises(StorageError, match="invalid file names"):
        Names.restored(names.snapshot())


@given(st.lists(st.text(alphabet="./a\0\n", max_size=4), max_size=4))
def test_names_are_looked_at_together_as_they_are_one_by_one(paths: list[str]) -> None:
    each = ["\0" not in path and not {"", ".", ".."} & set(path.split("/")) for path in paths]
    assert are_names(paths) == all(each)
    assert not are_names([*paths, "\ud800"])


def test_empty_files_have_no_content_to_count() -> None:
    names = _after(_record("t1", {"a": ""}, expected={"a": None}), _record("t2", {"a": "1"}, expected={"a": ""}))
    assert names.entries == {"a": _entry("1")}
    assert names.garbage == {}


def test_the_line_has_room_for_what_is_usual() -> None:
    path = "x" * 1024
    file = "a-group-of-16-le/M00/FF/FF/" + "A" * 50
    rename = Record(
        txn="t" * 16,
        ms=1 << 45,
        expected={path: file, path + "2": None},
        set={path: None, path + "2": Entry(file, 1 << 40, 1 << 45)},
    )
    assert len(line_of(rename)) > MAX_LINE  # two names of the greatest length go into a file
    assert (
        len(line_of(Record(txn="t" * 16, ms=1 << 45, expected={path: None}, set={path: Entry(file, 1 << 40, 1 << 45)})))
        < MAX_LINE
    )
    assert len(line_of(Record(txn="t" * 16, ms=1 << 45, forgotten=[file] * 40))) < MAX_LINE


# --------------------------------------------------------------------------------------- any interleaving, any reading


@dataclass
class Oracle:
    """The same rules, said as simply and slowly as can be."""

    files: dict[str, str] = field(default_factory=dict)
    seen: dict[str, bool] = field(default_factory=dict)
    stored: set[str] = field(default_factory=set)

    def apply(self, record: Record) -> None:
        if record.txn in self.seen:
            return
        self.stored |= {entry.file for entry in record.set.values() if entry}
        after = {**self.files, **{path: entry.file for path, entry in record.set.items() if entry is not None}}
        after = {path: file for path, file in after.items() if record.set.get(path, 0) is not None}
        holds = all(self.files.get(path) == file for path, file in record.expected.items())
        clashes = any(one != other and other.startswith(one + "/") for one in after for other in after)
        self.seen[record.txn] = holds and not clashes
        if self.seen[record.txn]:
            self.files = after


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Record], bytes]:
    """A log of several writers, each of whom has seen some part of it; with repetitions and torn bytes."""
    records: list[Record] = []
    log = b"\n"
    for number in range(draw(st.integers(0, 25))):
        known = Oracle()
        for record in records[: draw(st.integers(max(0, len(records) - 4), len(records)))]:
            known.apply(record)  # a writer may be behind
        path, other = draw(st.sampled_from(PATHS)), draw(st.sampled_from(PATHS))
        file = f"f{number}"
        changes: dict[str, str | None]
        kind = draw(st.sampled_from(["write", "create", "swap", "remove", "rename", "copy", "many", "repeat"]))
        expected: dict[str, str | None] = {path: known.files.get(path)}
        if kind == "repeat" and records:
            record = draw(st.sampled_from(records))
        else:
            changes = {
                "create": {path: file}, "swap": {path: file}, "remove": {path: None},
                "rename": {path: None, other: known.files.get(path)}, "copy": {other: known.files.get(path)},
                "many": {path: file, other: f"{file}b"},
            }.get(kind, {path: file})  # fmt: skip
            if kind == "create":
                expected = {path: None}
            if kind == "write":
                expected = {}
            record = _record(f"t{number}", changes, expected=expected)
        records.append(record)
        log += line_of(record)
        if draw(st.booleans()):
            log += draw(st.sampled_from([b"\n", b"torn", line_of(record)[:-7], b"\0\0", b"\nabcdef01 {}\n"]))
    return records, log


def _read(log: bytes, cuts: list[int]) -> Names:
    names, rest, begin = Names(), b"", 0
    for end in [*sorted(cut % (len(log) + 1) for cut in cuts), len(log)]:
        payloads, rest = whole_lines(rest + log[begin:end])
        begin = end
        for payload in payloads:
            names.apply(record_of(payload))
    return names


@settings(max_examples=300)
@given(logs(), st.lists(st.integers(0, 10_000), max_size=5))
def test_every_reader_has_the_same_names(made: tuple[list[Record], bytes], cuts: list[int]) -> None:
    records, log = made
    oracle = Oracle()
    for record in records:
        oracle.apply(record)
    names = _read(log, cuts)
    assert {path: entry.file for path, entry in names.entries.items()} == oracle.files
    assert {txn: names.outcome(txn) for txn in oracle.seen} == oracle.seen
    assert set(names.garbage) == oracle.stored - set(oracle.files.values())


@settings(max_examples=200)
@given(logs(), st.integers(0, 30))
def test_a_snapshot_and_the_rest_are_as_good_as_all(made: tuple[list[Record], bytes], at: int) -> None:
    records, _ = made
    whole = _after(*records)
    for first in (at, max(0, at - 3)):  # some of what the snapshot holds may come once more
        names = Names.restored(_after(*records[:at]).snapshot())
        for record in records[first:]:
            names.apply(record)
        assert names.entries == whole.entries
        assert names.garbage == whole.garbage
        assert names.snapshot() == whole.snapshot()


@settings(max_examples=200)
@given(logs(), st.integers(0, 25))
def test_listing_is_what_the_names_say(made: tuple[list[Record], bytes], first: int) -> None:
    names = Names()
    for number, record in enumerate(made[0]):
        names.apply(record)
        if number >= first:  # lists are kept up to date from the first listing on
            _check_listing(names)
    _check_listing(names)


def _check_listing(names: Names) -> None:
    paths = sorted(names.entries)
    folders = {""} | {path[:at] for path in paths for at, letter in enumerate(path) if letter == "/"}
    for folder in [*folders, *PATHS]:
        prefix = folder + "/" if folder else ""
        inside = [path for path in paths if path.startswith(prefix)]
        assert names.is_folder(folder) == (folder in folders)
        if folder in folders:
            assert names.below(folder) == inside
            files = [path for path in inside if "/" not in path.removeprefix(prefix)]
            deeper = sorted({prefix + path.removeprefix(prefix).partition("/")[0] for path in inside} - set(files))
            assert names.children(folder) == (files, deeper)
        else:
            assert names.below(folder) == []
