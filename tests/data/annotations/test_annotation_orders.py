"""Whatever was said by whomever in whatever order of arrival: one state, the same for every reader; by hypothesis."""

from __future__ import annotations

import uuid
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from log_entries import WrittenLog
from onlineml.data.annotations import heads, resolve
from onlineml.data.annotations.state import Annotations, fold
from onlineml.storage import io
from onlineml.storage.log import log as storage_log
from onlineml.storage.log.log import AppendLog, LogEntry, new_ulid
from onlineml.storage.log.table import table_of, to_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IMAGES, CLASSES = ("a", "b", "c"), ("cat", "dog", "owl")
BOXES = [([[0.0, 0.0, 4.0, 4.0]], [name]) for name in CLASSES] + [([], []), None]
VALUES: dict[str, list[Any]] = {
    "classification": [*CLASSES, None],
    "detection": BOXES,
    "multilabel": [["cat"], ["cat", "dog"], ["owl"], [], None],
}

EVENTS = (
    "corrected",
    "accepted",
    "uploaded",
    "added",
    "removed",
    "undone",
    "deleted",
    "restored",
    "skipped",
    "moved",
    "imported",
    "suggested",
    "frozen",
    "look",
    "class_added",
    "class_renamed",
    "class_merged",
    "class_split",
)
ACTIONS = st.lists(
    st.tuples(
        st.integers(0, 2),  # who
        st.sampled_from(EVENTS),
        st.sampled_from(IMAGES),
        st.integers(0, 5),  # which label, box, class, entry to undo
        st.integers(0, 9),  # which of several, once more
    ),
    max_size=18,
)


def written(actions: list[tuple[int, str, str, int, int]], task: str) -> WrittenLog:
    """A log by three people who each see what they wrote, and all else only when they look."""
    log = WrittenLog(task, class_names=CLASSES)
    values = VALUES[task]
    log.imported({name: values[number] for number, name in enumerate(IMAGES)}, *CLASSES)
    views: list[list[LogEntry]] = [list(log.entries) for _ in range(3)]
    for who, event, image, number, more in actions:
        if event == "look":
            views[who] = list(log.entries)
            continue
        if event == "undone":
            log.say(event, undoes=[views[who][-1 - number % len(views[who])].id])
        else:
            _act(log, log.state(views[who]), (event, image, number, more))
        views[who].append(log.entries[-1])
    return log


def _act(log: WrittenLog, seen: Annotations, action: tuple[str, str, int, int]) -> None:
    event, image, number, more = action
    values = VALUES[log.task]
    event = "corrected" if event in {"added", "removed"} and log.task != "multilabel" else event
    base, name, other = seen.revision(image), f"class {number}" if more > 6 else CLASSES[number % 3], CLASSES[more % 3]
    value = values[number % len(values)]
    if event in {"corrected", "accepted", "uploaded"}:
        silent = event == "uploaded" and (value is None or more == 0)
        log.say(
            event, image, *([] if silent else [value]), base=base, **({"group": "g"} if event == "uploaded" else {})
        )
    elif event in {"added", "removed"}:
        log.say(event, image, [name, other], base=base)
    elif event == "moved":
        log.say(event, group=image, split=["train", "val", "test"][number % 3], reason="why", base=None)
    elif event == "imported":
        log.imported({name: values[(number + i) % len(values)] for i, name in enumerate(IMAGES[: 1 + more % 3])}, name)
    elif event == "suggested" and log.task == "detection":
        boxes, labels = value or ([], [])
        log.suggested(name, image_id=[image], boxes_xyxy=[boxes], labels=[labels], scores=[[0.5] * len(labels)])
    elif event == "suggested" and log.task == "multilabel":
        log.suggested(name, image_id=[image], labels=[value or []], scores=[[0.5] * len(value or [])])
    elif event == "suggested":
        log.suggested(name, image_id=[image], label=[value or other], score=[0.5])
    elif event.startswith("class_"):
        into = [name, other] if event == "class_split" else name
        further = {} if event == "class_added" else {"new": name} if event == "class_renamed" else {"into": into}
        label = name if event == "class_added" else other
        log.say(event, label=label, base=seen.folded.classes.revision(label), **further)
    elif event == "frozen":
        log.say(event, dataset=f"{number}", classes=seen.folded.classes.first_names)
    else:
        log.say(event, image, base=base)


def fingerprint(state: Annotations) -> dict[str, Any]:
    return {
        "table": state.table.to_pylist(),
        "deleted": state.deleted.to_pylist(),
        "classes": dict(zip(state.class_names, state.class_ids, strict=True)),
        "lineage": dict(state.lineage),
        "bases": state.revisions(IMAGES),
        "conflicts": dict(state.conflicts),
        "disputed": {image: state.disputed_labels(image) for image in IMAGES},
        "shown": state.conflict_table().to_numpy().tolist(),
        "suggestions": state.suggestions.to_pylist(),
        "provenance": state.provenance.to_pylist(),
        "counts": state.counts(),
        "frozen": dict(state.folded.frozen),
    }


