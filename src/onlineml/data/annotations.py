"""What is said about a project's images, and by whom: facts in an append-only log, and the state that they add up to.

A record is a plain dictionary with an ``event``:

- ``imported``: ``file`` (a Parquet table of many images, beside the log), ``class_names``, ``n``;
- ``uploaded``: ``image_id``, ``uri``, ``sha256``, ``width``, ``height``, ``split``, ``group``, ``label``, ``base``;
- ``corrected``: ``image_id``, ``label``, ``base``; - ``deleted``: ``image_id``, ``base``;
- ``class_added``: ``label``.

Where the task is detection, ``uploaded`` (if somebody said where the objects are) and ``corrected`` have
``boxes_xyxy`` and ``labels`` in place of the label, and ``further``: lists by column, with a value a box.

Each has ``author`` and ``time`` (ISO, UTC). ``base`` is the id of the entry that its writer saw as the image's state.
Nothing is overwritten: what a person said about an image outlasts whatever is imported later, splits and groups are
those of an image's first entry, and of two people the later one prevails, the earlier one staying in the log. An
upload without a label, or without boxes, says nothing about an image that is there already.
"""

from __future__ import annotations

import io as _io
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onlineml.data._annotation_facts import Facts
from onlineml.data._manifest_boxes import BOX_COLUMNS, per_box_columns
from onlineml.data._manifest_schema import COLUMNS
from onlineml.data.splits import SPLITS
from onlineml.errors import DataError, StorageError, UnknownClassError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.data._annotation_facts import Spoken
    from onlineml.storage.log import LogEntry

__all__ = ["Annotations", "fold", "parquet_bytes", "parquet_table", "record"]

_UPLOADED = pa.schema(list(COLUMNS.items()))
_UPLOADED_BOXES = pa.schema([*COLUMNS.items(), *BOX_COLUMNS.items()])


