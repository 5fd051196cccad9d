"""Reports from a log: the history of an image, conflicts, and the origin of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.annotations.entries import mask_of
from onlineml.storage.log.table import ENTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pandas as pd

    from onlineml.data.annotations.entries import Entries, Rows
    from onlineml.data.annotations.fold import Folded

__all__ = ["conflict_rows", "history_rows", "parsed_times", "provenance_of"]


def provenance_of(folded: Folded) -> pa.Table:
    """See `onlineml.data.annotations.Annotations.provenance`."""
    entries, places = folded.entries, folded.images.places
    return pa.table(
        {
            "image_id": folded.images.table["image_id"],
            "event": entries.texts("event", places),
            "author": entries.texts("author", places),
            "time": _times(entries, places),
            "model": entries.texts("model", places),
            "entry": entries.ids(places),
        }
    )


def _times(entries: Entries, rows: Rows) -> Any:
    texts = entries.texts("time", rows)
    try:
        return texts.cast(pa.timestamp("ms", "UTC"))
    except pa.ArrowInvalid:
        return pa.array(parsed_times(texts.to_pylist()), pa.timestamp("ms", "UTC"), from_pandas=True)


def parsed_times(values: Sequence[Any]) -> pd.Series[Any]:
    """Return times of entries, in UTC; NaT for what is none, since one entry must not make others unreadable."""
    import pandas as pd  # noqa: PLC0415 (slow to import)

    texts = pd.Series([value if isinstance(value, str) else None for value in values], dtype=object)
    return pd.to_datetime(texts, utc=True, format="ISO8601", errors="coerce")


# ---- history ----


def history_rows(folded: Folded, image_id: str, read_file: Callable[[str], pa.Table]) -> list[dict[str, Any]]:
    """See `onlineml.data.annotations.Annotations.history`."""
    entries = folded.entries
    about = np.flatnonzero(mask_of(pc.equal(entries.texts("image_id"), image_id)))
    records = {int(row): record for row, record in zip(about, entries.records(about), strict=True)}
    for row in entries.rows("imported", "suggested", live=False):
        table = read_file(entries.text_of(row, "file"))
        place = pc.index(table["image_id"], pa.scalar(image_id, pa.string())).as_py()
        if place >= 0:
            records[int(row)] = {**table.slice(place, 1).to_pylist()[0], **entries.record(row)}
    if not records:
        return []
    records |= _of_group(folded, image_id) | _of_classes(folded, records)
    return _shown(folded, records)


def _of_group(folded: Folded, image_id: str) -> dict[int, dict[str, Any]]:
    """The moves of an image's group to other splits."""
    groups = [images.table["group"] for images in (folded.images, folded.deleted)]
    ids = [images.table["image_id"] for images in (folded.images, folded.deleted)]
    own = {
        group[place].as_py()
        for group, column in zip(groups, ids, strict=True)
        if (place := pc.index(column, pa.scalar(image_id, pa.string())).as_py()) >= 0
    }
    moves = folded.entries.rows("moved", live=False)
    records = zip(moves, folded.entries.records(moves), strict=True)
    return {int(row): record for row, record in records if record.get("group") in own}


def _of_classes(folded: Folded, records: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the records that renamed or merged the classes that the image ever had."""
    present = folded.classes.present
    had = {
        present(name) for record in records.values() for name in [record.get("label"), *(record.get("labels") or ())]
    }
    changes = folded.entries.rows("class_renamed", "class_merged", live=False)
    records_of = zip(changes, folded.entries.records(changes), strict=True)
    return {int(row): record for row, record in records_of if present(record["label"]) in had - {None}}


def _shown(folded: Folded, records: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    entries = folded.entries
    ids = {entries.entry(row): row for row in records}
    undone: dict[str, str] = {}
    for row in entries.rows("undone", live=False):
        record = entries.record(row)
        targets = [entry for entry in record["undoes"] if entry in ids or entry in undone]
        if targets:
            records.setdefault(int(row), record)
            ids[entries.entry(row)] = row
            undone |= {
                entry: record.get("author", "?")
                for entry in targets
                if entries.live[row] and not entries.live[ids[entry]]
            }
    return [
        {
            "time": record.get("time"),
            "event": record["event"],
            "says": _in_words(folded, record),
            "author": record.get("author", "?"),
            "undone": undone.get(entries.entry(row), ""),
            "entry": entries.entry(row),
            "base": record.get("base") or "",
        }
        for row, record in sorted(records.items())
    ]


# ---- conflicts ----


def conflict_rows(folded: Folded, of_images: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """See `onlineml.data.annotations.Annotations.conflict_table`."""
    entries = folded.entries
    every = {"image": of_images, "class": folded.classes.conflicts, "group": folded.split_conflicts}
    named = pa.array([entry for kind in every.values() for rivals in kind.values() for entry in rivals], pa.string())
    rows = pc.index_in(named, value_set=entries.log[ENTRY]).to_numpy(zero_copy_only=False).astype(np.int64)
    records = dict(zip(named.to_pylist(), entries.records(rows), strict=True))
    return [
        {
            "about": kind,
            "name": name,
            "says": _in_words(folded, records[entry]),
            "author": records[entry].get("author", "?"),
            "time": records[entry].get("time"),
            "prevails": entry in prevailing,
            "entry": entry,
        }
        for kind, found in every.items()
        for name, rivals in found.items()
        for prevailing in [_prevailing(folded, kind, name, rivals, records)]
        for entry in rivals
    ]


def _prevailing(
    folded: Folded, about: str, name: str, rivals: Sequence[str], records: Mapping[str, Mapping[str, Any]]
) -> Collection[str]:
    """The last entry (of an image, for each label); a deletion prevails over entries that its author had not seen."""
    if about == "image" and name in folded.rivalries:
        return folded.rivalries[name].prevailing
    return {max(rivals, key=lambda entry: (records[entry]["event"] == "deleted", entry))}


# ---- texts ----


def _in_words(folded: Folded, record: Mapping[str, Any]) -> str:
    """Return the content of a record, except its event, as text."""
    match record["event"]:
        case "moved":
            return f"{record['split']}: {record.get('reason', '')}"
        case "class_renamed":
            return f"{record['label']} is called {record['new']}"
        case "class_merged":
            return f"{record['label']} is part of {record['into']}"
        case "class_added" | "class_split":
            return str(record["label"])
        case "suggested":
            return f"{folded.kind.in_words(record)} by model {record['model']}"
        case "deleted" | "restored" | "skipped":
            return str(record["event"])
        case "undone":
            return f"undid {', '.join(record['undoes'])}"
        case _:
            return folded.kind.in_words(record)
