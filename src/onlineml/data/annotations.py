"""What is said about a project's images, and by whom: facts in an append-only log, and the state that they add up to.

A record is a plain dictionary with an ``event``:

- ``imported``: ``file`` (a Parquet table of many images, beside the log), ``class_names``, ``n``;
- ``uploaded``: ``image_id``, ``uri``, ``sha256``, ``width``, ``height``, ``split``, ``group``, ``label``;
- ``corrected``: ``image_id``, ``label``, ``base``; - ``deleted``: ``image_id``, ``base``;
- ``class_added``: ``label``.

Each has ``author`` and ``time`` (ISO, UTC). ``base`` is the id of the entry that its writer saw as the image's state.
Nothing is overwritten: what a person said about an image outlasts whatever is imported later, splits and groups are
those of an image's first entry, and of two people the later one prevails, the earlier one staying in the log.
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

from onlineml.data._manifest_schema import COLUMNS
from onlineml.data.splits import SPLITS
from onlineml.errors import DataError, StorageError, UnknownClassError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from onlineml.storage.log import LogEntry

__all__ = ["Annotations", "fold", "parquet_bytes", "parquet_table", "record"]

_UPLOADED = pa.schema(list(COLUMNS.items()))


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
        conflicts: by image_id, the ids of entries that corrected one image from the same state to different labels,
            until a later correction settles it.
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

    def splits_of_groups(self, groups: Sequence[str]) -> dict[str, str]:
        """The split that each of the groups has; a group in several counts as test before val before train."""
        mask = pc.is_in(self.table["group"], pa.array(groups, pa.string()))
        found = self.table.filter(mask).select(["group", "split"]).to_pylist()
        return {row["group"]: row["split"] for wanted in SPLITS for row in found if row["split"] == wanted}

    def check(self, labels: Mapping[str, str | None]) -> None:
        """Refuse labels for images or of classes that are not there.

        Raises:
            DataError: an image is not in the project.
            UnknownClassError: a label is none of the classes.
        """
        missing = [image_id for image_id in labels if image_id not in self._rows]
        if missing:
            raise DataError(f"{len(missing)} images are not in the project, or were deleted: {_shown(missing)}")
        for image_id, label in labels.items():
            if label is not None and label not in self.class_names:
                raise UnknownClassError(
                    f"label {label!r} of {image_id} is not one of the {len(self.class_names)} classes "
                    f"({_shown(self.class_names)}); add it with project.add_class({label!r})"
                )


@dataclass
class _Spoken:
    """What people said about one image so far: its label, the entry that said so, and those it contradicts."""

    label: str | None
    entry: str
    base: str | None
    rivals: tuple[str, ...] = ()


class _Facts:
    """What the log says, gathered in one pass in the order of its entries."""

    def __init__(self) -> None:
        self.imports: list[tuple[str, str]] = []  # entry id, file
        self.uploads: list[tuple[str, dict[str, Any]]] = []
        self.spoken: dict[str, _Spoken] = {}
        self.deleted: dict[str, str] = {}
        self.class_names: dict[str, None] = {}

    def add(self, entry: LogEntry) -> None:
        said = entry.record
        handler = getattr(self, f"_{said.get('event')}", None)
        if handler is None:
            raise StorageError(
                f"entry {entry.id} of the annotations has the event {said.get('event')!r}, which this version of "
                "onlineml does not know; update onlineml"
            )
        try:
            handler(entry.id, said)
        except KeyError as err:
            raise StorageError(f"entry {entry.id} of the annotations ({said['event']}) lacks {err}") from err

    def _imported(self, entry: str, said: Mapping[str, Any]) -> None:
        self.imports.append((entry, said["file"]))
        self.class_names.update(dict.fromkeys(said["class_names"]))

    def _uploaded(self, entry: str, said: Mapping[str, Any]) -> None:
        self.uploads.append((entry, {name: said.get(name) for name in COLUMNS}))
        if said["label"] is not None:
            self.class_names[said["label"]] = None
        self.deleted.pop(said["image_id"], None)  # a person brought it back
        self._corrected(entry, said)

    def _corrected(self, entry: str, said: Mapping[str, Any]) -> None:
        image_id, label, base = said["image_id"], said["label"], said.get("base")
        before = self.spoken.get(image_id)
        rivals: tuple[str, ...] = ()
        if before is not None and base == before.base and label != before.label:
            rivals = (*(before.rivals or (before.entry,)), entry)
        self.spoken[image_id] = _Spoken(label, entry, base, rivals)

    def _deleted(self, entry: str, said: Mapping[str, Any]) -> None:
        self.deleted[said["image_id"]] = entry

    def _class_added(self, _entry: str, said: Mapping[str, Any]) -> None:
        self.class_names[said["label"]] = None


def fold(
    entries: Iterable[LogEntry], *, class_names: Sequence[str] = (), read_import: Callable[[str], pa.Table]
) -> Annotations:
    """Add up a log.

    Args:
        entries: of the annotation log, in its order.
        class_names: those that the project began with.
        read_import: gives the table of an import by its ``file``.

    Raises:
        StorageError: an entry is not of an annotation log, or of a later version's.
    """
    facts = _Facts()
    facts.class_names.update(dict.fromkeys(class_names))
    for entry in entries:
        facts.add(entry)
    tables = [read_import(file) for _, file in facts.imports]
    sources = [entry for (entry, _), table in zip(facts.imports, tables, strict=True) for _ in range(len(table))]
    if facts.uploads or not tables:
        tables.append(pa.Table.from_pylist([row for _, row in facts.uploads], schema=_UPLOADED))
        sources += [entry for entry, _ in facts.uploads]
    table, bases = _one_row_each(_concatenated(tables), np.array(sources, dtype=object))
    table, bases = _without(table, bases, facts.deleted)
    table, bases = _with_spoken(table, bases, facts.spoken)
    conflicts = {image_id: said.rivals for image_id, said in facts.spoken.items() if said.rivals}
    return Annotations(table, tuple(facts.class_names), bases, conflicts)


def _one_row_each(table: pa.Table, bases: npt.NDArray[Any]) -> tuple[pa.Table, npt.NDArray[Any]]:
    """The first row of each image, with the label of its last row that has one."""
    codes = table["image_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    values, first = np.unique(codes, return_index=True)
    if len(values) == len(codes):
        return table, bases
    labelled = np.flatnonzero(table["label"].is_valid().to_numpy())
    last = np.full(len(values), -1)
    last[codes[labelled]] = labelled  # of several writes to one place the last one stays
    first = np.sort(first)
    source = np.where(last[codes[first]] >= 0, last[codes[first]], first)
    labels = table["label"].take(pa.array(source))
    kept = table.take(pa.array(first))
    return kept.set_column(kept.column_names.index("label"), "label", labels), bases[source]


def _without(table: pa.Table, bases: npt.NDArray[Any], deleted: Mapping[str, str]) -> tuple[pa.Table, npt.NDArray[Any]]:
    if not deleted:
        return table, bases
    kept = ~pc.is_in(table["image_id"], pa.array(list(deleted), pa.string())).to_numpy()
    return table.filter(pa.array(kept)), bases[kept]


def _with_spoken(
    table: pa.Table, bases: npt.NDArray[Any], spoken: Mapping[str, _Spoken]
) -> tuple[pa.Table, npt.NDArray[Any]]:
    if not spoken:
        return table, bases
    said = list(spoken.values())
    places = pc.index_in(table["image_id"], value_set=pa.array(list(spoken), pa.string()))
    rows = np.flatnonzero(places.is_valid().to_numpy())
    chosen = [said[place] for place in places.drop_null().to_pylist()]
    labels = table["label"].to_numpy().copy()
    bases = bases.copy()
    labels[rows] = np.array([one.label for one in chosen], dtype=object)
    bases[rows] = np.array([one.entry for one in chosen], dtype=object)
    column = pa.array(labels, pa.string())
    return table.set_column(table.column_names.index("label"), "label", column), bases


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
