"""Classes in `onlineml.data.annotations`: renamed, merged, split, taken back, and by several people at once."""

from __future__ import annotations

from log_entries import WrittenLog


def _log(*images: str) -> WrittenLog:
    log = WrittenLog(class_names=("cat", "dog", "owl"))
    log.imported(dict(zip("xyz", images or ("cat", "dog", "owl"), strict=False)), "cat", "dog", "owl")
    return log


def _classes(log: WrittenLog) -> dict[str, int]:
    state = log.state()
    return dict(zip(state.class_names, state.class_ids, strict=True))


def test_a_renamed_class_keeps_its_id_and_its_former_name() -> None:
    log = _log()
    first = log.say("class_renamed", label="cat", new="tiger", base=None)
    late = log.say("corrected", "y", "cat")  # by somebody who does not know yet
    log.imported({"w": "cat"}, "cat")
    log.say("uploaded", "v", "cat")
    assert log.said() == {"x": "tiger", "y": "tiger", "z": "owl", "w": "tiger", "v": "tiger"}
    assert _classes(log) == {"tiger": 1, "dog": 2, "owl": 3}
    assert log.state().lineage == {"cat": "tiger"}
    second = log.say("class_renamed", label="tiger", new="lion", base=first)
    assert log.state().lineage == {"cat": "lion", "tiger": "lion"}
    log.say("corrected", "z", "tiger")
    assert log.said()["z"] == "lion"
    log.say("undone", undoes=[second])
    assert log.said() == {"x": "tiger", "y": "tiger", "z": "tiger", "w": "tiger", "v": "tiger"}
    log.say("undone", undoes=[first, late])
    assert log.said() == {"x": "cat", "y": "dog", "z": "cat", "w": "cat", "v": "cat"}
    assert log.state().lineage == {"tiger": "cat", "lion": "cat"}  # names that it had stay its own


def test_a_class_gets_its_former_name_back() -> None:
    log = _log()
    first = log.say("class_renamed", label="cat", new="tiger", base=None)
    log.say("class_renamed", label="tiger", new="cat", base=first)
    assert log.said() == {"x": "cat", "y": "dog", "z": "owl"}
    assert log.state().lineage == {"tiger": "cat"}
    assert not log.state().folded.classes.conflicts


def test_a_merged_class_is_retired_and_its_id_is_not_given_again() -> None:
    log = _log()
    merger = log.say("class_merged", label="dog", into="cat", base=None)
    log.say("class_added", label="fox")
    log.say("corrected", "z", "dog")
    assert log.said() == {"x": "cat", "y": "cat", "z": "cat"}
    assert _classes(log) == {"cat": 1, "owl": 3, "fox": 4}
    assert log.state().lineage == {"dog": "cat"}
    log.say("class_merged", label="cat", into="fox", base=None)
    assert log.state().lineage == {"dog": "fox", "cat": "fox"}
    log.say("class_renamed", label="fox", new="beast", base=None)
    assert log.said() == {"x": "beast", "y": "beast", "z": "beast"}
    log.say("undone", undoes=[merger])
    assert log.said() == {"x": "beast", "y": "dog", "z": "dog"}  # everybody is what was said again
    assert _classes(log) == {"dog": 2, "owl": 3, "beast": 4}


def test_corrections_to_classes_that_are_one_now_agree() -> None:
    log = _log()
    log.say("corrected", "x", "dog")
    log.say("corrected", "x", "owl")
    assert set(log.state().conflicts) == {"x"}
    log.say("class_merged", label="dog", into="owl", base=None)
    assert not log.state().conflicts


def test_a_class_that_nobody_wants_any_more_is_gone_but_its_id_is_not_given_again() -> None:
    log = _log()
    typo = log.say("class_added", label="fxo")
    log.say("class_added", label="fox")
    log.say("undone", undoes=[typo])
    assert _classes(log) == {"cat": 1, "dog": 2, "owl": 3, "fox": 5}
    log.say("corrected", "x", "fxo")  # somebody had used it already: nothing is lost
    assert _classes(log) == {"cat": 1, "dog": 2, "owl": 3, "fxo": 4, "fox": 5}
    again = WrittenLog(class_names=("cat",), entries=log.entries[2:3])
    again.say("class_added", label="fxo")
    assert _classes(again) == {"cat": 1, "fox": 2, "fxo": 3}