@pytest.mark.parametrize("task", VALUES)
@given(actions=ACTIONS, cuts=st.lists(st.integers(0, 30), max_size=6), data=st.data())
@settings(max_examples=20)
def test_the_state_depends_on_what_was_said_alone(
    task: str, actions: list, cuts: list[int], data: st.DataObject
) -> None:
    """Objects of any size and form, in any order, some of them twice, read whole or piece by piece."""
    log = written(actions, task)
    expected = fingerprint(log.state())
    places = sorted({0, *(cut % (len(log.entries) + 1) for cut in cuts), len(log.entries)})
    pieces = [log.entries[start:end] for start, end in pairwise(places)]
    pieces += data.draw(st.lists(st.sampled_from(pieces), max_size=2))  # a checkpoint and what it holds
    root = f"memory://test-{uuid.uuid4().hex}"
    kept = AppendLog(root)
    for piece in data.draw(st.permutations(pieces)):
        form = data.draw(st.sampled_from(["lines", "table", "checkpoint"]))
        _store(root, piece, form)
        if data.draw(st.booleans()):
            kept.table()
        if data.draw(st.integers(0, 4)) == 0:
            AppendLog(root).compact()
    assert [entry.id for entry in kept.read()] == [entry.id for entry in log.entries]
    for reader in (kept, AppendLog(root)):
        state = fold(reader.table(), class_names=CLASSES, read_file=log.tables.__getitem__, task=task)
        assert fingerprint(state) == expected
    fsspec.filesystem("memory").rm(root.removeprefix("memory://"), recursive=True)


def _store(root: str, piece: list[LogEntry], form: str) -> None:
    name = new_ulid()
    if form == "lines":
        io.write_bytes(io.join(root, f"{name}.jsonl"), storage_log._lines(piece, holds=()))
    else:
        prefix = "checkpoint-" if form == "checkpoint" else ""
        io.write_bytes(io.join(root, f"{prefix}{name}.parquet"), to_parquet(table_of(piece)))


@pytest.mark.parametrize("task", VALUES)
@given(actions=ACTIONS)
@settings(max_examples=20)
def test_many_at_once_and_one_by_one_give_the_same(task: str, actions: list) -> None:
    log = written(actions, task)
    expected = fingerprint(log.state())
    quick = heads.latest

    def none_is_plain(codes: Any, entries: Any, bases: Any, places: Any) -> Any:
        found = quick(codes, entries, bases, places)
        own = {int(code): places[codes == code] for code in found.codes}
        return heads.Latest(found.codes, found.places, own)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve, "latest", none_is_plain)
        assert fingerprint(log.state()) == expected


@given(actions=ACTIONS)
@settings(max_examples=50)
def test_who_prevails_and_who_contradicts_whom(actions: list) -> None:
    """Against a plain search through everything that each entry's author had seen."""
    log = written(actions, "classification")
    state = log.state()
    alive = _alive(log.entries)
    by_id = {entry.id: entry.record for entry in log.entries}
    expected_labels, expected_conflicts = {}, {}
    for image in IMAGES:
        said = [one for one in log.entries if one.id in alive and _says(one.record, image)]
        if not said:
            continue
        seen = set().union(*(_ancestors(one.id, by_id) for one in said))
        heads = [one for one in said if one.id not in seen]
        labels = {_present(state, one.record["label"]) for one in heads}
        expected_labels[image] = _present(state, heads[-1].record["label"])
        if len(labels) > 1:
            expected_conflicts[image] = tuple(one.id for one in heads)
    rows = {row["image_id"]: row["label"] for row in [*state.table.to_pylist(), *state.deleted.to_pylist()]}
    assert {image: rows[image] for image in expected_labels if image in rows} == {
        image: label for image, label in expected_labels.items() if image in rows
    }
    there = set(state.table["image_id"].to_pylist())
    assert {k: v for k, v in state.conflicts.items() if k in there} == {
        k: v for k, v in expected_conflicts.items() if k in there
    }


def _says(record: dict[str, Any], image: str) -> bool:
    own = record.get("image_id") == image and record["event"] in {"corrected", "accepted", "uploaded"}
    return own and not (record["event"] == "uploaded" and record["label"] is None)


