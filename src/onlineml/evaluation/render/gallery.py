"""Content of galleries: images, their captions and boxes, and the facets for filtering; independent of widgets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

import numpy as np

from onlineml.errors import ConfigError
from onlineml.evaluation.render.orders import SCORE
from onlineml.evaluation.render.text import shorten
from onlineml.evaluation.slices import cut
from onlineml.storage.urls import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from onlineml.evaluation.base import BaseScores
    from onlineml.evaluation.render.orders import Order
    from onlineml.storage.location import Options

__all__ = [
    "CONFUSION",
    "MISSED",
    "Facet",
    "GalleryItem",
    "GalleryItems",
    "HasGallery",
    "ShownBox",
    "facet_of",
    "facet_of_rows",
    "pair_text",
    "slice_facets",
    "title_of",
]

CONFUSION = "pair"
MISSED = "missed"  # the prediction, of an object or label that was not found


@dataclass(frozen=True)
class ShownBox:
    """A box to draw.

    Attributes:
        box_xyxy: pixels of the upright original.
        text: its label, and its score if it has one.
        color: CSS colour.
        dashed: whether it is a prediction instead of an annotation, or an object that was not found.
        score: of a prediction; nan without one.
    """

    box_xyxy: tuple[float, float, float, float]
    text: str
    color: str
    dashed: bool = False
    score: float = np.nan

    def facts(self) -> dict[str, Any]:
        """Return the fields for the front end."""
        told = {"xyxy": list(self.box_xyxy), "text": self.text, "color": self.color, "dashed": self.dashed}
        return told if np.isnan(self.score) else {**told, "score": self.score}


@dataclass(frozen=True)
class GalleryItem:
    """Caption and boxes of one image.

    Attributes:
        title: a short caption, such as its label.
        note: a second line.
        tone: style of the title: ``""``, ``"good"``, ``"bad"`` or ``"warm"``.
        boxes: boxes to draw on it.
        versions: further sets of boxes by name, such as those of two models, drawn on separate pictures in the view of
            a single image.
    """

    title: str
    note: str = ""
    tone: str = ""
    boxes: tuple[ShownBox, ...] = ()
    versions: tuple[tuple[str, tuple[ShownBox, ...]], ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return the fields for the front end."""
        boxes = [box.facts() for box in self.boxes]
        versions = [{"name": name, "boxes": [box.facts() for box in drawn]} for name, drawn in self.versions]
        told = {"title": shorten(self.title, 40), "note": self.note, "tone": self.tone, "boxes": boxes}
        return {**told, "versions": versions} if versions else told


@dataclass(frozen=True, eq=False)
class Facet:
    """A property by which images can be filtered, such as their class; an image may have several values, or none.

    Attributes:
        name: name of the facet.
        values: all values, in display order.
        rows: (M,) int64 images, and
        codes: (M,) int64 the value of each of them.
    """

    name: str
    values: tuple[str, ...]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]

    def mask(self, value: str, *, n_images: int) -> NDArray[np.bool_]:
        """Return (N,) bool: the images that have a value.

        Raises:
            ConfigError: the value does not exist.
        """
        if value not in self.values:
            listed = ", ".join(self.values[:20])
            raise ConfigError(f"no image has the {self.name} {value!r}; the values are: {listed or 'none'}")
        mask = np.zeros(n_images, dtype=bool)
        mask[self.rows[self.codes == self.values.index(value)]] = True
        return mask

    def counts(self) -> list[int]:
        """Return the number of images with each value."""
        pairs = np.sort(self.rows * max(1, len(self.values)) + self.codes)  # np.unique of 2.3 takes 20 times as long
        pairs = pairs[np.diff(pairs, prepend=-1) != 0]
        n: list[int] = np.bincount(pairs % max(1, len(self.values)), minlength=len(self.values)).tolist()
        return n


def facet_of(name: str, texts: Sequence[str], *, order: Iterable[str] = ()) -> Facet:
    """Build the facet of one text per image.

    Args:
        name: name of the facet.
        texts: (N) values.
        order: values that come first; the others follow by their number of images.
    """
    # numpy's own string type drops a trailing NUL
    found, codes = np.unique(np.asarray(texts, dtype=object), return_inverse=True)
    sizes = np.bincount(codes, minlength=len(found))
    by_size = [str(found[place]) for place in np.argsort(-sizes, kind="stable")]
    present = set(by_size)
    values = tuple(dict.fromkeys([*(v for v in order if v in present), *by_size]))
    to_new = {value: place for place, value in enumerate(values)}
    renumbered = np.array([to_new[str(value)] for value in found], dtype=np.int64)
    numbers = renumbered[codes] if len(found) else np.zeros(0, dtype=np.int64)
    return Facet(name, values, np.arange(len(numbers)), numbers)


