"""Series in a log: which records count, whoever wrote them and in whatever order they are found."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.errors import ConflictError
from onlineml.storage import conditions, io
from onlineml.storage.log.log import AppendLog, LogEntry, in_effect


def _entry(name: str, after: str | None, series: str = "champion") -> LogEntry:
    return LogEntry(name, {"series": series, "after": after})


def _names(entries: list[LogEntry], series: str = "champion") -> str:
    return "".join(entry.id for entry in in_effect(entries, series=series))


def test_nothing() -> None:
    assert in_effect([], series="champion") == []
    assert _names([_entry("a", None, "other"), LogEntry("b", {"event": "of a log without series"})]) == ""


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ("a-", "a"),
        ("a- ba cb", "abc"),
        ("ca b- ac", "bca"),  # clocks that go wrong change nothing
        ("a- b-", "a"),  # at the same moment: the least id
        ("b- a- cb", "bc"),  # a late one with the least id, when another was built on
        ("a- ba ca dc", "acd"),
        ("a- bz", "a"),  # on something that is not there
        ("bc cb", ""),  # in a circle, which nobody can have made
    ],
)
def test_what_counts(entries: str, expected: str) -> None:
    found = [_entry(text[0], None if text[1] == "-" else text[1]) for text in entries.split()]
    if entries == "ca b- ac":
        found = [_entry("c", "b"), _entry("b", None), _entry("a", "c")]
    assert _names(found) == expected


@st.composite
def _trees(draw: st.DrawFn) -> list[LogEntry]:
    names = draw(st.permutations("abcdefghij"))
    return [_entry(name, draw(st.sampled_from([None, *names[:i]]))) for i, name in enumerate(names)]


@given(_trees(), st.randoms(use_true_random=False))
def test_every_reader_finds_the_same_chain(entries: list[LogEntry], random: Any) -> None:
    found = in_effect(entries, series="champion")
    assert [entry.record["after"] for entry in found] == [None, *(entry.id for entry in found[:-1])]
    assert not any(entry.record["after"] == found[-1].id for entry in entries)  # it goes as far as it can
    shuffled = list(entries)
    random.shuffle(shuffled)
    assert in_effect(shuffled, series="champion") == found


@given(_trees(), st.integers(0, 10))
def test_one_who_comes_late_displaces_nothing_that_was_built_on(entries: list[LogEntry], place: int) -> None:
    before = in_effect(entries, series="champion")
    after = [None, *(entry.id for entry in before)][place % (len(before) + 1)]
    now = in_effect([*entries, _entry("A", after)], series="champion")  # with the least id of all
    assert now[: len(before) - 1] == before[:-1]
    assert (len(now) > len(before)) == (after == before[-1].id)


@pytest.mark.parametrize("promised", [True, False])
def test_a_record_follows_one_other(monkeypatch: pytest.MonkeyPatch, promised: bool) -> None:
    monkeypatch.setattr(conditions, "creates", lambda *_: promised)
    log = AppendLog("memory://series/log")
    try:
        first = log.append_after({"n": 1}, series="a", after=None)
        second = log.append_after({"n": 2}, series="a", after=first)
        other = log.append_after({"n": 3}, series="b", after=None)
        for stale in (None, first):
            with pytest.raises(ConflictError, match="'a'"):
                log.append_after({"n": 4}, series="a", after=stale)
        assert [entry.id for entry in in_effect(log.read(), series="a")] == [first, second]
        assert [entry.id for entry in in_effect(log.read(), series="b")] == [other]
        log.compact()
        assert [entry.record["n"] for entry in in_effect(log.read(), series="a")] == [1, 2]
    finally:
        for info in io.list_files("memory://series"):
            io.delete(info.url)