@given(actions=ACTIONS)
@settings(max_examples=50)
def test_sets_of_labels_label_by_label(actions: list) -> None:
    """Each label as its own question, against a plain search through everything that each entry's author had seen."""
    log = written(actions, "multilabel")
    state = log.state()
    by_id = {entry.id: entry.record for entry in log.entries}
    alive = _alive(log.entries)
    rows = {row["image_id"]: row["labels"] for row in state.table.to_pylist()}
    for image, found in rows.items():
        own = [one for one in log.entries if one.id in alive and one.record.get("image_id") == image]
        claims = [one for one in own if one.record["event"] in SET_EVENTS and not _is_silent(one.record)]
        imported = [one.record for one in log.entries if one.id in alive and one.record["event"] == "imported"]
        before = _imported(log, imported, image)
        names = {_present(state, name) for one in claims for name in one.record["labels"] or ()}
        expected, disputed = set(), []
        for name in names:
            about = [one for one in claims if name in _answers(state, one.record, names)]
            seen = set().union(*(_ancestors(one.id, by_id) for one in about))
            heads = [one for one in about if one.id not in seen]
            answers = [_answers(state, one.record, names)[name] for one in heads]
            expected |= {name} if answers[-1] else set()
            disputed += [name] if len(set(answers)) > 1 else []
        if not any(_is_whole(one.record) for one in claims):
            expected |= {_present(state, name) for name in before or ()} - names
        assert set(found or ()) == expected
        assert found is None or found == sorted(set(found))
        assert set(state.disputed_labels(image)) == set(disputed)


SET_EVENTS = {"corrected", "accepted", "uploaded", "added", "removed"}


def _is_whole(record: dict[str, Any]) -> bool:
    return record["event"] not in {"added", "removed"}


def _is_silent(record: dict[str, Any]) -> bool:
    return record["event"] == "uploaded" and record.get("labels") is None


def _answers(state: Annotations, record: dict[str, Any], names: Iterable[str]) -> dict[str, bool]:
    own = {_present(state, name) for name in record["labels"] or ()}
    return (
        {name: name in own for name in names} if _is_whole(record) else dict.fromkeys(own, record["event"] == "added")
    )


def _imported(log: WrittenLog, records: list[dict[str, Any]], image: str) -> list[str] | None:
    found = None
    for record in records:
        for row in log.tables[record["file"]].to_pylist():
            if row["image_id"] == image and row["labels"] is not None:
                found = row["labels"]
    return found


def _alive(entries: list[LogEntry]) -> set[str]:
    def undone(entry: LogEntry) -> bool:
        later = (one for one in entries if one.id > entry.id and one.record["event"] == "undone")
        return any(entry.id in one.record["undoes"] and not undone(one) for one in later)

    return {entry.id for entry in entries if not undone(entry)}


def _ancestors(entry: str, by_id: dict[str, dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for base in (by_id[entry].get("base") or "").split() if entry in by_id else ():
        if by_id.get(base, {}).get("event") in SET_EVENTS:
            found |= {base} | _ancestors(base, by_id)
    return found


def _present(state: Annotations, label: str | None) -> str | None:
    return None if label is None else state.lineage.get(label, label)


@given(actions=ACTIONS)
@settings(max_examples=40)
def test_every_label_is_a_class_and_ids_stay(actions: list) -> None:
    log = written(actions, "classification")
    known: dict[str, int] = {}
    for n in range(1, len(log.entries) + 1):
        state = log.state(log.entries[:n])
        ids = {first: number for number, first in enumerate(state.folded.classes.first_names, start=1)}
        assert {first: ids[first] for first in known} == known  # whoever comes later comes behind
        known = ids
        labels = {row["label"] for row in [*state.table.to_pylist(), *state.deleted.to_pylist()]} - {None}
        assert labels <= set(state.class_names)
        assert list(state.class_ids) == sorted(set(state.class_ids))
        assert set(state.lineage.values()) <= set(state.folded.classes.first_names) | set(_ever_named(log.entries))
        assert not set(state.lineage) & set(state.class_names)


def _ever_named(entries: Iterable[LogEntry]) -> Iterator[str]:
    for entry in entries:
        if entry.record["event"] == "class_renamed":
            yield entry.record["new"]


@given(changes=st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_classes_changed_by_one_person_are_what_renaming_each_label_gives(changes: list) -> None:
    names = [f"class {number}" for number in range(4)]
    log = WrittenLog(class_names=tuple(names))
    labels = {name: name for name in names}
    log.imported(labels, *names)
    for merge, first, second in changes:
        there = sorted(set(labels.values()))
        old, other = there[first % len(there)], there[second % len(there)]
        base = log.state().folded.classes.revision(old)
        if merge and old != other:
            log.say("class_merged", label=old, into=other, base=base)
            labels = {image: other if label == old else label for image, label in labels.items()}
        elif not merge:
            new = f"name {len(log.entries)}"
            log.say("class_renamed", label=old, new=new, base=base)
            labels = {image: new if label == old else label for image, label in labels.items()}
    assert log.said() == labels
    assert not log.state().folded.classes.conflicts
    assert set(log.state().class_names) == set(labels.values())
