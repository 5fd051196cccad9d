"""The numbers by which the images of a manifest or a project are sorted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineml.data.manifest.schema import COLUMNS
from onlineml.evaluation.render.orders import DISAGREEMENT, SCORE, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from onlineml.data.annotations.state import Annotations
    from onlineml.data.manifest.manifest import Manifest
    from onlineml.evaluation.render.gallery import (
        GalleryItems,
    )

__all__ = ["Arrangement", "arranged", "counts_at_least", "manifest_orders", "project_orders"]


@dataclass(frozen=True)
class Arrangement:
    """The images that are shown besides the filters, and their order.

    Attributes:
        search: a part of their name.
        sort_by: name of an order; "" for the gallery's own.
        descending: whether the largest come first.
        least_score: images below it are left out; 0 for all.
    """

    search: str = ""
    sort_by: str = ""
    descending: bool = True
    least_score: float = 0.0


def arranged(
    gallery: GalleryItems, where: Mapping[str, str], arrangement: Arrangement
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that match filters and search, and those that are shown, in order.

    Raises:
        ConfigError: a filter, value or order does not exist.
    """
    matching = gallery.matching(where, search=arrangement.search)
    rows = gallery.arranged(
        matching,
        sort_by=arrangement.sort_by,
        descending=arrangement.descending,
        least_score=arrangement.least_score,
    )
    return matching, rows


def counts_at_least(gallery: GalleryItems, rows: NDArray[np.int64]) -> list[int]:
    """Return how many of the rows have each score or more, in steps of 0.01 from 0; empty without scores."""
    scores = [order.values for order in gallery.orders if order.name == SCORE]
    if not scores:
        return []
    known = scores[0][rows]
    known = np.sort(known[~np.isnan(known)])
    counts: list[int] = (len(known) - np.searchsorted(known, np.arange(101) / 100)).tolist()
    return [len(rows), *counts[1:]]


def manifest_orders(data: Manifest) -> tuple[Order, ...]:
    """The name, the number of boxes or labels, and every further column of numbers or times."""
    urls = data.urls()
    rank = np.empty(len(data))
    rank[np.argsort(np.array(urls, dtype=object), kind="stable")] = np.arange(len(data), dtype=np.float64)
    found = [Order("name", rank)]
    if pa.types.is_list(data.table[data.kind.names].type):
        lengths = pc.list_value_length(data.table[data.kind.names])
        found.append(Order(f"number of {data.kind.one_by_one}", _numbers(lengths)))
    for column in data.table.schema:
        is_number = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
        if column.name not in COLUMNS and (is_number or pa.types.is_temporal(column.type)):
            values = _numbers(data.table[column.name])
            if np.unique(values[~np.isnan(values)]).size > 1:
                found.append(Order(column.name, values))
    return tuple(found)


def project_orders(state: Annotations, data: Manifest) -> tuple[Order, ...]:
    """The score of the open suggestion, how far it contradicts the label, and the time of the last annotation."""
    row_of = {image_id: row for row, image_id in enumerate(data.table["image_id"].to_pylist())}
    score, apart, date = (np.full(len(data), np.nan) for _ in range(3))
    names, annotated = data.table[data.kind.names], data.kind.is_annotated(data.table)
    sure = state.kind.surety(state.suggestions)
    for guess, value in zip(state.suggestions.to_pylist(), sure, strict=True):
        row = row_of.get(guess["image_id"])
        if row is None:
            continue
        score[row] = value
        if annotated[row] and _counted(names[row].as_py()) != _counted(guess[data.kind.names]):
            apart[row] = value
    date[: len(state)] = _numbers(state.provenance["time"])
    orders = (Order(SCORE, score), Order(DISAGREEMENT, apart), Order("date", date))
    return tuple(order for order in orders if not np.isnan(order.values).all())


def _counted(names: Any) -> Counter[str]:
    return Counter([names] if isinstance(names, str) else names or ())


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """(N,) float64 of numbers, or of times in their unit; nan where null."""
    if pa.types.is_temporal(column.type):
        column = (
            pc.cast(column, pa.int64(), safe=False)
            if not pa.types.is_date32(column.type)
            else pc.cast(column, pa.int32())
        )
    numbers: NDArray[np.float64] = pc.cast(column, pa.float64(), safe=False).to_numpy()
    return numbers
