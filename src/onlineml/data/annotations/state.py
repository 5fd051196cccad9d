"""Annotations of a project's images and their authors: records in an append-only log, and the resulting state.

A record is a plain dictionary with an ``event``, ``author`` and ``time`` (ISO, UTC):

- ``imported``: ``file`` (a Parquet table of many images, beside the log), ``class_names``, ``n``, ``gone`` (a table of
  the ids of images that were no longer at their addresses, if there are any);
- ``uploaded``: ``image_id``, ``uri``, ``sha256``, ``width``, ``height``, ``split``, ``group``, ``label``;
- ``suggested``: ``file`` (a Parquet table of a model's predictions), ``model``, ``n``;
- ``accepted``: ``image_id``, ``label``, and for a suggestion its ``suggestion`` and ``model``;
- ``corrected``: ``image_id``, ``label``; - ``skipped``, ``deleted``, ``restored``: ``image_id``; entries by people have
  the ``sha256`` of the image where nothing else tells later which picture it was;
- ``moved``: ``group``, ``split``, ``reason``;
- ``class_added``: ``label``; ``class_renamed``: ``label``, ``new``; ``class_merged``: ``label``, ``into``;
  ``class_split``: ``label``, ``into`` (a list); entries of one change of classes share an ``action``;
- ``frozen``: ``dataset`` (a hash), ``classes`` (the first names of all, in the order of their ids), ``max_bad``;
- ``undone``: ``undoes`` (ids of entries), ``image_id`` if they are about one.

For detection, ``uploaded`` (if annotated), ``accepted`` and ``corrected`` have ``boxes_xyxy`` and ``labels`` instead of
the label, and ``further``: lists by column, with one value per box. For multi-label, they have ``labels``; ``added``
and ``removed`` have the ``labels`` that apply, or do not.

``base``, in each record about an image, a group or a class, lists the ids of the entries that its writer had seen,
separated by spaces. Nothing is overwritten. A person's annotation of an image outlasts whatever is imported later;
split and group are those of an image's first entry, until somebody moves it; its address is that of its last import,
as long as no newer image has it. If two authors had not seen each other, the later entry prevails until somebody who
has seen both decides. An upload without a label, or without boxes, says nothing about an image that is there already.
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

from onlineml.arguments.counted import count
from onlineml.arguments.similar import did_you_mean
from onlineml.data.annotations.entries import mask_of, positions, taken
from onlineml.data.annotations.fold import Folded, folded
from onlineml.data.annotations.history import conflict_rows, history_rows, parsed_times, provenance_of
from onlineml.data.annotations.suggestions import open_suggestions
from onlineml.data.kinds import kind_of
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError, UnknownClassError
from onlineml.pages import table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from onlineml.data.kinds.base import AnnotationKind

__all__ = ["Annotations", "fold", "parquet_bytes", "record"]


def record(event: str, *, author: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record to append."""
    return {"event": event, **facts, "author": author, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}


