"""`onlineml.data.annotations`: the fold, against a plain replay of the same facts."""

from __future__ import annotations

import random
import time

import pyarrow as pa
import pytest

from onlineml.data.annotations import fold, record
from onlineml.errors import DataError, StorageError, UnknownClassError
from onlineml.storage.log import LogEntry, new_ulid


def _table(rows: list[tuple], **further: list) -> pa.Table:
    names = ("image_id", "uri", "split", "group", "label")
    schema = pa.schema([(name, pa.string()) for name in names])
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)
    for name, values in further.items():
        table = table.append_column(name, pa.array(values))
    return table


def _imported(file: str, *class_names: str) -> LogEntry:
    return LogEntry(new_ulid(), record("imported", author="a", facts={"file": file, "class_names": list(class_names)}))


def _said(event: str, image_id: str, label: str | None = None, base: str | None = None) -> LogEntry:
    facts = {
        "image_id": image_id,
        "label": label,
        "base": base,
        "uri": f"blobs/{image_id}",
        "split": "val",
        "group": "g",
    }
    return LogEntry(new_ulid(), record(event, author="a", facts=facts))


def _labels(entries: list[LogEntry], tables: dict[str, pa.Table]) -> dict[str, str | None]:
    state = fold(entries, read_import=tables.__getitem__)
    return dict(zip(state.table["image_id"].to_pylist(), state.table["label"].to_pylist(), strict=True))


def test_nothing_was_said() -> None:
    state = fold([], class_names=["a"], read_import={}.__getitem__)
    assert (len(state), state.class_names, dict(state.conflicts)) == (0, ("a",), {})
    assert state.base("x") is None
    assert state.splits_of_groups(["g"]) == {}
    with pytest.raises(DataError, match="not in the project"):
        state.check({"x": "a"})


def test_a_correction_outlasts_a_later_import() -> None:
    tables = {
        "1": _table([("x", "u/x", "train", "g1", "cat"), ("y", "u/y", "test", "g2", None)], size=[1, 2]),
        "2": _table(
            [("x", "v/x", "val", "g9", "dog"), ("y", "u/y", "test", "g2", "dog"), ("z", "u/z", None, "g3", None)]
        ),
    }
    first, second = _imported("1", "cat"), _imported("2", "cat", "dog")
    assert _labels([first], tables) == {"x": "cat", "y": None}
    assert _labels([first, second], tables) == {"x": "dog", "y": "dog", "z": None}
    corrected = _said("corrected", "x", "owl", first.id)
    state = fold([first, corrected, second], class_names=["owl"], read_import=tables.__getitem__)
    rows = {row["image_id"]: row for row in state.table.to_pylist()}
    assert {image_id: row["label"] for image_id, row in rows.items()} == {"x": "owl", "y": "dog", "z": None}
    assert (rows["x"]["uri"], rows["x"]["split"], rows["x"]["group"], rows["x"]["size"]) == ("u/x", "train", "g1", 1)
    assert rows["z"]["size"] is None
    assert state.class_names == ("owl", "cat", "dog")
    assert (state.base("x"), state.base("y"), state.base("z")) == (corrected.id, second.id, second.id)
    assert state.splits_of_groups(["g1", "g3"]) == {"g1": "train"}


def test_deleted_stays_deleted_until_it_is_uploaded_again() -> None:
    tables = {"1": _table([("x", "u/x", "train", "x", "cat")])}
    entries = [_imported("1", "cat"), _said("uploaded", "y", "dog"), _said("deleted", "x"), _said("deleted", "y")]
    assert _labels(entries, tables) == {}
    assert _labels([*entries, _imported("1", "cat")], tables) == {}
    assert _labels([*entries, _said("uploaded", "y", "fox")], tables) == {"y": "fox"}


def test_two_corrections_of_the_same_state_are_a_conflict_until_settled() -> None:
    tables = {"1": _table([("x", "u/x", "train", "x", "cat")])}
    start = _imported("1", "cat", "dog", "owl")
    ann, bob = _said("corrected", "x", "dog", start.id), _said("corrected", "x", "owl", start.id)
    state = fold([start, ann, bob], read_import=tables.__getitem__)
    assert dict(state.conflicts) == {"x": (ann.id, bob.id)}
    assert state.table["label"].to_pylist() == ["owl"]
    agreed = _said("corrected", "x", "dog", start.id)
    assert not fold([start, ann, agreed], read_import=tables.__getitem__).conflicts
    settled = _said("corrected", "x", "dog", bob.id)
    state = fold([start, ann, bob, settled], read_import=tables.__getitem__)
    assert not state.conflicts
    assert state.table["label"].to_pylist() == ["dog"]


