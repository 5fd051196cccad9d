"""`onlineml.data.annotations`: what a log adds up to, entry by entry, and against a plain replay of the same facts."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from log_entries import WrittenLog
from onlineml.data.annotations.entries import log_table
from onlineml.data.annotations.state import fold
from onlineml.errors import DataError, StorageError, UnknownClassError
from onlineml.storage.log.log import LogEntry, new_ulid


def test_nothing_was_said() -> None:
    state = WrittenLog(class_names=("a",)).state()
    assert (len(state), state.class_names, state.class_ids, dict(state.conflicts)) == (0, ("a",), (1,), {})
    assert state.revision("x") is None
    assert state.row("x") == {}
    assert state.splits_of_groups(["g"]) == {}
    assert (len(state.suggestions), len(state.provenance), len(state.conflict_table())) == (0, 0, 0)
    assert set(state.counts().values()) == {0}
    with pytest.raises(DataError, match="not in the project"):
        state.require_images(["x"])
    with pytest.raises(DataError, match="never was"):
        state.history("x")


def test_a_correction_outlasts_a_later_import() -> None:
    log = WrittenLog(class_names=("owl",))
    first = log.imported({"x": "cat", "y": None}, "cat", size=[1, 2])
    assert log.said() == {"x": "cat", "y": None}
    corrected = log.say("corrected", "x", "owl", base=first)
    second = log.imported({"x": "dog", "y": "dog", "z": None}, "cat", "dog")
    assert log.said(without=[corrected]) == {"x": "dog", "y": "dog", "z": None}
    state = log.state()
    rows = {row["image_id"]: row for row in state.table.to_pylist()}
    assert {image_id: row["label"] for image_id, row in rows.items()} == {"x": "owl", "y": "dog", "z": None}
    assert (rows["x"]["size"], rows["z"]["size"]) == (1, None)
    assert state.class_names == ("owl", "cat", "dog")
    assert state.revisions(["x", "y", "z", "?"]) == [corrected, second, second, None]
    assert state.splits_of_groups(["x", "?"]) == {"x": "train"}
    assert state.provenance["event"].to_pylist() == ["corrected", "imported", "imported"]
    assert state.human_annotated.tolist() == [True, False, False]


def test_split_and_group_are_those_of_the_first_entry() -> None:
    log = WrittenLog()
    upload = log.say("uploaded", "x", "cat", split="test", group="g")
    log.imported({"x": "dog"}, "dog")
    assert (log.state().row("x")["split"], log.state().row("x")["group"]) == ("test", "g")
    log.say("undone", undoes=[upload])
    assert (log.state().row("x")["split"], log.state().row("x")["label"]) == ("train", "dog")


def test_deleted_stays_deleted_until_it_is_restored_or_uploaded_again() -> None:
    log = WrittenLog()
    first = log.imported({"x": "cat"}, "cat")
    upload = log.say("uploaded", "y", "dog")
    log.say("deleted", "x", base=first)
    gone = log.say("deleted", "y", base=upload)
    assert log.said() == {}
    assert log.state().deleted["image_id"].to_pylist() == ["x", "y"]
    assert log.state().revisions(["x", "y"]) == [first, upload]
    log.imported({"x": "cat"}, "cat")
    assert log.said() == {}
    log.say("uploaded", "y", "fox", base=upload)
    assert log.said() == {"y": "fox"}
    assert not log.state().conflicts
    log.say("restored", "x")
    assert log.said() == {"x": "cat", "y": "fox"}
    log.say("deleted", "y", base=log.state().revision("y"))
    assert log.said(without=[gone]) == {"x": "cat"}


def test_two_corrections_of_the_same_state_are_a_conflict_until_settled() -> None:
    log = WrittenLog()
    start = log.imported({"x": "cat"}, "cat", "dog", "owl")
    ann = log.say("corrected", "x", "dog", base=start)
    bob = log.say("corrected", "x", "owl", base=start, author="bob")
    state = log.state()
    assert dict(state.conflicts) == {"x": (ann, bob)}
    assert state.row("x")["label"] == "owl"
    assert set((state.revision("x") or "").split()) == {ann, bob}  # whoever speaks next has seen both
    shown = state.conflict_table()
    assert shown["says"].tolist() == ["dog", "owl"]
    assert shown["prevails"].tolist() == [False, True]
    half = log.say("corrected", "x", "dog", base=bob)  # has not seen ann's
    assert dict(log.state().conflicts) == {}  # but agrees with her
    log.say("undone", undoes=[half])
    log.say("corrected", "x", "dog", base=state.revision("x"))
    assert not log.state().conflicts
    assert log.said() == {"x": "dog"}


def test_who_has_not_seen_a_correction_contradicts_it() -> None:
    log = WrittenLog()
    start = log.imported({"x": "cat"}, "cat", "dog", "owl")
    first = log.say("corrected", "x", "dog", base=start)
    second = log.say("corrected", "x", "cat", base=first)
    assert not log.state().conflicts
    stale = log.say("corrected", "x", "owl", base=start)
    assert log.state().conflicts == {"x": (second, stale)}  # what second had seen is not a rival of stale
    agrees = log.say("corrected", "x", "owl", base=start)
    assert log.state().conflicts == {"x": (second, stale, agrees)}
    log.say("corrected", "x", "owl", base=log.state().revision("x"))
    assert not log.state().conflicts


def test_what_arrives_late_is_not_settled_by_who_had_not_seen_it() -> None:
    log = WrittenLog()
    start = log.imported({"x": "cat"}, "cat", "dog", "owl", "fox")
    late = log.say("corrected", "x", "dog", base=start)  # on its way for long: nobody below has seen it
    bob = log.say("corrected", "x", "owl", base=start)
    cem = log.say("corrected", "x", "fox", base=bob)
    assert not WrittenLog(tables=log.tables).state([entry for entry in log.entries if entry.id != late]).conflicts
    assert log.state().conflicts == {"x": (late, cem)}
    assert log.said() == {"x": "fox"}


def test_a_slow_clock_hides_nothing() -> None:
    log = WrittenLog()
    slow = log.say("corrected", "x", "owl")
    start = log.imported({"x": "cat"}, "cat", "dog", "owl")
    ann = log.say("corrected", "x", "dog", base=start)
    entries = [LogEntry(one.id, {**one.record, "base": ann}) if one.id == slow else one for one in log.entries]
    state = log.state(entries)  # its writer had seen what sorts after it
    assert state.row("x")["label"] == "owl"
    assert not state.conflicts


def test_a_deletion_prevails_over_what_its_author_had_not_seen_and_says_so() -> None:
    log = WrittenLog()
    start = log.imported({"x": "cat", "y": "cat", "z": "cat"}, "cat", "dog")
    words = {image_id: log.say("corrected", image_id, "dog", base=start) for image_id in "xy"}
    unseen = log.say("deleted", "x", base=start)
    log.say("deleted", "y", base=words["y"])  # seen
    log.say("deleted", "z", base=start)
    after = log.say("corrected", "z", "dog", base=start)  # its author had not seen the deletion
    state = log.state()
    assert log.said() == {}
    assert set(state.conflicts) == {"x", "z"}
    assert set(state.conflicts["x"]) == {words["x"], unseen}
    assert after in state.conflicts["z"]
    shown = state.conflict_table()
    assert shown[shown["prevails"]]["says"].tolist() == ["deleted", "deleted"]
    log.say("restored", "x")
    log.say("deleted", "z", base=state.revision("z"))
    assert not log.state().conflicts
    assert log.said() == {"x": "dog"}


def test_two_people_who_upload_one_image_with_different_labels_contradict_each_other() -> None:
    log = WrittenLog()
    first, second = log.say("uploaded", "x", "cat"), log.say("uploaded", "x", "dog")
    assert log.state().conflicts == {"x": (first, second)}
    assert log.state().class_names == ("cat", "dog")


def test_an_upload_without_a_label_says_nothing_about_an_image() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat")
    log.say("uploaded", "x")
    log.say("uploaded", "y")
    log.say("uploaded", "z", "dog")
    log.say("uploaded", "z")
    assert log.said() == {"x": "cat", "y": None, "z": "dog"}
    log.imported({"y": "cat"}, "cat")
    log.say("corrected", "z", None, base=log.state().revision("z"))
    assert log.said() == {"x": "cat", "y": "cat", "z": None}
    assert not log.state().conflicts


def test_what_is_undone_never_was_and_undoing_can_be_undone() -> None:
    log = WrittenLog()
    start = log.imported({"x": "cat"}, "cat", "dog", "owl")
    first = log.say("corrected", "x", "dog", base=start)
    second = log.say("corrected", "x", "owl", base=first)
    undoing = log.say("undone", "x", undoes=[second], author="bob")
    assert log.said() == {"x": "dog"}
    assert log.state().revision("x") == first
    redoing = log.say("undone", "x", undoes=[undoing])
    assert log.said() == {"x": "owl"}
    log.say("undone", "x", undoes=[redoing])
    assert log.said() == {"x": "dog"}
    shown = log.state().history("x")
    assert shown["event"].tolist() == ["imported", "corrected", "corrected", "undone", "undone", "undone"]
    assert shown["says"].tolist()[:3] == ["cat", "dog", "owl"]
    assert shown["undone"].tolist() == ["", "", "bob", "", "ann", ""]
    log.say("undone", "x", undoes=[first])  # the first of two
    assert log.said() == {"x": "cat"}


def test_an_entry_that_was_undone_was_seen_all_the_same() -> None:
    log = WrittenLog()
    start = log.imported({"x": "cat"}, "cat", "dog", "owl", "fox")
    first = log.say("corrected", "x", "dog", base=start)
    second = log.say("corrected", "x", "owl", base=first)
    log.say("corrected", "x", "fox", base=second)
    log.say("undone", "x", undoes=[second])
    assert not log.state().conflicts  # who said fox had seen that owl stood on dog
    assert log.said() == {"x": "fox"}


def test_undoing_an_import_takes_its_images_away_but_not_what_people_said() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat")
    wrong = log.imported({"x": "dog", "y": "dog"}, "dog")
    log.say("corrected", "y", "cat", base=wrong)
    undoing = log.say("undone", undoes=[wrong])
    state = log.state()
    assert log.said() == {"x": "cat"}
    assert state.class_names == ("cat",)
    log.say("undone", undoes=[undoing])
    assert log.said() == {"x": "dog", "y": "cat"}
    assert log.state().class_names == ("cat", "dog")


def test_nobody_undoes_the_future() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat", "dog")
    early = log.say("undone", undoes=["7" + "Z" * 25, "no id at all"])
    later = log.say("corrected", "x", "dog")
    entries = [LogEntry(one.id, {**one.record, "undoes": [later]}) if one.id == early else one for one in log.entries]
    assert log.state(entries).row("x")["label"] == "dog"
    assert log.said() == {"x": "dog"}


def test_groups_are_moved_as_a_whole() -> None:
    log = WrittenLog()
    log.say("uploaded", "x", "cat", group="g")
    move = log.say("moved", group="g", split="test", reason="a second look", base=None)
    log.say("uploaded", "y", "cat", group="g", split="train")  # its uploader did not know
    log.say("uploaded", "z", "cat", group="h", split="val")
    assert log.state().table["split"].to_pylist() == ["test", "test", "val"]
    assert log.state().splits_of_groups(["g", "h"]) == {"g": "test", "h": "val"}
    rival = log.say("moved", group="g", split="val", reason="balance", base=None)
    state = log.state()
    assert state.row("x")["split"] == "val"
    shown = state.conflict_table()
    assert shown[["about", "name"]].drop_duplicates().to_numpy().tolist() == [["group", "g"]]
    assert set(shown["entry"]) == {move, rival}
    log.say("undone", undoes=[rival])
    assert log.state().row("x")["split"] == "test"
    assert log.state().history("x")["says"].tolist()[1] == "test: a second look"
    assert len(log.state().conflict_table()) == 0


def test_suggestions_are_seen_until_somebody_answers_and_are_no_labels() -> None:
    log = WrittenLog()
    start = log.imported(dict.fromkeys("abcdef", None) | {"e": "cat"}, "cat", "dog")
    old = log.suggested("1-aa", image_id=["a", "b"], label=["dog", "dog"], score=[0.5, 0.6])
    answer = log.say("accepted", "b", "dog", base=start, suggestion=old, model="1-aa")
    top = {"top_labels": [["cat", "dog"]] * 4, "top_scores": [[0.9, 0.1]] * 4}
    new = log.suggested("2-bb", image_id=["a", "c", "d", "e"], label=["cat"] * 4, score=[0.9] * 4, **top)
    log.say("skipped", "c")
    log.say("deleted", "d", base=start)
    state = log.state()
    assert state.table["label"].to_pylist() == [None, "dog", None, "cat", None]
    shown = {row["image_id"]: row for row in state.suggestions.to_pylist()}
    assert set(shown) == {"a", "c", "e"}
    assert (shown["a"]["label"], shown["a"]["score"], shown["a"]["model"]) == ("cat", 0.9, "2-bb")
    assert (shown["a"]["top_labels"], shown["a"]["entry"]) == (["cat", "dog"], new)
    assert {image_id: row["skipped"] for image_id, row in shown.items()} == {"a": False, "c": True, "e": False}
    assert state.counts() == {
        "images": 5,
        "labelled": 2,
        "corrected": 0,
        "accepted": 1,
        "suggested": 3,
        "conflicts": 0,
        "deleted": 1,
    }
    assert "3 suggested" in str(state)
    assert ">3<" in state._repr_html_()
    assert state.provenance.to_pylist()[1]["model"] == "1-aa"
    assert log.state().history("b")["says"].tolist() == ["no label", "dog (0.60) by model 1-aa", "dog"]
    log.say("undone", "b", undoes=[answer])
    assert set(log.state().suggestions["image_id"].to_pylist()) == {"a", "b", "c", "e"}
    log.say("undone", undoes=[new])
    assert log.state().suggestions["label"].to_pylist() == ["dog", "dog"]


def test_the_state_of_a_moment_has_nothing_of_what_came_later() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat", "dog")
    before = len(log.entries)
    correction = log.say("corrected", "x", "dog")
    log.say("undone", undoes=[correction])
    assert [log.state(log.entries[:n]).row("x")["label"] for n in range(before, before + 3)] == ["cat", "dog", "cat"]
    made = log.entries[-1].time
    assert abs((made - datetime.now(UTC)).total_seconds()) < 60


def test_columns_of_the_users_are_not_taken_for_the_logs() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat", author=["a photographer"], event=["a wedding"], time=["noon"], base=["a tripod"])
    shown = log.state().history("x")
    assert shown.loc[0, ["event", "says", "author"]].tolist() == ["imported", "cat", "ann"]
    assert log.state().row("x")["author"] == "a photographer"


def test_an_entry_without_author_or_time_is_shown_all_the_same() -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat")
    log.entries.append(LogEntry(new_ulid(), {"event": "corrected", "image_id": "x", "label": "cat"}))
    shown = log.state().history("x")
    assert shown["author"].tolist() == ["ann", "?"]
    assert shown["time"].isna().tolist() == [False, True]
    assert log.state().provenance["author"].to_pylist() == [None]


@pytest.mark.parametrize("time", ["soon", "99999-01-01", "9999-12-31T00:00:00+00:00", {"a": [1]}, 7, "\u0664", ""])
def test_a_time_that_is_none_makes_nothing_else_unreadable(time: object) -> None:
    log = WrittenLog()
    log.imported({"x": "cat"}, "cat")
    for label in ("cat", "dog"):
        log.entries.append(LogEntry(new_ulid(), {"event": "corrected", "image_id": "x", "label": label, "time": time}))
    state = log.state()
    assert state.history("x")["time"].notna().tolist()[0]
    assert state.conflict_table()["says"].tolist() == ["cat", "dog"]
    assert state.provenance["event"].to_pylist() == ["corrected"]


@pytest.mark.parametrize("base", [[None], {"a": 1}, 7, True])
def test_a_revision_that_is_none_counts_as_not_seen(base: object) -> None:
    log = WrittenLog(class_names=("cat", "dog"))
    log.say("class_renamed", label="cat", new="lynx", base=base)
    assert log.state().class_names == ("lynx", "dog")


def test_columns_that_do_not_fit_together_become_text() -> None:
    log = WrittenLog()
    log.imported({"x": None}, year=[2001], place=[1.5])
    log.imported({"y": None}, year=["old"], place=[2])
    state = log.state()
    assert state.table["year"].to_pylist() == ["2001", "old"]
    assert state.table["place"].to_pylist() == [1.5, 2.0]


def test_labels_are_checked() -> None:
    log = WrittenLog()
    log.say("uploaded", "x", "cat")
    log.state().require_classes(["cat"])
    with pytest.raises(UnknownClassError, match=r"classes\.add\('dog'\)"):
        log.state().require_classes(["cat", "dog"])


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
        {"event": "corrected", "image_id": "x"},
        {"event": "corrected", "image_id": "x", "label": 7},
        {"event": "uploaded", "image_id": "x", "label": "cat"},
        {"event": "uploaded", "image_id": "x", "uri": "u", "label": None, "width": [1]},
        {"event": "imported"},
        {"event": "imported", "file": "0", "class_names": 7},
        {"event": "deleted"},
        {"event": "moved", "group": "g"},
        {"event": "undone"},
        {"event": "undone", "undoes": "x"},
        {"event": "class_renamed", "label": "cat"},
        {"event": "class_merged", "label": "cat", "into": ["dog"]},
        {"event": "frozen", "dataset": "00"},
    ],
)
def test_entries_that_are_not_understood_are_named(said: dict) -> None:
    log = WrittenLog()
    log.imported({"x": None})
    entry = LogEntry(new_ulid(), said)
    with pytest.raises(StorageError, match=entry.id):
        fold(log_table([*log.entries, entry]), read_file=log.tables.__getitem__)


def test_a_damaged_suggestion_is_named_when_it_is_looked_at() -> None:
    log = WrittenLog()
    log.imported({"x": None})
    entry = log.say("suggested", model="1")
    with pytest.raises(StorageError, match=entry):
        _ = log.state().suggestions


def test_the_fold_is_a_replay() -> None:
    chance = random.Random(0)
    for _ in range(60):
        log, labels, spoken, deleted = WrittenLog(), {}, set(), set()
        for _ in range(12):
            image_id = chance.choice("abcde")
            label = chance.choice(["cat", "dog", None])
            event = chance.choice(["imported", "uploaded", "corrected", "accepted", "deleted", "restored"])
            if event == "imported":
                rows = {name: chance.choice(["cat", "dog", None]) for name in "abc"}
                log.imported(rows, "cat", "dog")
                for name, own in rows.items():
                    if name not in spoken:
                        labels[name] = own if own is not None else labels.get(name)
            elif event == "uploaded":
                log.say(event, image_id, label)
                deleted.discard(image_id)
                labels.setdefault(image_id, None)
                if label is not None:  # an upload without a label says nothing about it
                    labels[image_id] = label
                    spoken.add(image_id)
            elif image_id in labels and event in {"deleted", "restored"}:
                log.say(event, image_id)
                (deleted.add if event == "deleted" else deleted.discard)(image_id)
            elif image_id in labels:
                log.say(event, image_id, label)
                labels[image_id] = label
                spoken.add(image_id)
        assert log.said() == {image_id: label for image_id, label in labels.items() if image_id not in deleted}


def test_a_million_images_with_a_million_corrections() -> None:
    count = 1_000_000
    ids = pa.array([f"{number:032d}" for number in range(count)])
    start, texts = new_ulid(), {"event": "corrected", "label": "dog", "author": "ann", "time": "2026-01-01T00:00:00Z"}
    table = pa.table(dict.fromkeys(("image_id", "uri", "group"), ids))
    table = table.append_column("split", pa.array(["train"]).take(pa.array([0] * count)))
    table = table.append_column("label", pa.array(["cat"]).take(pa.array([0] * count)))
    first = log_table([(start, {**texts, "event": "imported", "file": "0", "class_names": ["cat", "dog"]})])
    many = {name: pa.array([text]).take(pa.array([0] * count)) for name, text in {**texts, "base": start}.items()}
    entries = pa.array([f"7{number:025d}" for number in range(count)])
    words = pa.table({"entry": entries, "image_id": ids, **many, "rest": pa.nulls(count, pa.large_string())})
    state = fold(pa.concat_tables([first, words], promote_options="default"), read_file={"0": table}.__getitem__)
    assert state.table["label"].value_counts().to_pylist() == [{"values": "dog", "counts": count}]
    assert state.revisions([ids[0].as_py(), ids[-1].as_py()]) == [entries[0].as_py(), entries[-1].as_py()]
    assert state.counts()["corrected"] == count
