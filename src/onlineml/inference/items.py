"""Gallery of what a model says of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onlineml.evaluation.render.gallery import Facet, GalleryItems, facet_of, facet_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onlineml.evaluation.render.gallery import GalleryItem
    from onlineml.inference.rows import Rows

__all__ = ["gallery_items"]

_BANDS = (0.5, 0.7, 0.9)  # of scores
_BAND_NAMES = ("below 0.5", "0.5 to 0.7", "0.7 to 0.9", "0.9 to 1")


def gallery_items(
    answers: Rows[Any],
    *,
    item: Callable[[Any], GalleryItem],
    classes: Callable[[Any], tuple[str, ...]],
    none: str = "no objects",
) -> GalleryItems:
    """All rows in their order; what came without a name has no URL.

    Args:
        answers: the rows.
        item: what is said of a row.
        classes: the classes by which a row that can be used is found.
        none: what stands for a row without any.
    """
    rows: list[Any] = list(answers)
    uris = [str(row.uri) for row in rows]
    return GalleryItems(
        title=f"{len(rows):,} images" + (f", by {answers.model}" if answers.model else ""),
        ids=uris,
        urls=["" if _nameless(uri) else uri for uri in uris],
        versions=[""] * len(rows),
        items=lambda places: [item(rows[place]) for place in places],
        facts=lambda place: _facts(rows[place]),
        facets=(_classes(rows, classes, none), _bands(rows)),
    )


def _nameless(uri: str) -> bool:
    kind, _, number = uri.partition(":")
    return kind in {"bytes", "array", "image"} and number.isdigit()


def _classes(rows: Sequence[Any], classes: Callable[[Any], tuple[str, ...]], none: str) -> Facet:
    told = [("cannot be used",) if row.error else classes(row) or (none,) for row in rows]
    pairs = [(place, label) for place, labels in enumerate(told) for label in labels]
    return facet_of_rows("class", [label for _, label in pairs], [place for place, _ in pairs])


def _bands(rows: Sequence[Any]) -> Facet:
    """In which range the score of the surest answer is."""
    scored = np.array([place for place, row in enumerate(rows) if row.label], dtype=np.int64)
    bands = np.searchsorted(_BANDS, [rows[place].score for place in scored], side="right")
    facet = facet_of("score", [_BAND_NAMES[band] for band in bands], order=_BAND_NAMES)
    return Facet("score", facet.values, scored[facet.rows], facet.codes)


def _facts(row: Any) -> list[tuple[str, str]]:
    told = [("uri", row.uri)] + ([("error", row.error)] if row.error else [])
    return [*told, *((name, f"{score:.3f}") for name, score in row.top)]