@dataclass(frozen=True, eq=False)
class GalleryItems:
    """Images with their captions and boxes.

    Attributes:
        title: title of the gallery.
        ids: (N) image ids.
        urls: (N) URLs of the images; ``""`` for one that cannot be read.
        versions: (N) see `onlineml.Manifest.versions`.
        items: creates the captions and boxes of some rows.
        facts: returns all properties of one row, as names and texts.
        facets: facets for filtering.
        orders: numbers for sorting; one with the name ``"score"`` also filters by a least score.
        storage_options: options for opening the URLs.
        aside: (N,) rows that are shown only if a filter selects them; None: there are none.
    """

    title: str
    ids: Sequence[str]
    urls: Sequence[str]
    versions: Sequence[str]
    items: Callable[[Sequence[int]], list[GalleryItem]]
    facts: Callable[[int], list[tuple[str, str]]]
    facets: tuple[Facet, ...] = ()
    storage_options: Options = field(default=None, repr=False)
    aside: NDArray[np.bool_] | None = None
    orders: tuple[Order, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def facet(self, name: str) -> Facet:
        """Return a facet by its name.

        Raises:
            ConfigError: the facet does not exist.
        """
        return _named(name, self.facets, "images cannot be filtered by {!r}; the filters are: {}")

    def order(self, name: str) -> Order:
        """Return an order by its name.

        Raises:
            ConfigError: the order does not exist.
        """
        return _named(name, self.orders, "images cannot be sorted by {!r}; the orders are: {}")

    def arranged(
        self, rows: NDArray[np.int64], *, sort_by: str = "", descending: bool = True, least_score: float = 0.0
    ) -> NDArray[np.int64]:
        """Return rows from a least score on, sorted by a number; images without one come last.

        Raises:
            ConfigError: the order does not exist, or there are no scores.
        """
        if least_score > 0:
            rows = rows[self.order(SCORE).values[rows] >= least_score]  # nan is not
        if not sort_by:
            return rows
        keys = self.order(sort_by).values[rows]
        return rows[np.argsort(-keys if descending else keys, kind="stable")]  # nan is sorted to the end

    def matching(self, filters: Mapping[str, str], *, search: str = "") -> NDArray[np.int64]:
        """Return the rows that have all of these values, given by name of the facet, and a text in their name.

        Args:
            filters: values by facet.
            search: a part of the image's path or id, in any case.

        Raises:
            ConfigError: a facet or value does not exist.
        """
        mask = np.ones(len(self), dtype=bool)
        for name, value in filters.items():
            mask &= self.facet(name).mask(value, n_images=len(self))
        if self.aside is not None and "state" not in filters:
            mask &= ~self.aside
        rows = np.flatnonzero(mask)
        wanted = search.strip().casefold()
        if not wanted:
            return rows
        return np.array([row for row in rows.tolist() if wanted in self._name(row)], dtype=np.int64)

    def _name(self, row: int) -> str:
        """The path and the id of an image, without the query of an address: it may be a signature."""
        return f"{path_of(self.urls[row])} {self.ids[row]}".casefold()


_Named = TypeVar("_Named", "Facet", "Order")


def _named(name: str, known: Sequence[_Named], unknown: str) -> _Named:
    """Return the one of this name; ``unknown`` is the message with places for the name and the known ones."""
    for one in known:
        if one.name == name:
            return one
    raise ConfigError(unknown.format(name, ", ".join(one.name for one in known) or "none"))


@runtime_checkable
class HasGallery(Protocol):
    """Results of a model that can be shown image by image."""

    def gallery(self) -> GalleryItems:
        """Return the images with their captions and boxes; URLs are the images' own uris."""
        ...


def facet_of_rows(name: str, texts: Sequence[str], rows: Any, *, order: Iterable[str] = ()) -> Facet:
    """Build the facet of any number of texts per image.

    Args:
        name: name of the facet.
        texts: (M) values.
        rows: (M,) the image of each.
        order: as in `facet_of`.
    """
    facet = facet_of(name, texts, order=order)
    return Facet(name, facet.values, np.asarray(rows, dtype=np.int64)[facet.rows], facet.codes)


def slice_facets(scores: BaseScores, order: NDArray[np.int64]) -> list[Facet]:
    """Return the slices of scores as facets of their images in another order."""
    found = []
    for name, values in scores.slices.items():
        codes, texts = cut(name, list(values), n_images=len(order))
        found.append(Facet(name, tuple(texts), np.arange(len(order)), np.asarray(codes, dtype=np.int64)[order]))
    return found


def pair_text(truth: str, said: str) -> str:
    """Return the display name of a cell of the confusion matrix."""
    return f"{truth} \N{RIGHTWARDS ARROW} {said}"


def title_of(scores: BaseScores) -> str:
    """Return a title that names the evaluated data and the model."""
    by = f", by {scores.model_ref}" if scores.model_ref else ""
    return f"{scores.n_images:,} {scores.split} images".replace("  ", " ") + by
