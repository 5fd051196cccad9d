"""Boxes in `onlineml.data.annotations`: the fold against a plain replay, conflicts, and what may be said at all."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onlineml.data._annotation_boxes import boxes_meant, checked_boxes, kept_values, require_usable
from onlineml.data.annotations import fold, record
from onlineml.errors import DataError, StorageError, UnknownClassError
from onlineml.storage.log import LogEntry, new_ulid

BOXES = pa.list_(pa.list_(pa.float64(), 4))
Said = tuple[list[list[float]], list[str | None]] | None


def _table(rows: dict[str, Said], **further: pa.Array) -> pa.Table:
    names = ("image_id", "uri", "split", "group", "label")
    table = pa.table(
        {name: pa.array([None if name == "label" else key for key in rows], pa.string()) for name in names}
        | {
            "boxes_xyxy": pa.array([said and said[0] for said in rows.values()], BOXES),
            "labels": pa.array([said and said[1] for said in rows.values()], pa.list_(pa.string())),
        }
    )
    for name, values in further.items():
        table = table.append_column(name, values)
    return table


def _imported(file: str, *class_names: str) -> LogEntry:
    return LogEntry(new_ulid(), record("imported", author="a", facts={"file": file, "class_names": list(class_names)}))


def _said(event: str, image_id: str, said: Any = "nothing", base: str | None = None, **further: Any) -> LogEntry:
    facts: dict[str, Any] = {"image_id": image_id, "base": base, "uri": f"blobs/{image_id}", "split": "val"}
    if event == "uploaded":
        facts |= {"group": "g", "label": None}
    if said != "nothing":
        facts |= {"boxes_xyxy": said and said[0], "labels": said and said[1]}
    return LogEntry(new_ulid(), record(event, author="a", facts=facts | further))


def _state(entries: list[LogEntry], tables: dict[str, pa.Table] | None = None) -> Any:
    return fold(entries, read_import=(tables or {}).__getitem__, task="detection")


def _boxes(entries: list[LogEntry], tables: dict[str, pa.Table] | None = None) -> dict[str, Said]:
    rows = _state(entries, tables).table.to_pylist()
    return {row["image_id"]: None if row["boxes_xyxy"] is None else (row["boxes_xyxy"], row["labels"]) for row in rows}


ONE: Said = ([[1.0, 2.0, 3.0, 4.0]], ["cat"])
TWO: Said = ([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 9.0, 9.0]], ["cat", "dog"])
NONE: Said = ([], [])


def test_nothing_was_said() -> None:
    state = _state([])
    assert len(state) == 0
    assert {"boxes_xyxy", "labels"} <= set(state.table.column_names)
    assert state.row("x") == {}
    assert _boxes([_said("uploaded", "x")]) == {"x": None}  # stored, and not annotated by anyone


def test_no_objects_is_something_else_than_not_annotated() -> None:
    tables = {"1": _table({"x": NONE, "y": None, "z": ONE})}
    start = _imported("1", "cat")
    assert _boxes([start], tables) == {"x": NONE, "y": None, "z": ONE}
    assert _boxes([start, _said("corrected", "z", NONE)], tables)["z"] == NONE
    assert _boxes([start, _said("corrected", "z", None)], tables)["z"] is None
    assert _boxes([start, _said("uploaded", "z")], tables)["z"] == ONE  # an upload without boxes says nothing of them
    assert _boxes([start, _said("uploaded", "z", TWO)], tables)["z"] == TWO


def test_a_correction_outlasts_a_later_import_and_takes_its_further_values_along() -> None:
    further = {"crowd": pa.array([[False, True], None]), "note": pa.array(["a", "b"])}
    tables = {"1": _table({"x": TWO, "y": None}, **further), "2": _table({"x": ONE, "y": ONE, "z": NONE})}
    first, second = _imported("1", "cat", "dog"), _imported("2", "cat")
    corrected = _said("corrected", "x", ([*TWO[0], [5.0, 5.0, 7.0, 7.0]], ["cat", "dog", "owl"]), first.id)
    kept = _said("corrected", "x", TWO, first.id, further={"crowd": [None, True], "gone": [1, 2]})

    assert _boxes([first, second], tables) == {"x": ONE, "y": ONE, "z": NONE}
    state = _state([first, corrected, second], tables)
    rows = {row["image_id"]: row for row in state.table.to_pylist()}
    assert (rows["x"]["labels"], rows["x"]["crowd"], rows["x"]["note"]) == (["cat", "dog", "owl"], None, "a")
    assert rows["y"]["boxes_xyxy"] == ONE[0]
    assert (state.base("x"), state.base("y")) == (corrected.id, second.id)
    assert state.class_names == ("cat", "dog")  # the log's, not whatever a box is called
    assert _state([first, kept], tables).row("x")["crowd"] == [None, True]
    assert _state([first, second], tables).row("x")["crowd"] is None  # the later import's boxes have none


def test_labels_of_uploaded_boxes_become_classes() -> None:
    state = _state([_said("uploaded", "x", TWO), _said("uploaded", "y", NONE), _said("uploaded", "z")])
    assert state.class_names == ("cat", "dog")
    state.check({"x": ["cat", "dog"], "y": [], "z": None})
    with pytest.raises(UnknownClassError, match=r"add_class\('owl'\)"):
        state.check({"x": ["cat", "owl"]})


def test_two_people_who_draw_different_boxes_are_a_conflict_until_settled() -> None:
    tables = {"1": _table({"x": None})}
    start = _imported("1", "cat", "dog")
    swapped: Said = (TWO[0][::-1], TWO[1][::-1])
    ann, bob = _said("corrected", "x", TWO, start.id), _said("corrected", "x", ONE, start.id)
    agreed = _said("corrected", "x", swapped, start.id)  # the same boxes, drawn in another order
    assert not _state([start, ann, agreed], tables).conflicts
    state = _state([start, ann, bob], tables)
    assert dict(state.conflicts) == {"x": (ann.id, bob.id)}
    assert state.row("x")["boxes_xyxy"] == ONE[0]
    relabelled = _said("corrected", "x", (TWO[0], TWO[1][::-1]), start.id)
    assert set(_state([start, ann, relabelled], tables).conflicts) == {"x"}
    assert set(_state([start, ann, _said("corrected", "x", None, start.id)], tables).conflicts) == {"x"}
    assert not _state([start, ann, bob, _said("corrected", "x", TWO, bob.id)], tables).conflicts


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_log_of_the_other_task_is_named(task: str) -> None:
    facts = {"boxes_xyxy": [], "labels": []} if task == "classification" else {"label": "cat"}
    entry = LogEntry(new_ulid(), record("corrected", author="a", facts={"image_id": "x", **facts}))
    with pytest.raises(StorageError, match=entry.id):
        fold([entry], read_import={}.__getitem__, task=task)


@pytest.mark.parametrize(
    ("boxes", "labels"), [([[0, 0, 1, 1]], []), ([[0, 0, 1]], ["cat"]), ([7], ["cat"]), ([[0, 0, 1, 1]], None), (7, [])]
)
def test_boxes_that_are_damaged_are_named(boxes: Any, labels: Any) -> None:
    entry = _said("corrected", "x", [boxes, labels])
    with pytest.raises(StorageError, match=f"{entry.id}.*damaged"):
        _state([entry])


def test_the_fold_is_a_replay() -> None:
    chance = random.Random(0)

    def any_boxes() -> Said:
        n = chance.randrange(3)
        return ([[float(chance.randrange(9)) for _ in range(4)] for _ in range(n)], [chance.choice("cd")] * n)

    for _ in range(60):
        tables, entries, boxes, spoken, deleted = {}, [], {}, set(), set()
        for number in range(12):
            image_id = chance.choice("abcde")
            event = chance.choice(["imported", "uploaded", "corrected", "deleted"])
            if event == "imported":
                rows = {name: chance.choice([None, any_boxes()]) for name in "abc"}
                tables[str(number)] = _table(rows)
                entries.append(_imported(str(number)))
                for name, own in rows.items():
                    if name not in spoken:
                        boxes[name] = own if own is not None else boxes.get(name)
            elif event == "deleted" and image_id in boxes:
                entries.append(_said(event, image_id))
                deleted.add(image_id)
            elif event == "uploaded" or (event == "corrected" and image_id in boxes):
                says = event == "corrected" or chance.random() < 0.5
                said = chance.choice([None, any_boxes()]) if says else "nothing"
                said = any_boxes() if event == "uploaded" and said is None else said
                entries.append(_said(event, image_id, said))
                if event == "uploaded":
                    deleted.discard(image_id)
                if says:
                    boxes[image_id] = said
                    spoken.add(image_id)
                else:
                    boxes.setdefault(image_id, None)
        expected = {image_id: said for image_id, said in boxes.items() if image_id not in deleted}
        assert _boxes(entries, tables) == expected


# ---- what may be said ----


@pytest.mark.parametrize("empty", [([], []), (np.empty((0, 4)), ()), (np.empty((0,)), [])])
def test_no_boxes_in_any_form(empty: Any) -> None:
    assert checked_boxes(empty, name="x") == {"boxes_xyxy": [], "labels": []}
    assert checked_boxes(None, name="x") == {"boxes_xyxy": None, "labels": None}
    assert boxes_meant(checked_boxes(None, name="x")) is None
    require_usable(checked_boxes(empty, name="x"), name="x", size_hw=(4, 4))
    require_usable(checked_boxes(None, name="x"), name="x", size_hw=None)


def test_boxes_become_plain_numbers() -> None:
    facts = checked_boxes((np.array([[0, 1, 2, 3]], np.int32), ("cat",)), name="x")
    assert facts == {"boxes_xyxy": [[0.0, 1.0, 2.0, 3.0]], "labels": ["cat"]}
    assert type(facts["boxes_xyxy"][0][0]) is float


@pytest.mark.parametrize(
    "wrong",
    [
        ([[0, 0, 1]], ["a"]),
        ([0, 0, 1, 1], ["a"]),
        ([[0, 0, 1, 1]], []),
        ([], ["a"]),
        ([[0, 0, 1, 1], [0, 0, 1]], ["a", "b"]),
        ([["left", 0, 1, 1]], ["a"]),
        ([[0, 0, 1, 1]], [" "]),
        ([[0, 0, 1, 1]], [None]),
        ([[0, 0, 1, 1]],),
        7,
    ],
)
def test_what_is_no_list_of_boxes_is_refused_by_the_name_of_the_image(wrong: Any) -> None:
    with pytest.raises(DataError, match=r"a\.jpg"):
        checked_boxes(wrong, name="a.jpg")


@pytest.mark.parametrize(
    ("box", "size_hw", "message"),
    [
        ([0, 0, np.nan, 1], None, "no number"),
        ([0, 0, np.inf, 1], (10, 20), "no number"),
        ([5, 0, 5, 1], None, "no width"),
        ([5, 3, 6, 2], (10, 20), "no width"),
        ([20, 0, 25, 5], (10, 20), "outside"),
        ([-5, 0, 0, 5], (10, 20), "20 x 10"),
        ([20, 0, 25, 5], None, None),  # nobody knows yet how large the image is
        ([15, 5, 25, 15], (10, 20), None),  # cut when it is frozen
    ],
)
def test_boxes_that_cannot_be_used_are_refused(box: list[float], size_hw: Any, message: str | None) -> None:
    facts = checked_boxes(([[0, 0, 1, 1], box], ["a", "b"]), name="x")
    if message is None:
        require_usable(facts, name="x", size_hw=size_hw)
    else:
        with pytest.raises(DataError, match=message) as caught:
            require_usable(facts, name="x", size_hw=size_hw)
        assert "box 1 (b)" in str(caught.value)
        assert "box 0" not in str(caught.value)


def test_what_was_told_of_a_box_stays_with_it() -> None:
    before = {"boxes_xyxy": TWO[0], "labels": TWO[1], "crowd": [False, True], "area": [None, 7.5], "other": None}
    facts = checked_boxes(([[0, 0, 9, 9], [1, 1, 2, 2]], ["dog", "dog"]), name="x")
    assert kept_values(facts, before) == {"crowd": [True, None], "area": [7.5, None]}
    assert kept_values(checked_boxes(([[1, 1, 2, 2]], ["dog"]), name="x"), before) == {}
    assert kept_values(checked_boxes(None, name="x"), before) == {}
    seen = [datetime(2026, 1, 1, tzinfo=UTC)] * 2
    odd = {**before, "area": [1.0, np.nan], "seen": seen, "outline": [[[0, 0], [9, 9]]] * 2}
    assert kept_values(facts, odd) == {"crowd": [True, None], "outline": [[[0, 0], [9, 9]], None]}  # what JSON can hold
    assert kept_values(facts, {}) == {}