@dataclass(frozen=True, eq=False)
class Annotations:
    """The state of a project's images after the entries of its log, up to now or up to some time.

    Attributes:
        table: one row per image that is not deleted, with the columns of a manifest; no suggestions.
        deleted: the same for deleted images.
        class_names: in the order of their ids, without classes merged into others.
        class_ids: their ids, which are never changed or reused: 1, 2, …
        lineage: the present name of a class by each former name of it, or of a class merged into it.
        conflicts: by image id, the ids of conflicting entries: different annotations, or a deletion and a correction,
            by authors who had not seen the other's.
        task: of the project.
    """

    table: pa.Table
    deleted: pa.Table
    class_names: tuple[str, ...]
    class_ids: tuple[int, ...]
    lineage: Mapping[str, str]
    conflicts: Mapping[str, tuple[str, ...]]
    task: str
    folded: Folded
    read_file: Callable[[str], pa.Table]

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def kind(self) -> AnnotationKind:
        """The kind of annotation of the images."""
        return self.folded.kind

    # ---- one image ----

    def row(self, image_id: str) -> dict[str, Any]:
        """Return the known facts of one image, by column; empty for an image that does not exist."""
        return self.rows([image_id])[0] if positions([image_id], self.table["image_id"])[0] >= 0 else {}

    def rows(self, image_ids: Sequence[str], *, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """As `row`, for many existing images; with some columns, or all."""
        at, names = positions(image_ids, self.table["image_id"]), columns or self.table.column_names
        found: list[dict[str, Any]] = pa.table([taken(self.table[n], at) for n in names], names=names).to_pylist()
        return found

    def revision(self, image_id: str) -> str | None:
        """Return the image's revision for someone who has seen this state; None for an image that never existed."""
        return self.revisions([image_id])[0]

    def revisions(self, image_ids: Sequence[str]) -> list[str | None]:
        """As `revision`, for many images, including deleted ones."""
        found: list[str | None] = [None] * len(image_ids)
        for images in (self.folded.images, self.folded.deleted):
            at = positions(image_ids, images.table["image_id"])
            rows = np.flatnonzero(at >= 0)
            places = images.places[at[rows]]
            entries = self.folded.entries.ids(places).to_pylist()
            for row, entry in zip(rows.tolist(), entries, strict=True):
                found[row] = self.folded.revisions.get(image_ids[row], entry)
        return found

    def disputed_labels(self, image_id: str) -> tuple[str, ...]:
        """The conflicting labels of a multi-label image."""
        return self.folded.rivalries[image_id].disputed if image_id in self.folded.rivalries else ()

    def history(self, image_id: str) -> pd.DataFrame:
        """All entries about an image, including undone ones, the oldest first.

        Returns:
            The columns time, event, says (as text), author, undone (by whom, or ``""``), entry (its id) and base (the
            revision that its author had seen).

        Raises:
            DataError: the image never was in the project.
        """
        import pandas as pd  # noqa: PLC0415 (slow to import)

        rows = history_rows(self.folded, image_id, self.read_file)
        if not rows:
            raise DataError(f"{image_id!r} never was in the project")
        return _with_times(pd.DataFrame(rows))

    # ---- all of them ----

    @cached_property
    def suggestions(self) -> pa.Table:
        """The open suggestions of models, the latest one for each image.

        Columns: image_id; those of the kind, such as ``label``, ``score`` (0..1), ``top_labels`` and ``top_scores``, or
        ``boxes_xyxy``, ``labels`` and ``scores``; then ``model``, ``entry`` (the log's) and ``skipped`` (a person
        looked and did not decide).
        """
        return open_suggestions(self.folded, self.read_file)

    @cached_property
    def provenance(self) -> pa.Table:
        """The origin of each row's annotation.

        The columns are image_id, ``event`` (imported, uploaded, accepted or corrected), ``author``, ``time`` (UTC),
        ``model`` (whose suggestion was accepted) and ``entry`` (the log's).
        """
        return provenance_of(self.folded)

    def conflict_table(self) -> pd.DataFrame:
        """Return the conflicting entries, one row for each.

        Returns:
            The columns about (image, class or group), name, says (as text), author, time, prevails (until the conflict
            is resolved) and entry.
        """
        import pandas as pd  # noqa: PLC0415 (slow to import)

        columns = ["about", "name", "says", "author", "time", "prevails", "entry"]
        return _with_times(pd.DataFrame(conflict_rows(self.folded, self.conflicts), columns=columns))

    def counts(self) -> dict[str, int]:
        """Return the number of images by state."""
        events = self.provenance["event"]
        return {
            "images": len(self),
            "labelled": int(self.kind.is_annotated(self.table).sum()),
            **{name: int(pc.sum(pc.equal(events, name)).as_py() or 0) for name in ("corrected", "accepted")},
            "suggested": len(self.suggestions),
            "conflicts": len(self.conflicts),
            "deleted": len(self.deleted),
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{n:,} {name}" for name, n in self.counts().items())
        return f"Annotations of {counts}; {count(len(self.class_names), 'class')}"

    def __repr__(self) -> str:
        return f"<{self}>"

    def _repr_html_(self) -> str:
        counts = self.counts()
        return table("", list(counts), [[f"{n:,}" for n in counts.values()]])

    # ---- for writers ----

    @property
    def human_annotated(self) -> npt.NDArray[np.bool_]:
        """(N,) whether a person annotated the image."""
        return mask_of(pc.is_in(self.provenance["event"], value_set=pa.array(self.kind.claim_events)))

    def splits_of_groups(self, groups: Sequence[str]) -> dict[str, str]:
        """The split of each group; a group in several counts as test before val before train."""
        mask = pc.is_in(self.table["group"], value_set=pa.array(groups, pa.string()))
        found = self.table.filter(mask).select(["group", "split"]).to_pylist()
        return {row["group"]: row["split"] for wanted in SPLITS for row in found if row["split"] == wanted}

    def require_images(self, image_ids: Collection[str]) -> None:
        """Check that images exist.

        Raises:
            DataError: an image is not in the project.
        """
        at = positions(list(image_ids), self.table["image_id"])
        if (at < 0).any():
            missing = [one for one, row in zip(image_ids, at, strict=True) if row < 0]
            raise DataError(
                f"{count(len(missing), 'image is')} not in the project, or were deleted: {examples(missing)}"
            )

    def require_classes(self, labels: Iterable[str]) -> None:
        """Check that labels are classes or former names of classes.

        Raises:
            UnknownClassError: a label is not.
        """
        for label in dict.fromkeys(labels):
            if label not in self.class_names and label not in self.lineage:
                known = f"{count(len(self.class_names), 'class')} ({examples(self.class_names)})"
                near = did_you_mean(label, self.class_names)
                raise UnknownClassError(
                    f"label {label!r} is not one of the {known}{near}; add it with project.classes.add({label!r})"
                )


def fold(
    log: pa.Table,
    *,
    class_names: Sequence[str] = (),
    read_file: Callable[[str], pa.Table],
    task: str = "classification",
) -> Annotations:
    """Compute the state of a log.

    Args:
        log: entries, see `onlineml.storage.log.AppendLog.table`.
        class_names: the project's first classes.
        read_file: reads the table of an import, or of suggestions, by its ``file``.
        task: determines the kind of annotation, see `onlineml.data.kinds.kind_of`.

    Raises:
        StorageError: an entry is not of an annotation log, of a later version, or damaged.
    """
    kind = kind_of(task)
    state = folded(log, class_names=class_names, read_file=read_file, kind=kind)
    ids = state.classes.present_ids(kind.names_used(state.images.table) | kind.names_used(state.deleted.table))
    return Annotations(
        table=state.images.table,
        deleted=state.deleted.table,
        class_names=tuple(ids),
        class_ids=tuple(ids.values()),
        lineage=state.classes.lineage,
        conflicts=state.conflicts,
        task=task,
        folded=state,
        read_file=read_file,
    )


def _with_times(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(time=parsed_times(frame["time"].tolist()))


def parquet_bytes(table: pa.Table) -> bytes:
    """Serialize a table to Parquet; equal tables give equal bytes."""
    sink = _io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()
