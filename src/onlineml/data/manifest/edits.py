"""Functions shared by kinds of annotation to count and change the rows of a manifest's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError, UnknownClassError

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["NO_SPLIT", "UNLABELLED", "ids_of", "require_known", "rows_of"]

UNLABELLED = "(unlabelled)"
NO_SPLIT = "(no split)"


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


def rows_of(table: pa.Table, image_ids: Collection[str]) -> list[int]:
    """The rows of images.

    Raises:
        DataError: an image_id is not in the table.
    """
    rows = pc.index_in(pa.array(list(image_ids), pa.string()), value_set=table["image_id"])
    if rows.null_count:
        unknown = [image_id for image_id, row in zip(image_ids, rows.to_pylist(), strict=True) if row is None]
        raise DataError(f"{count(len(unknown), 'image id is')} not in this manifest: {examples(unknown)}")
    found: list[int] = rows.to_pylist()
    return found