def record(event: str, *, author: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """One fact to be appended."""
    return {"event": event, **facts, "author": author, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}


@dataclass(frozen=True, eq=False)
class Annotations:
    """The state of a project's images after all entries of its log.

    Attributes:
        table: a row per image that is not deleted, with the columns of a manifest.
        class_names: in the order in which they came; none is ever removed or moved.
        bases: the entry that each row's state stands on, in the order of the rows.
        conflicts: by image_id, the ids of entries that gave one image different labels or boxes without having seen
            each other, until somebody who has seen them settles it.
    """

    table: pa.Table
    class_names: tuple[str, ...]
    bases: npt.NDArray[np.object_]
    conflicts: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {image_id: row for row, image_id in enumerate(self.table["image_id"].to_pylist())}

    def base(self, image_id: str) -> str | None:
        """The id of the entry that the image's state stands on; None for an image that is not there."""
        row = self._rows.get(image_id)
        return None if row is None else str(self.bases[row])

    def row(self, image_id: str) -> dict[str, Any]:
        """What is known of one image, by column; empty for an image that is not there."""
        place = self._rows.get(image_id)
        return {} if place is None else dict(self.table.slice(place, 1).to_pylist()[0])

    def splits_of_groups(self, groups: Sequence[str]) -> dict[str, str]:
        """The split that each of the groups has; a group in several counts as test before val before train."""
        mask = pc.is_in(self.table["group"], pa.array(groups, pa.string()))
        found = self.table.filter(mask).select(["group", "split"]).to_pylist()
        return {row["group"]: row["split"] for wanted in SPLITS for row in found if row["split"] == wanted}

    def check(self, labels: Mapping[str, str | Sequence[str] | None]) -> None:
        """Refuse labels, of images or of their boxes, for images or of classes that are not there.

        Raises:
            DataError: an image is not in the project.
            UnknownClassError: a label is none of the classes.
        """
        missing = [image_id for image_id in labels if image_id not in self._rows]
        if missing:
            raise DataError(f"{len(missing)} images are not in the project, or were deleted: {_shown(missing)}")
        for image_id, said in labels.items():
            for label in [said] if isinstance(said, str) else said or ():
                if label not in self.class_names:
                    raise UnknownClassError(
                        f"label {label!r} of {image_id} is not one of the {len(self.class_names)} classes "
                        f"({_shown(self.class_names)}); add it with project.add_class({label!r})"
                    )


def fold(
    entries: Iterable[LogEntry],
    *,
    class_names: Sequence[str] = (),
    read_import: Callable[[str], pa.Table],
    task: str = "classification",
) -> Annotations:
    """Add up a log.

    Args:
        entries: of the annotation log, in its order.
        class_names: those that the project began with.
        read_import: gives the table of an import by its ``file``.
        task: ``"classification"``: an image has a label; ``"detection"``: it has boxes.

    Raises:
        StorageError: an entry is not of an annotation log, or of a later version's.
    """
    boxes = task == "detection"
    facts = Facts(boxes=boxes)
    facts.class_names.update(dict.fromkeys(class_names))
    for entry in entries:
        facts.add(entry)
    tables = [read_import(file) for _, file in facts.imports]
    sources = [entry for (entry, _), table in zip(facts.imports, tables, strict=True) for _ in range(len(table))]
    if facts.uploads or not tables:
        schema = _UPLOADED_BOXES if boxes else _UPLOADED
        tables.append(pa.Table.from_pylist([row for _, row in facts.uploads], schema=schema))
        sources += [entry for entry, _ in facts.uploads]
    whole = _concatenated(tables)
    said = per_box_columns(whole) if boxes else ["label"]
    table, bases = _one_row_each(whole, np.array(sources, dtype=object), said)
    table, bases = _without(table, bases, facts.deleted)
    table, bases = _with_spoken(table, bases, facts.spoken, said)
    conflicts = {image_id: one.rivals for image_id, one in facts.spoken.items() if one.rivals}
    return Annotations(table, tuple(facts.class_names), bases, conflicts)


def _one_row_each(table: pa.Table, bases: npt.NDArray[Any], said: Sequence[str]) -> tuple[pa.Table, npt.NDArray[Any]]:
    """The first row of each image, with what its last row that says anything has in the columns `said`."""
    codes = table["image_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    values, first = np.unique(codes, return_index=True)
    if len(values) == len(codes):
        return table, bases
    labelled = np.flatnonzero(table["boxes_xyxy" if "boxes_xyxy" in said else "label"].is_valid().to_numpy())
    last = np.full(len(values), -1)
    last[codes[labelled]] = labelled  # of several writes to one place the last one stays
    first = np.sort(first)
    source = np.where(last[codes[first]] >= 0, last[codes[first]], first)
    kept = table.take(pa.array(first))
    for name in said:
        kept = kept.set_column(kept.column_names.index(name), name, table[name].take(pa.array(source)))
    return kept, bases[source]


def _without(table: pa.Table, bases: npt.NDArray[Any], deleted: Collection[str]) -> tuple[pa.Table, npt.NDArray[Any]]:
    if not deleted:
        return table, bases
    kept = ~pc.is_in(table["image_id"], pa.array(list(deleted), pa.string())).to_numpy()
    return table.filter(pa.array(kept)), bases[kept]


def _with_spoken(
    table: pa.Table, bases: npt.NDArray[Any], spoken: Mapping[str, Spoken], said: Sequence[str]
) -> tuple[pa.Table, npt.NDArray[Any]]:
    if not spoken:
        return table, bases
    people = list(spoken.values())
    places = pc.index_in(table["image_id"], value_set=pa.array(list(spoken), pa.string()))
    rows = np.flatnonzero(places.is_valid().to_numpy())
    chosen = [people[place] for place in places.drop_null().to_pylist()]
    bases = bases.copy()
    bases[rows] = np.array([one.entry for one in chosen], dtype=object)
    source = np.arange(len(table))
    source[rows] = len(table) + np.arange(len(rows))
    for name in said:
        column = table[name]
        values = pa.array([one.values.get(name) for one in chosen], column.type)
        joined = pa.concat_arrays([*column.chunks, values]).take(pa.array(source))
        table = table.set_column(table.column_names.index(name), name, joined)
    return table, bases


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    """One table of all columns; a further column whose types do not fit together becomes text."""
    for name in {name for table in tables for name in table.column_names}:
        fields = [pa.schema([table.schema.field(name)]) for table in tables if name in table.column_names]
        try:
            pa.unify_schemas(fields, promote_options="permissive")
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            tables = [_as_text(table, name) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _as_text(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names:
        return table
    texts = pa.array([None if value is None else str(value) for value in table[name].to_pylist()], pa.string())
    return table.set_column(table.column_names.index(name), name, texts)


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as the content of a Parquet file; the same table gives the same bytes."""
    sink = _io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def parquet_table(data: bytes, *, name: str) -> pa.Table:
    """The table in a Parquet file.

    Raises:
        StorageError: it is none.
    """
    try:
        return pq.read_table(pa.BufferReader(data)).replace_schema_metadata(None)
    except pa.ArrowInvalid as err:
        raise StorageError(f"{name} is not a Parquet table: {err}") from err


def _shown(names: Iterable[str]) -> str:
    return ", ".join(_first(names)) or "none yet"


def _first(names: Iterable[str], limit: int = 8) -> Iterator[str]:
    for number, name in enumerate(names):
        if number == limit:
            yield "…"
            return
        yield repr(name)
