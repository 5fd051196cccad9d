"""Rows of what a model says of images, one an image, whatever the task: tables, galleries, figures."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from onlineml.arguments.counted import count
from onlineml.evaluation.render.gallery import (
    Facet,
    GalleryItems,
    facet_of,
    facet_of_rows,
)
from onlineml.evaluation.render.orders import SCORE, order_of
from onlineml.inference.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

    from onlineml.evaluation.render.gallery import (
        GalleryItem,
    )
    from onlineml.evaluation.render.orders import Order

__all__ = ["ImageRows"]

R = TypeVar("R")

_BANDS = (0.5, 0.7, 0.9)  # of scores
_BAND_NAMES = ("below 0.5", "0.5 to 0.7", "0.7 to 0.9", "0.9 to 1")


class ImageRows(Rows[R]):
    """The rows of images; see `onlineml.inference.rows.Rows`.

    A row has ``uri``, ``error`` (None where the image can be used), ``label`` and ``score`` of the surest answer, all
    answers as ``top``, the classes that count in ``strengths()``, ``records()`` and, in words, ``summary``.

    Attributes:
        none: what stands for an image that shows no class.
        counted: what ``row.labels`` are the classes of, if an image may have several; "" otherwise.
    """

    none: ClassVar[str] = "no objects"
    counted: ClassVar[str] = ""

    @staticmethod
    def records(row: Any) -> list[dict[str, Any]]:
        """The lines of the table that one row makes."""
        lines: list[dict[str, Any]] = row.records()
        return lines

    @staticmethod
    @abstractmethod
    def item(row: Any) -> GalleryItem:
        """The content of a row, as a gallery shows it."""

    def gallery(self) -> GalleryItems:
        """The images with their predictions, in order; images without a name have no URL."""
        rows: list[Any] = list(self)
        uris = [str(row.uri) for row in rows]
        return GalleryItems(
            title=count(len(rows), "image") + (f", by {self.model}" if self.model else ""),
            ids=uris,
            urls=["" if _nameless(uri) else uri for uri in uris],
            versions=[""] * len(uris),
            items=lambda places: [self.item(rows[place]) for place in places],
            facts=lambda place: _facts(rows[place]),
            facets=(_classes(rows, self.none), _bands(rows)),
            orders=self._orders(rows),
        )

    def _orders(self, rows: Sequence[Any]) -> tuple[Order, ...]:
        score = order_of(SCORE, [row.score if row.label else None for row in rows])
        if not self.counted:
            return (score,)
        return score, order_of(f"number of {self.counted}", [None if row.error else len(row.labels) for row in rows])

    def figure(self, *, limit: int = 24, storage_options: Mapping[str, Any] | None = None) -> Figure:
        """A sample of the images, each with its prediction below."""
        from onlineml.evaluation.render.image_grid import image_grid  # noqa: PLC0415

        shown: list[Any] = self.sample(limit)
        titles = [row.summary for row in shown]
        return image_grid([row.uri for row in shown], titles, limit=limit, storage_options=storage_options)


def _nameless(uri: str) -> bool:
    kind, _, number = uri.partition(":")
    return kind in {"bytes", "array", "image"} and number.isdigit()


def _classes(rows: Sequence[Any], none: str) -> Facet:
    told = [("cannot be used",) if row.error else tuple(row.strengths()) or (none,) for row in rows]
    pairs = [(place, label) for place, labels in enumerate(told) for label in labels]
    return facet_of_rows("class", [label for _, label in pairs], [place for place, _ in pairs])


def _bands(rows: Sequence[Any]) -> Facet:
    """The facet of the highest score, in ranges."""
    scored = np.array([place for place, row in enumerate(rows) if row.label], dtype=np.int64)
    bands = np.searchsorted(_BANDS, [rows[place].score for place in scored], side="right")
    facet = facet_of("score", [_BAND_NAMES[band] for band in bands], order=_BAND_NAMES)
    return Facet("score", facet.values, scored[facet.rows], facet.codes)


def _facts(row: Any) -> list[tuple[str, str]]:
    told = [("uri", row.uri)] + ([("error", row.error)] if row.error else [])
    return [*told, *((name, f"{score:.3f}") for name, score in row.top)]