def test_what_a_dataset_showed_keeps_its_id_when_something_arrives_late() -> None:
    log = _log()
    late = log.say("class_added", label="late")  # on its way for long
    log.say("class_added", label="fox")
    there = [entry for entry in log.entries if entry.id != late]
    state = log.state(there)
    assert dict(zip(state.class_names, state.class_ids, strict=True))["fox"] == 4
    log.say("frozen", dataset="00", classes=state.folded.classes.first_names)
    assert _classes(log) == {"cat": 1, "dog": 2, "owl": 3, "fox": 4, "late": 5}
    assert set(log.state().folded.frozen) == {"00"}


def test_a_frozen_class_keeps_its_id_under_its_new_name() -> None:
    log = _log()
    log.say("class_renamed", label="cat", new="tiger", base=None)
    log.say("class_merged", label="dog", into="owl", base=None)
    log.say("frozen", dataset="00", classes=log.state().folded.classes.first_names)
    assert _classes(log) == {"tiger": 1, "owl": 3}


def test_two_people_who_rename_one_class_contradict_each_other() -> None:
    log = _log()
    ann = log.say("class_renamed", label="cat", new="tiger", base=None)
    bob = log.say("class_renamed", label="cat", new="lion", base=None, author="bob")
    state = log.state()
    assert log.said()["x"] == "lion"
    assert state.lineage == {"cat": "lion", "tiger": "lion"}
    assert state.folded.classes.conflicts == {"lion": (ann, bob)}
    shown = state.conflict_table()
    assert shown["about"].tolist() == ["class", "class"]
    assert shown["says"].tolist() == ["cat is called tiger", "cat is called lion"]
    log.say("class_renamed", label="lion", new="tiger", base=state.folded.classes.revision("lion"))
    assert log.said()["x"] == "tiger"
    assert len(log.state().conflict_table()) == 0


def test_one_name_given_to_two_classes_at_once_makes_them_one() -> None:
    log = _log()
    first = log.say("class_renamed", label="cat", new="pet", base=None)
    second = log.say("class_renamed", label="dog", new="pet", base=None, author="bob")
    assert log.said() == {"x": "pet", "y": "pet", "z": "owl"}
    assert _classes(log) == {"pet": 1, "owl": 3}
    log.say("undone", undoes=[second])
    assert log.said() == {"x": "pet", "y": "dog", "z": "owl"}
    log.say("undone", undoes=[first])
    assert log.said() == {"x": "cat", "y": "dog", "z": "owl"}


def test_one_name_given_and_added_at_once_is_one_class() -> None:
    log = _log()
    log.say("class_renamed", label="cat", new="pet", base=None)
    log.say("class_added", label="pet", author="bob")
    log.say("uploaded", "w", "pet")
    assert log.said() == {"x": "pet", "y": "dog", "z": "owl", "w": "pet"}
    assert _classes(log) == {"pet": 1, "dog": 2, "owl": 3}


def test_two_classes_merged_into_each_other_are_the_older_one() -> None:
    log = _log()
    log.say("class_merged", label="cat", into="dog", base=None)
    log.say("class_merged", label="dog", into="cat", base=None, author="bob")
    assert log.said() == {"x": "cat", "y": "cat", "z": "owl"}
    assert _classes(log) == {"cat": 1, "owl": 3}


def test_renamed_and_merged_at_once_is_a_conflict() -> None:
    log = _log()
    log.say("class_renamed", label="cat", new="tiger", base=None)
    log.say("class_merged", label="cat", into="dog", base=None, author="bob")
    state = log.state()
    assert log.said()["x"] == "dog"
    assert set(state.folded.classes.conflicts) == {"dog"}


def test_a_split_class_keeps_the_images_that_nobody_named() -> None:
    log = _log("cat", "cat", "cat")
    split = log.say("class_split", label="cat", into=["lynx"], action="1", base=None)
    moved = log.say("corrected", "y", "lynx", action="1")
    assert log.said() == {"x": "cat", "y": "lynx", "z": "cat"}
    assert _classes(log) == {"cat": 1, "dog": 2, "owl": 3, "lynx": 4}
    log.say("undone", undoes=[split, moved])
    assert log.said() == {"x": "cat", "y": "cat", "z": "cat"}
    assert "lynx" not in _classes(log)
    assert log.state().history("y")["undone"].tolist()[1] == "ann"


def test_the_history_of_an_image_tells_what_became_of_its_class() -> None:
    log = _log()
    log.say("class_renamed", label="cat", new="tiger", base=None)
    log.say("class_renamed", label="dog", new="wolf", base=None)
    log.say("class_merged", label="tiger", into="owl", base=None)
    assert log.state().history("x")["says"].tolist() == ["cat", "cat is called tiger", "tiger is part of owl"]
