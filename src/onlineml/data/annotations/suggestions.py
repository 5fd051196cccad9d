"""Suggestions of models: stored beside the log as one table per call, and open until a person annotates the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.annotations.entries import one_chunk
from onlineml.data.manifest.examples import examples
from onlineml.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.data.annotations.fold import Folded
    from onlineml.data.kinds.base import AnnotationKind

__all__ = ["guesses", "open_suggestions"]

# ---- write ----


def guesses(
    predictions: Any, *, image_ids: Callable[[Sequence[str]], list[str | None]], kind: AnnotationKind
) -> pa.Table:
    """The table of a model's predictions.

    Args:
        predictions: by image id, or rows with a ``uri``; see the kind's `guess`.
        image_ids: finds the ids of images by their uris.
        kind: of annotation.

    Returns:
        One row per usable image.

    Raises:
        DataError: a prediction is of another task or malformed, or images are not in the project.
    """
    if isinstance(predictions, Mapping):
        names, rows = list(predictions), list(predictions.values())
    else:
        rows = list(predictions)
        uris = [str(row.uri) for row in rows]
        found = image_ids(uris)
        missing = [uri for uri, image_id in zip(uris, found, strict=True) if image_id is None]
        if missing:
            raise DataError(
                f"{count(len(missing), 'image of these predictions is', 'images of these predictions are')} not in "
                f"the project: {examples(missing)}; predict images of the project, such as data.urls(), or pass the "
                "predictions by image id"
            )
        names = [str(image_id) for image_id in found]
    found_rows = [kind.guess(name, row) for name, row in zip(names, rows, strict=True)]
    return pa.Table.from_pylist([one for one in found_rows if one is not None], schema=kind.guess_schema)


# ---- read ----


def open_suggestions(folded: Folded, read_file: Callable[[str], pa.Table]) -> pa.Table:
    """See `onlineml.data.annotations.Annotations.suggestions`."""
    entries = folded.entries
    tables = [folded.kind.guess_schema.empty_table()]
    places: list[np.ndarray] = [np.empty(0, np.int64)]
    for row in entries.rows("suggested"):
        tables.append(read_file(entries.text_of(row, "file")).select(tables[0].column_names).cast(tables[0].schema))
        places.append(np.full(len(tables[-1]), row))
    table, place = pa.concat_tables(tables).combine_chunks(), np.concatenate(places)
    codes = one_chunk(table["image_id"]).dictionary_encode().indices.to_numpy()
    last = np.full(int(codes.max(initial=-1)) + 1, -1)
    last[codes] = np.arange(len(codes))  # of several writes to one place the last one stays
    table, place = table.take(pa.array(last)), place[last]
    images = folded.images
    state = _places(images.table["image_id"], images.places, table["image_id"])
    human_annotated = np.isin(state, entries.claims())
    wanted = (state >= 0) & ~(human_annotated & (state > place))
    table, place = table.filter(pa.array(wanted)), place[wanted]
    skipped = _places(
        pa.array(list(folded.skipped), pa.string()),
        np.array(list(folded.skipped.values()), dtype=np.int64),
        table["image_id"],
    )
    table = folded.kind.renamed(table, folded.classes.lineage)
    return (
        table.append_column("model", entries.texts("model", place))
        .append_column("entry", entries.ids(place))
        .append_column("skipped", pa.array(skipped > place))
    )


def _places(names: Any, places: np.ndarray, wanted: Any) -> np.ndarray:
    """The place of each wanted name; -1 if there is none."""
    at = pc.index_in(wanted, value_set=names).fill_null(-1).to_numpy()
    return np.where(at >= 0, np.append(places, -1)[at], -1)
