"""Counting and relabelling the rows of a manifest's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.manifest.boxes import NO_SPLIT, UNLABELLED
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError, UnknownClassError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["count_rows", "ids_of", "relabelled", "require_known"]


def count_rows(table: pa.Table, class_names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """See `Manifest.counts`."""
    found: dict[tuple[str, str], int] = {}
    for row in table.group_by(["label", "split"]).aggregate([([], "count_all")]).to_pylist():
        key = UNLABELLED if row["label"] is None else row["label"], row["split"] or NO_SPLIT
        found[key] = row["count_all"]
    classes = [*class_names, *([UNLABELLED] if any(name == UNLABELLED for name, _ in found) else [])]
    splits = [*SPLITS, *([NO_SPLIT] if any(split == NO_SPLIT for _, split in found) else [])]
    return {name: {split: found.get((name, split), 0) for split in splits} for name in classes}


def require_known(labels: set[str | None], class_names: tuple[str, ...]) -> None:
    """Refuse labels that are no class names; None is no label.

    Raises:
        UnknownClassError: there are some.
    """
    wrong = sorted({label for label in labels if label is not None} - set(class_names))
    if wrong:
        raise UnknownClassError(
            f"labels {examples(wrong)} are not among the class names {examples(class_names)}; add them with "
            "with_class_names() first"
        )


def ids_of(names: tuple[str, ...], known: tuple[str, ...], known_ids: tuple[int, ...]) -> tuple[int, ...]:
    """The ids of classes under another list of names: those that are known keep theirs, others get the next free."""
    if not known_ids:
        return ()
    ids = dict(zip(known, known_ids, strict=True))
    free = max(known_ids) + 1
    for name in names:
        if name not in ids:
            ids[name], free = free, free + 1
    return tuple(ids[name] for name in names)


def relabelled(table: pa.Table, class_names: tuple[str, ...], labels: Mapping[str, str | None]) -> pa.Array:
    """The label column with some labels replaced, by image_id.

    Raises:
        DataError: an image_id is not in the table.
        UnknownClassError: a label is not one of the class names.
    """
    require_known(set(labels.values()), class_names)
    rows = pc.index_in(pa.array(list(labels), pa.string()), value_set=table["image_id"])
    if rows.null_count:
        unknown = [image_id for image_id, row in zip(labels, rows.to_pylist(), strict=True) if row is None]
        raise DataError(f"{len(unknown)} image ids are not in this manifest: {examples(unknown)}")
    column = table["label"].to_pylist()
    for row, label in zip(rows.to_pylist(), labels.values(), strict=True):
        column[row] = label
    return pa.array(column, pa.string())
