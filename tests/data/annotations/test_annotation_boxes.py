"""Boxes in `onlineml.data.annotations`: the fold against a plain replay, conflicts, and what may be said at all."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from log_entries import WrittenLog
from onlineml.data.annotations.boxes import boxes_meant, checked_boxes, kept_values, require_usable
from onlineml.errors import DataError, StorageError, UnknownClassError

Claim = tuple[list[list[float]], list[str | None]] | None
ONE: Claim = ([[1.0, 2.0, 3.0, 4.0]], ["cat"])
TWO: Claim = ([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 9.0, 9.0]], ["cat", "dog"])
NONE: Claim = ([], [])


def _log() -> WrittenLog:
    return WrittenLog("detection")


def test_nothing_was_said() -> None:
    log = _log()
    assert {"boxes_xyxy", "labels"} <= set(log.state().table.column_names)
    assert len(log.state().suggestions) == 0
    log.say("uploaded", "x")
    assert log.said() == {"x": None}  # stored, and not annotated by anyone
    assert log.state().counts()["labelled"] == 0


def test_no_objects_is_something_else_than_not_annotated() -> None:
    log = _log()
    log.imported({"x": NONE, "y": None, "z": ONE}, "cat")
    assert log.said() == {"x": [], "y": None, "z": ONE}
    empty = log.say("corrected", "z", NONE)
    assert log.said()["z"] == []
    nothing = log.say("corrected", "z", None, base=empty)
    assert log.said()["z"] is None
    log.say("uploaded", "z")  # without boxes it says nothing of them
    assert log.said(without=[empty, nothing])["z"] == ONE
    log.say("uploaded", "z", TWO)
    assert log.said()["z"] == TWO
    assert log.state().counts()["labelled"] == 2


def test_a_correction_outlasts_a_later_import_and_takes_its_further_values_along() -> None:
    log = _log()
    first = log.imported({"x": TWO, "y": None}, "cat", "dog", crowd=[[False, True], None], note=["a", "b"])
    three = ([*TWO[0], [5.0, 5.0, 7.0, 7.0]], ["cat", "dog", "owl"])
    corrected = log.say("corrected", "x", three, base=first)
    second = log.imported({"x": ONE, "y": ONE, "z": NONE}, "cat")
    assert log.said(without=[corrected]) == {"x": ONE, "y": ONE, "z": []}
    state = log.state()
    rows = {row["image_id"]: row for row in state.table.to_pylist()}
    assert (rows["x"]["labels"], rows["x"]["crowd"], rows["x"]["note"]) == (["cat", "dog", "owl"], None, "a")
    assert rows["y"]["boxes_xyxy"] == ONE[0]
    assert state.revisions(["x", "y"]) == [corrected, second]
    assert state.class_names == ("cat", "dog")  # the log's, not whatever a box is called
    log.say("corrected", "x", TWO, base=corrected, further={"crowd": [None, True], "gone": [1, 2]})
    assert log.state().row("x")["crowd"] == [None, True]
    assert _without(log, 3, 1).row("x")["crowd"] is None  # the later import's boxes have none


def _without(log: WrittenLog, *numbers: int) -> Any:
    return log.state(entry for number, entry in enumerate(log.entries) if number not in numbers)


def test_labels_of_uploaded_boxes_become_classes() -> None:
    log = _log()
    log.say("uploaded", "x", TWO)
    log.say("uploaded", "y", NONE)
    log.say("uploaded", "z")
    log.say("uploaded", "w", (TWO[0], ["owl", "cat"]))
    assert log.state().class_names == ("cat", "dog", "owl")
    with pytest.raises(UnknownClassError, match=r"classes\.add\('fox'\)"):
        log.state().require_classes(["cat", "fox"])


def test_two_people_who_draw_different_boxes_are_a_conflict_until_settled() -> None:
    log = _log()
    start = log.imported({"x": None}, "cat", "dog")
    ann = log.say("corrected", "x", TWO, base=start)
    log.say("corrected", "x", (TWO[0][::-1], TWO[1][::-1]), base=start)  # the same boxes, drawn in another order
    assert not log.state().conflicts
    bob = log.say("corrected", "x", ONE, base=start)
    assert ann in log.state().conflicts["x"]
    assert bob == log.state().conflicts["x"][-1]
    assert log.said() == {"x": ONE}
    assert log.state().conflict_table()["says"].tolist() == ["1 cat, 1 dog", "1 dog, 1 cat", "1 cat"]
    log.say("corrected", "x", TWO, base=log.state().revision("x"))
    assert not log.state().conflicts


@pytest.mark.parametrize("other", [(TWO[0], TWO[1][::-1]), None, NONE])
def test_other_labels_or_none_contradict_boxes(other: Claim) -> None:
    log = _log()
    log.imported({"x": None}, "cat", "dog")
    log.say("corrected", "x", TWO)
    log.say("corrected", "x", other)
    assert set(log.state().conflicts) == {"x"}


def test_classes_are_renamed_and_merged_in_boxes_too() -> None:
    log = _log()
    log.imported({"x": TWO, "y": None, "z": NONE}, "cat", "dog", "puppy")
    log.say("class_renamed", label="cat", new="tiger")
    log.say("class_merged", label="dog", into="puppy")
    log.say("corrected", "y", TWO)
    log.suggested("1", image_id=["z"], boxes_xyxy=[TWO[0]], labels=[TWO[1]], scores=[[0.5, 0.4]])
    state = log.state()
    assert state.class_names == ("tiger", "puppy")
    assert [row["labels"] for row in state.table.to_pylist()] == [["tiger", "puppy"], ["tiger", "puppy"], []]
    assert state.suggestions.to_pylist()[0]["labels"] == ["tiger", "puppy"]
    log.say("corrected", "y", (TWO[0], ["tiger", "dog"]))  # says the same in other words
    assert not log.state().conflicts


@pytest.mark.parametrize("task", ["classification", "detection"])
def test_a_log_of_the_other_task_is_named(task: str) -> None:
    log = WrittenLog(task)
    facts = {"boxes_xyxy": [], "labels": []} if task == "classification" else {"label": "cat"}
    entry = log.say("corrected", "x", **facts)
    with pytest.raises(StorageError, match=entry):
        log.state()


@pytest.mark.parametrize("said", [
    ([[0, 0, 1, 1]], []), ([[0, 0, 1]], ["cat"]), ([7], ["cat"]), ([[0, 0, 1, 1]], None), (7, []),
    ([[0, 0, 1, None]], ["cat"]), ([[0, 0, 1, 1]], [None]), (None, ["cat"]), ([[0, 0, 1, "1"]], ["cat"]),
])  # fmt: skip
@pytest.mark.parametrize("event", ["corrected", "uploaded"])
def test_boxes_that_are_damaged_are_named(said: Any, event: str) -> None:
    log = _log()
    log.imported({"x": None, "y": None})
    log.say("corrected", "y", ONE)
    entry = log.say(event, "x", said)
    with pytest.raises(StorageError, match=f"{entry}.*damaged"):
        log.state()


def test_the_fold_is_a_replay() -> None:
    chance = random.Random(0)

    def any_boxes() -> Claim:
        n = chance.randrange(3)
        return ([[float(chance.randrange(9)) for _ in range(4)] for _ in range(n)], [chance.choice("cd")] * n)

    for _ in range(60):
        log, boxes, spoken, deleted = _log(), {}, set(), set()
        for _ in range(12):
            image_id = chance.choice("abcde")
            event = chance.choice(["imported", "uploaded", "corrected", "deleted"])
            if event == "imported":
                rows = {name: chance.choice([None, any_boxes()]) for name in "abc"}
                log.imported(rows)
                for name, own in rows.items():
                    if name not in spoken:
                        boxes[name] = own if own is not None else boxes.get(name)
            elif event == "deleted" and image_id in boxes:
                log.say(event, image_id)
                deleted.add(image_id)
            elif event == "uploaded" or (event == "corrected" and image_id in boxes):
                says = event == "corrected" or chance.random() < 0.5
                said = chance.choice([None, any_boxes()]) if says else "nothing"
                said = any_boxes() if event == "uploaded" and said is None else said
                log.say(event, image_id, said)
                if event == "uploaded":
                    deleted.discard(image_id)
                if says:
                    boxes[image_id] = said
                    spoken.add(image_id)
                else:
                    boxes.setdefault(image_id, None)
        assert log.said() == {name: said and said[0] and said for name, said in boxes.items() if name not in deleted}


# ---- what may be said ----


@pytest.mark.parametrize("empty", [([], []), (np.empty((0, 4)), ()), (np.empty((0,)), [])])
def test_no_boxes_in_any_form(empty: Any) -> None:
    assert checked_boxes(empty, name="x") == {"boxes_xyxy": [], "labels": []}
    assert checked_boxes(None, name="x") == {"boxes_xyxy": None, "labels": None}
    assert boxes_meant(None, []) is None
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
        ([0, 0, np.nan, 1], None, "not a number"),
        ([0, 0, np.inf, 1], (10, 20), "not a number"),
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