def test_who_has_not_seen_a_correction_contradicts_it() -> None:
    tables = {"1": _table([("x", "u/x", "train", "x", "cat")])}
    start = _imported("1", "cat", "dog", "owl")
    first = _said("corrected", "x", "dog", start.id)
    second = _said("corrected", "x", "cat", first.id)
    stale = _said("corrected", "x", "owl", start.id)

    def conflicts(*entries: LogEntry) -> dict[str, tuple[str, ...]]:
        return dict(fold([start, *entries], read_import=tables.__getitem__).conflicts)

    assert conflicts(first, second) == {}
    assert conflicts(first, second, stale) == {"x": (second.id, stale.id)}  # one of two corrections was seen by nobody
    late = _said("corrected", "x", "owl", first.id)
    assert conflicts(first, second, late) == {"x": (second.id, late.id)}
    agrees = _said("corrected", "x", "owl", start.id)  # with the later of two that contradict each other
    assert conflicts(first, stale, agrees) == {"x": (first.id, stale.id, agrees.id)}
    assert conflicts(first, stale, agrees, _said("corrected", "x", "owl", agrees.id)) == {}
    slow_clock = [_said("corrected", "x", "owl", second.id), first]  # it saw what sorts after it
    assert set(conflicts(*slow_clock)) == {"x"}


def test_an_image_that_is_brought_back_contradicts_nobody() -> None:
    uploaded = _said("uploaded", "x", "cat")
    entries = [uploaded, _said("deleted", "x", base=uploaded.id), _said("uploaded", "x", "dog")]
    assert not fold(entries, read_import={}.__getitem__).conflicts
    assert _labels(entries, {}) == {"x": "dog"}
    assert _labels([*entries[:2], _said("uploaded", "x")], {}) == {"x": "cat"}  # what was said of it holds again
    both = [_said("uploaded", "x", "cat"), _said("uploaded", "x", "dog")]  # two people at once
    assert set(fold(both, read_import={}.__getitem__).conflicts) == {"x"}


def test_an_upload_without_a_label_says_nothing_about_an_image() -> None:
    tables = {"1": _table([("x", "u/x", "train", "x", "cat")])}
    assert _labels([_imported("1", "cat"), _said("uploaded", "x")], tables) == {"x": "cat"}
    assert _labels([_said("uploaded", "x"), _imported("1", "cat")], tables) == {"x": "cat"}
    assert _labels([_said("uploaded", "x", "dog"), _said("uploaded", "x")], {}) == {"x": "dog"}
    assert _labels([_said("uploaded", "x", "dog"), _said("corrected", "x")], {}) == {"x": None}


def test_columns_that_do_not_fit_together_become_text() -> None:
    tables = {
        "1": _table([("x", "u/x", None, "x", None)], year=[2001], place=[1.5]),
        "2": _table([("y", "u/y", None, "y", None)], year=["old"], place=[2]),
    }
    state = fold([_imported("1"), _imported("2")], read_import=tables.__getitem__)
    assert state.table["year"].to_pylist() == ["2001", "old"]
    assert state.table["place"].to_pylist() == [1.5, 2.0]


def test_labels_are_checked() -> None:
    state = fold([_said("uploaded", "x", "cat")], read_import={}.__getitem__)
    state.check({"x": "cat"})
    state.check({"x": None})
    with pytest.raises(UnknownClassError, match=r"add_class\('dog'\)"):
        state.check({"x": "dog"})


@pytest.mark.parametrize(
    "said",
    [
        {"event": "levitated"},
        {"event": "add"},  # the name of a method is no event
        {"event": ["corrected"]},
        {},
        [],
        None,
        {"event": "corrected"},
        {"event": "imported"},
        {"event": "imported", "file": "1", "class_names": 7},
    ],
)
def test_entries_that_are_not_understood_are_named(said: dict) -> None:
    entry = LogEntry(new_ulid(), said)
    with pytest.raises(StorageError, match=entry.id):
        fold([entry], read_import={}.__getitem__)


def test_the_fold_is_a_replay() -> None:
    chance = random.Random(0)
    for _ in range(60):
        tables, entries, labels, spoken, deleted = {}, [], {}, set(), set()
        for number in range(12):
            image_id = chance.choice("abcde")
            label = chance.choice(["cat", "dog", None])
            event = chance.choice(["imported", "uploaded", "corrected", "deleted"])
            if event == "imported":
                rows = [(name, f"u/{name}", "train", name, chance.choice(["cat", "dog", None])) for name in "abc"]
                tables[str(number)] = _table(rows)
                entries.append(_imported(str(number)))
                for name, *_, own in rows:
                    if name not in spoken:
                        labels[name] = own if own is not None else labels.get(name)
            elif event == "uploaded" or image_id in labels:
                entries.append(_said(event, image_id, label))
                if event == "deleted":
                    deleted.add(image_id)
                else:
                    labels.setdefault(image_id, None)
                    if label is not None or event == "corrected":  # an upload without a label says nothing about it
                        labels[image_id] = label
                        spoken.add(image_id)
                if event == "uploaded":
                    deleted.discard(image_id)
        expected = {image_id: label for image_id, label in labels.items() if image_id not in deleted}
        assert _labels(entries, tables) == expected


def test_a_million_images_fold_in_seconds() -> None:
    count = 1_000_000
    ids = [f"{number:032d}" for number in range(count)]
    names = ("image_id", "uri", "split", "group", "label")
    table = pa.table({name: ids if name in {"image_id", "uri", "group"} else ["train"] * count for name in names})
    entries = [_imported("1", "train")] + [_said("corrected", image_id, "train") for image_id in ids[:20_000]]
    start = time.perf_counter()
    state = fold(entries, read_import={"1": table}.__getitem__)
    assert len(state) == count
    assert time.perf_counter() - start < 10  # measured: about 1 s
